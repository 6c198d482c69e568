"""What a text tells of how long it may take: little, and only where it is plain."""

from itertools import islice
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hibari import Hibari

from app.audio.formats import FORMATS
from app.speech.pace import FASTEST, SLOWEST, believable
from app.text.sentences import sentences
from providers.interface import ProviderVoice, Utterance
from tests.audio.sounds import record
from tests.http.servers import ARTICLE

VOICE = ProviderVoice("p", "v")
PLAIN = "It comes back to you whole, and then it comes again, if the air is still."
LETTERS = sum(map(str.islower, PLAIN))
TREEBANKS = Path(__file__).parent.parent / "text" / "treebanks"


def between(text: str, **fields: object) -> tuple[float, float] | None:
    """Of a text said by a voice of which nothing is known."""
    return believable(Utterance(**({"text": text, "voice": VOICE} | fields)))  # type: ignore[arg-type]


def plain_sentences() -> list[str]:
    """Those of the article and of a treebank that are judged, which are chosen by nothing else."""
    texts = (ARTICLE, (TREEBANKS / "english.txt").read_text(encoding="utf-8"))
    found = (text[span.start : span.end] for text in texts for span in sentences(text, language="en"))
    return [sentence.replace("\n", " ") for sentence in found if between(sentence)]


def test_the_default_voice_is_believed_by_far():
    """The voice that everybody has would be refused, for a sentence of no special kind."""
    voice = Hibari(threads=1)
    texts = list(islice(plain_sentences(), 24))
    assert len(texts) == 24
    for text in texts:
        sound = np.clip(np.rint(np.asarray(voice(text, seed=0)).reshape(-1) * 32_768), -32_768, 32_767)
        _, recorded = record(FORMATS["pcm"], [sound.astype("<i2").tobytes()], characters=len(text))
        seconds = (recorded.audible[1] - recorded.audible[0]) / 24_000
        least, most = between(text) or (0.0, 0.0)
        assert 2 * least < seconds < most / 4, text


def test_letters_and_marks_decide():
    """A voice that pauses at its commas would be refused for it."""
    marks = 3
    assert between(PLAIN) == pytest.approx((LETTERS * FASTEST, LETTERS * SLOWEST + marks + 2))
    longer = between(PLAIN.replace(",", "..."))
    assert longer
    assert longer[1] == pytest.approx(LETTERS * SLOWEST + 7 + 2)


@pytest.mark.parametrize(
    "text",
    [
        "It comes back to you whole.",
        f"{PLAIN} On page 1234567.",
        f"{PLAIN} Ask the USA.",
        f"{PLAIN} See example.com for more.",
        f"{PLAIN} Say e.g. yes.",
        f"Oh, {'a' * 60}.",
        f"{PLAIN} Nooooo!",
        f"Say {'hahaha' * 10}.",
        "Съешь же ещё этих мягких французских булок, да выпей чаю и спой нам песню.",
        f"{PLAIN} Съешь же.",
        "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, και τότε ξαναρχίζω από την αρχή.",
        "这是一句很长很长很长的话。" * 10,
        f"{PLAIN} 😀",
        f"{PLAIN} f(x) = y",
        f"{PLAIN} # * #",
    ],
)
def test_what_does_not_tell_is_not_judged(text: str):
    """A provider would be refused for how it reads what may be read in more than one way."""
    assert between(text) is None


def test_a_voice_that_was_told_how_to_speak_is_not_judged():
    """Whoever asks for a very slow voice would get none."""
    settings = ProviderVoice("p", "v", settings=(("speed", "3"),))
    for fields in ({"instructions": "As slowly as you can."}, {"ssml": "<prosody/>"}, {"voice": settings}):
        assert between(PLAIN, **fields) is None


def test_quotes_names_and_accents_are_plain():
    """Nearly nothing would be judged."""
    text = "“Well-known,” (so) said Zoë O’Hara — naïve, I’d say — «wasn't it?» And Straße, coöperate, garçon…"  # noqa: RUF001
    assert between(text) is not None


@pytest.mark.parametrize("speed", [0.25, 4.0])
def test_a_speed_counts_whether_it_was_done_or_not(speed: float):
    """A provider that takes a speed and does not do it would be refused, or one that does."""
    allowed, usual = between(PLAIN, speed=speed), between(PLAIN)
    assert allowed
    assert usual
    for done in (1.0, speed):
        assert allowed[0] <= usual[0] / done
        assert usual[1] / done <= allowed[1]


@pytest.mark.parametrize("unit", ["a", "a-", "'", "ab'", "é", "-", "—", "aab", "word "])
def test_time_is_linear(unit: str):
    """A text made for it would hold up the server."""

    def seconds(count: int) -> float:
        began = process_time()
        between(PLAIN + unit * count)
        return process_time() - began

    small = min(seconds(2_000) for _ in range(3))
    assert min(seconds(32_000) for _ in range(2)) < 16 * 3 * small + 0.02

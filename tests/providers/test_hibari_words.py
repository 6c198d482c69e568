"""When the local engine speaks each word: against its sound, and against its own reading."""

import itertools
import re
from time import process_time

import numpy as np
import pytest
from hibari import Hibari as Engine
from hypothesis import given
from hypothesis import strategies as st

import providers.hibari
from providers.hibari import Hibari, _read
from providers.hibari_words import SpokenWord, timings
from providers.interface import ProviderSettings, ProviderVoice, Timing, Utterance
from tests.http.servers import ARTICLE

HEART = ProviderVoice("local", "heart")
PROSE = [one for one in re.split(r"(?<=[.!?])\s+", ARTICLE) if "," in one][:12]
HARD = "Dr. Smith paid $9.99 at 7:45 - for 3 km & a half, e.g. (or so)! Привет, 你好. *** A-B_C 1,2"


@pytest.fixture(scope="module")
def engines() -> dict[str, object]:
    """Loaded once."""
    return {}


async def spoken(
    engines: dict[str, object], text: str, speed: float = 1.0
) -> tuple[np.ndarray, list[Timing]]:
    """The sound, full scale 1.0, and the words' times."""
    provider = Hibari(ProviderSettings("local", "hibari"))
    provider._engines = engines
    async with provider.speak(Utterance(text, HEART, speed)) as sound:
        pcm = b"".join([piece async for piece in sound.pieces])
    await provider.aclose()
    return np.frombuffer(pcm, "<i2").astype(np.float64) / 32_768, list(sound.timings)


def onsets(sound: np.ndarray) -> list[float]:
    """Seconds at which sound begins behind 80 ms of silence, to 5 ms."""
    windows = sound[: len(sound) // 120 * 120].reshape(-1, 120)
    quiet = np.sqrt((windows**2).mean(1)) < 0.005
    return [at * 0.005 for at in range(16, len(quiet)) if not quiet[at] and quiet[at - 16 : at].all()]


@pytest.mark.parametrize("speed", [1.0, 1.5])
async def test_words_are_told_when_they_are_heard(engines: dict[str, object], speed: float) -> None:
    """Captions of the default voice would run ahead of it, or behind."""
    apart = []
    for text in PROSE:
        sound, told = await spoken(engines, text, speed)
        assert [text[timing.start : timing.end] for timing in told] == text.split()
        assert told[-1].ends <= len(sound) / 24_000
        apart += [min((timing.begins - at for timing in told), key=abs) for at in onsets(sound)]
    assert len(apart) > 20
    assert abs(np.median(apart)) < 0.03
    assert np.percentile(np.abs(apart), 80) < 0.06


async def test_sentences_follow_each_other(engines: dict[str, object]) -> None:
    """The words of a second sentence would have the times of the first one's."""
    sound, told = await spoken(engines, "One is here. Two is there, is it not?")
    begins = [timing.begins for timing in told]
    assert begins == sorted(begins)
    assert told[3].begins > told[2].ends
    assert len(sound) / 24_000 > told[-1].ends > 0.8 * len(sound) / 24_000


async def test_hard_text_has_times_as_far_as_they_are_known(engines: dict[str, object]) -> None:
    """One number or one foreign word would take all the words' times away, or the sentence's sound."""
    sound, told = await spoken(engines, HARD)
    assert [HARD[timing.start : timing.end] for timing in told][:7] == HARD.split()[:7]
    for before, after in itertools.pairwise(told):
        assert before.end <= after.start
        assert 0 < before.begins <= before.ends <= after.ends <= len(sound) / 24_000


@pytest.mark.parametrize("text", [*PROSE, "7:45, on 3/4/2024 (Dr. No).", "one, two " * 80])
def test_it_is_read_as_the_engine_reads_it(engines: dict[str, object], text: str) -> None:
    """To know the words, some of it would sound otherwise."""
    plain = _plain(engines)
    runs = [run.phonemes for sentence in plain.split_sentences(text) for run in _read(plain, sentence)]
    assert runs == plain.phonemize(text)


async def test_the_sound_is_the_engine_s_own(engines: dict[str, object]) -> None:
    """Asking the network for its lengths would change what is heard."""
    sound, _ = await spoken(engines, PROSE[0])
    own = np.asarray(_plain(engines)(PROSE[0], seed=1))
    assert len(own) == len(sound)
    assert np.abs(own * 32_767 / 32_768 - sound).max() < 2 / 32_768


async def test_a_network_without_lengths_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of the engine would be mute."""
    monkeypatch.setattr(providers.hibari, "with_lengths", lambda model: model + b"\x3a\x05\x62\x03\x0a\x01?")
    sound, told = await spoken({}, "Hello there.")
    assert len(sound) > 12_000
    assert told == []


def _plain(engines: dict[str, object]) -> Engine:
    return engines.setdefault("plain", Engine(threads=1))


def said(*words: str) -> list[SpokenWord]:
    """Each a second long."""
    return [SpokenWord(word, float(at), at + 1.0) for at, word in enumerate(words)]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("at 7:45 sharp", ["at", "seven", "forty-five", "sharp"], [(0, 2, 0, 1), (3, 7, 1, 3), (8, 13, 3, 4)]),
        ("Dr. No", ["Doctor", "No"], [(0, 3, 0, 1), (4, 6, 1, 2)]),
        ("a ~ b", ["a", "b"], [(0, 1, 0, 1), (4, 5, 1, 2)]),
        ("Привет, мир", ["Privet,", "mir"], [(0, 7, 0, 1), (8, 11, 1, 2)]),
        ("x y z", ["one", "two"], [(0, 5, 0, 2)]),
        ("end 5", ["end", "and", "five"], [(0, 3, 0, 1), (4, 5, 1, 3)]),
        ("", ["a"], []),
        ("a", [], []),
    ],
)  # fmt: skip
def test_words_are_found_again(
    text: str, words: list[str], expected: list[tuple[int, int, int, int]]
) -> None:
    """A word would be marked while another one is heard."""
    assert timings(text, said(*words)) == [Timing(*one) for one in expected]


@given(st.lists(st.sampled_from("ab7&"), max_size=40), st.lists(st.sampled_from("abc&"), max_size=40))
def test_whatever_is_read_times_are_in_order(written: list[str], read: list[str]) -> None:
    """A caption would go back."""
    told = timings(" ".join(written), said(*read))
    for before, after in itertools.pairwise(told):
        assert before.end < after.start
        assert before.ends <= after.begins


def test_finding_words_is_linear() -> None:
    """A long text would hold up every voice: the interpreter is held meanwhile."""

    def seconds(count: int) -> float:
        began = process_time()
        timings("a b " * count, said(*("b a b b c".split() * count)))  # noqa: SIM905 - words
        return process_time() - began

    small = min(seconds(500) for _ in range(3))
    assert min(seconds(4_000) for _ in range(3)) < 8 * 3 * small + 0.02

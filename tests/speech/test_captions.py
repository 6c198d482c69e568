"""Captions of any text, by any timings."""

from time import process_time, time
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NotFound
from app.http.captions import FORMS
from app.metrics import Metrics
from app.speech.captions import captions
from app.speech.cast import Casting
from app.speech.clips import ClipMeta, ClipSource
from app.speech.manifest import ClipLine, Manifest
from app.speech.studio import Studio
from app.speech.subtitles import subrip, webvtt
from app.speech.timings import packed
from cache.cache import open_cache
from cache.value import new_entry
from providers.guard import circuit_of
from tests.speech import reading

WORDS = st.text(
    st.sampled_from("aeé.,-—&<>;:!?\"'(){}\\0好、。😀\u0301\u200d")
    | st.characters(exclude_categories=["Cs", "Cc", "Z"]),
    min_size=1,
    max_size=90,
) | st.sampled_from(
    ["-->", "<b>", "&amp;", "00:00:01.000", "<00:00:01.000>", "NOTE", "WEBVTT", "1", "a" * 300]
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=25).map(" ".join)


def clip(
    sentences: tuple[str, ...],
    samples: int = 96_000,
    *,
    rest: int = 0,
    audible: tuple[int, int] | None = None,
    timings: tuple[tuple[int, int, int, int], ...] = (),
    replaced: tuple[tuple[int, int, int], ...] = (),
) -> tuple[ClipLine, ClipMeta]:
    """A clip of these sentences, which together are its text."""
    characters = len("".join(sentences)) + sum(said - (end - start) for start, end, said in replaced)
    line = ClipLine("", "", samples, 1, "p", characters, True, 0.0, rest, sentences, replaced)
    return line, ClipMeta(samples, "p", characters, audible, packed(timings))


@st.composite
def clips(draw: st.DrawFn) -> tuple[ClipLine, ClipMeta]:
    """Any clip that a recorder could have made, of any text."""
    sentences = draw(st.lists(SENTENCES, min_size=1, max_size=4))
    apart = [f"{sentence} " for sentence in sentences[:-1]] + sentences[-1:]
    length = len("".join(apart))
    samples = draw(st.integers(6_000, 400_000))
    audible = (576, draw(st.integers(1_000, samples - 1_728)))
    cuts = sorted(
        draw(st.lists(st.integers(0, length), max_size=6).map(lambda cuts: cuts[: len(cuts) // 2 * 2]))
    )
    replaced = tuple(
        (start, end, draw(st.integers(0, 9))) for start, end in zip(cuts[::2], cuts[1::2], strict=True)
    )
    said = length + sum(size - (end - start) for start, end, size in replaced)
    places = sorted(draw(st.sets(st.integers(0, said), max_size=12)))
    times = sorted(draw(st.lists(st.integers(*audible), min_size=len(places), max_size=len(places))))
    pairs = zip(places[::2], places[1::2], times[::2], times[1::2], strict=False)
    rest = draw(st.sampled_from([0, 576, 24_000]))
    return clip(tuple(apart), samples, rest=rest, audible=audible, timings=tuple(pairs), replaced=replaced)


AS_SHOWN = {ord("<"): "\u2039", ord(">"): "\u203a"}


def letters(text: str) -> str:
    """What must not be lost."""
    return "".join(text.split())


@given(st.lists(clips(), min_size=1, max_size=4))
def test_any_text_by_any_timings(found: list[tuple[ClipLine, ClipMeta]]):
    """A player would drop the cues, show half a text, or take a text for times."""
    lines, metas = [line for line, _ in found], [meta for _, meta in found]
    total = sum(line.samples + line.rest for line in lines)
    duration = round(total / 24)
    cues = captions(lines, metas)
    text = letters("".join("".join(line.sentences) for line in lines))
    seconds, told = reading.document(FORMS["captions.json"].write("", cues).decode())
    assert abs(seconds - total / 24_000) < 0.001
    read = {"json": told, "vtt": reading.vtt(webvtt(cues)), "srt": reading.srt(subrip(cues))}
    for form, shown in read.items():
        reading.assert_in_order(shown, round(seconds * 1_000))
        assert abs(shown[-1].end - duration) <= 1
        as_shown = text.translate(AS_SHOWN).replace("{\\", "{") if form == "srt" else text
        told_all = letters("".join(cue.text for cue in shown))
        assert told_all.replace("→", "--\u203a") == as_shown.replace("→", "--\u203a")


@given(st.lists(SENTENCES, min_size=1, max_size=3))
def test_lines_fit_on_the_screen(sentences: list[str]):
    """Words would stand beyond the edge of the picture, or cover all of it."""
    apart = tuple(f"{sentence} " for sentence in sentences)
    cues = captions(*zip(clip(apart, 24_000 * 600), strict=True))
    for cue in reading.srt(subrip(cues)):
        assert len(cue.lines) <= 2
        assert all(len(line.replace("→", "-->")) <= 42 for line in cue.lines)


def test_long_sentences_are_divided_behind_punctuation():
    """A viewer would lose the thread between two cues, or between two lines."""
    text = (
        "Then it said the name, quite clearly, in her own voice, which was not what anybody in the house "
        "had expected at this hour, least of all the cat."
    )
    cues = captions(*zip(clip((text,), 24_000 * 10), strict=True))
    assert [cue.lines for cue in reading.srt(subrip(cues))] == [
        ["Then it said the name,", "quite clearly, in her own voice,"],
        ["which was not what anybody in the", "house had expected at this hour,"],
        ["least of all the cat."],
    ]


def test_wide_characters_take_two_columns():
    """A line of Chinese would be twice as wide as the picture."""
    cues = captions(*zip(clip(("好" * 50 + "。",), 24_000 * 10), strict=True))
    assert {len(line) <= 21 for cue in reading.srt(subrip(cues)) for line in cue.lines} == {True}


def test_sentences_begin_where_the_provider_says():
    """Captions would run ahead of a voice that pauses, or behind."""
    text = ("One is here. ", "Two is there.")
    timings = (
        (0, 3, 1_200, 4_800),
        (4, 11, 4_800, 12_000),
        (13, 16, 72_000, 76_800),
        (17, 26, 76_800, 84_000),
    )
    cues = captions(*zip(clip(text, audible=(1_200, 90_000), timings=timings), strict=True))
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [
        (50, 3_000, "One is here."),
        (3_000, 4_000, "Two is there."),
    ]
    words = [(word.text, word.start, word.told) for word in cues[1].words]
    assert words == [("Two", 3_000, True), ("is", 3_200, False), ("there.", 3_300, False)]


def test_without_timings_sentences_share_by_characters():
    """All sentences of a clip would stand there from its beginning."""
    text = ("Ten letters. ", "Ten more of. ", "x" * 26)
    cues = captions(*zip(clip(text, audible=(24_000, 76_000), rest=2_400), strict=True))
    assert [(cue.start, cue.end) for cue in cues] == [(1_000, 1_542), (1_542, 2_083), (2_083, 4_100)]


def test_what_is_said_otherwise_is_shown_as_written():
    """The reader would see how a name is pronounced, or all words behind it would be marked too early."""
    timings = ((0, 3, 600, 1_200), (4, 10, 1_200, 4_800), (11, 12, 4_800, 9_600), (13, 17, 9_600, 12_000))
    found = clip(("Use nginx now.",), timings=timings, replaced=((4, 9, 8),), audible=(600, 12_000))
    (cue,) = captions(*zip(found, strict=True))
    assert cue.text == "Use nginx now."
    assert [(word.text, word.start, word.end, word.told) for word in cue.words] == [
        ("Use", 25, 50, True),
        ("nginx", 50, 400, True),
        ("now.", 400, 500, True),
    ]


def test_words_that_are_timed_together_have_no_times():
    """The first of them would be marked for as long as all of them."""
    found = clip(("In New York",), timings=((0, 2, 600, 1_200), (3, 11, 1_200, 9_600)), audible=(600, 9_600))
    (cue,) = captions(*zip(found, strict=True))
    assert [word.told for word in cue.words] == [True, False, False]
    assert [word.start for word in cue.words] == sorted(word.start for word in cue.words)


def test_what_has_no_time_of_its_own_is_shown_with_its_neighbour():
    """Players drop cues that end where they begin."""
    timings = ((0, 2, 1_200, 1_200), (3, 5, 1_200, 1_200), (6, 8, 1_200, 1_200))
    cues = captions(*zip(clip(("A. ", "B. ", "C."), timings=timings, audible=(1_200, 1_200)), strict=True))
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [(50, 4_000, "A. B. C.")]


def test_a_clip_without_words_has_no_cue():
    """One line that nobody can read would take all the captions away."""
    found = [clip((" ",)), clip(("One.",)), clip(("",))]
    (cue,) = captions([line for line, _ in found], [meta for _, meta in found])
    assert (cue.start, cue.end, cue.text) == (4_000, 12_000, "One.")
    assert captions(*zip(clip((" ",)), strict=True)) == []


def test_an_hour_is_told_in_hours():
    """Every caption behind the first hour would be refused."""
    found = [clip(("One.",), 24_000 * 3_599), clip(("Two.",), 24_000 * 60)]
    cues = captions([line for line, _ in found], [meta for _, meta in found])
    assert reading.vtt(webvtt(cues))[1].end == 3_659_000
    assert "01:00:59.000\nTwo." in webvtt(cues)


async def test_speech_of_before_has_no_captions():
    """Whoever asks for captions of old speech would be told that it is gone, and not what to do."""
    line = msgspec.structs.replace(clip(("One.",))[0], digest="1" * 40, sentences=())
    cache = open_cache(memory_bytes=2**20)
    manifest = Manifest("mp3", 24_000, (line, line))
    await cache.put("0" * 40, new_entry(msgspec.json.encode(manifest), b"", made_at=time(), ttl=60))
    studio = Studio(
        casting=cast("Casting", None),
        source=cast("ClipSource", None),
        cache=cache,
        metrics=Metrics(),
        hedging=circuit_of,
        deadline=1,
    )
    with pytest.raises(NotFound, match="POST its text again"):
        await studio.captions("0" * 40)
    await cache.aclose()


@pytest.mark.parametrize("unit", ["a ", "a", "好", "👩‍👩‍👦", "-->", "a, ", "e" + "\u0301" * 29])
def test_time_is_linear(unit: str):
    """One page of anybody's would hold up the server."""

    def seconds(count: int) -> float:
        sentence = (unit * count).strip() + "."
        found = clip((sentence,), 24_000 * 600, audible=(576, 24_000 * 500))
        began = process_time()
        cues = captions(*zip(found, strict=True))
        assert webvtt(cues)
        assert subrip(cues)
        return process_time() - began

    small = min(seconds(250) for _ in range(3))
    assert min(seconds(2_000) for _ in range(2)) < 8 * 3 * small + 0.02


def test_tags_in_a_text_are_text_in_subrip():
    """Players take them for markup: words would be lost, or the line would jump to the top."""
    cues = captions(*zip(*[clip((r"If a <b and c> d {\an8} then stop -->.",))], strict=True))
    assert "If a \u2039b and c\u203a d {an8} then stop →." in " ".join(subrip(cues).split())

"""ElevenLabs' alignment of any text, by any timings: the same source as captions."""

from time import process_time

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.speech.alignment import Alignment, alignment
from app.speech.captions import captions
from app.speech.clips import ClipMeta
from app.speech.manifest import ClipLine, Manifest
from tests.speech.test_captions import clip, clips


def aligned(found: list[tuple[ClipLine, ClipMeta]]) -> tuple[str, Alignment]:
    """The text of these clips' speech, and its alignment."""
    lines, metas = [line for line, _ in found], [meta for _, meta in found]
    text = Manifest("mp3", 24_000, tuple(lines)).text
    return text, alignment(text, captions(lines, metas))


def spans(made: Alignment) -> list[tuple[str, float, float]]:
    """Each character with its times."""
    times = zip(made.character_start_times_seconds, made.character_end_times_seconds, strict=True)
    return [(character, *pair) for character, pair in zip(made.characters, times, strict=True)]


@given(st.lists(clips(), min_size=1, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_any_text_by_any_timings(found: list[tuple[ClipLine, ClipMeta]], run_on: list[bool]):
    """A client that marks letters would fail on lists of other lengths, or jump back, or run past the sound."""
    found = [
        (msgspec.structs.replace(line, runs_on=on), meta)
        for (line, meta), on in zip(found, run_on, strict=False)
    ]
    text, made = aligned(found)
    assert "".join(made.characters) == text
    assert all(len(character) == 1 for character in made.characters)
    latest = 0.0
    for _, start, end in spans(made):
        assert latest <= start <= end
        latest = end
    spoken = found[-1][1].audible
    assert spoken
    offset = sum(line.samples + line.rest for line, _ in found[:-1])
    assert latest <= (offset + spoken[1]) / 24_000 + 0.0006


@given(st.lists(clips(), min_size=1, max_size=4))
def test_it_says_what_captions_say(found: list[tuple[ClipLine, ClipMeta]]):
    """A page with captions and a client of the alignment would show two times for one word."""
    text, made = aligned(found)
    cues = captions([line for line, _ in found], [meta for _, meta in found])
    at = 0
    for word in (word for cue in cues for word in cue.words):
        at = text.index(word.text, at)
        behind = at + len(word.text)
        assert made.character_start_times_seconds[at] == word.start / 1_000
        assert made.character_end_times_seconds[behind - 1] == word.end / 1_000
        at = behind


def test_characters_share_their_word_and_blanks_have_what_is_between():
    """Letters would be marked before their word is heard, or in the pause behind it."""
    timings = ((0, 4, 2_400, 4_800), (5, 7, 7_200, 12_000))
    _, made = aligned([clip(("Ab c de",), timings=timings, audible=(2_400, 12_000))])
    # "Ab c" was told in one piece, so its words share it.
    assert spans(made) == [
        ("A", 0.1, 0.125),
        ("b", 0.125, 0.15),
        (" ", 0.15, 0.175),
        ("c", 0.175, 0.2),
        (" ", 0.2, 0.3),
        ("d", 0.3, 0.4),
        ("e", 0.4, 0.5),
    ]


def test_clips_are_apart_by_a_blank_or_by_nothing():
    """Words of two sentences would be one, or a Chinese text have blanks that nobody wrote."""
    one, other = clip(("One. ", "Two."), 24_000, rest=12_000), clip(("Three.",), 24_000)
    text, made = aligned([one, other])
    assert text == "One. Two. Three."
    assert spans(made)[9] == (" ", 1.0, 1.5)
    line, meta = clip(("好。",), 24_000)
    joined, _ = aligned([(msgspec.structs.replace(line, runs_on=True), meta), clip(("坏。",), 24_000)])
    assert joined == "好。坏。"


def test_what_no_word_stands_in_has_times_too():
    """A client would wait for ever for the last character."""
    text, made = aligned([clip((" Hm. ",), 24_000), clip((" ",), 24_000)])
    assert text == " Hm.   "
    edge = [(start, end) for _, start, end in spans(made)]
    assert edge[0] == (0.0, edge[1][0])
    assert {start for start, _ in edge[4:]} == {end for _, end in edge[3:]}


def test_time_is_linear():
    """One page of anybody's would hold up the server."""

    def seconds(count: int) -> float:
        found = [clip((("word " * count).strip() + ".",), 24_000 * 600)]
        began = process_time()
        aligned(found)
        return process_time() - began

    small = min(seconds(500) for _ in range(3))
    assert min(seconds(4_000) for _ in range(2)) < 8 * 3 * small + 0.02

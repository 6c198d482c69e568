"""Lines of sound and times: however they arrive, and whatever is in them."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from providers import elevenlabs_lines
from providers.elevenlabs_lines import spoken
from providers.errors import BadAudio
from providers.interface import Timing
from providers.lines import MOST_LINE
from tests.providers.elevenlabs_wire import line, lines

TEXT = "Tea at seven, then home."
SOUND = bytes(range(256)) * 700


async def pieces(body: bytes, size: int) -> AsyncGenerator[bytes]:
    """A body in pieces of this size."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def heard(body: bytes, text: str = TEXT, size: int = 4_096) -> tuple[bytes, list[Timing]]:
    """The sound and the timings of a body."""
    told: list[Timing] = []
    sound = b"".join([piece async for piece in spoken(pieces(body, size), text, told, "wire")])
    return sound, told


def words(told: Sequence[Timing], text: str = TEXT) -> list[tuple[str, float, float]]:
    """Timings to be read."""
    return [(text[one.start : one.end], one.begins, one.ends) for one in told]


@pytest.mark.parametrize("size", [1, 7, 4_096, 10_000_000])
async def test_lines_are_whole_however_they_arrive(size: int):
    """A network cuts anywhere: half a line of base 64 is other sound."""
    sound, told = await heard(lines(TEXT, SOUND, 0.1), size=size)
    assert sound == SOUND
    assert words(told) == [
        ("Tea", 0.0, 0.3),
        ("at", 0.4, 0.6),
        ("seven,", 0.7, 1.3),
        ("then", 1.4, 1.8),
        ("home.", 1.9, 2.4),
    ]


async def test_the_last_line_needs_no_end():
    """A server that ends without a newline would lose its last words."""
    sound, told = await heard(line(SOUND, TEXT))
    assert sound == SOUND
    assert len(told) == 5


async def test_sound_comes_line_by_line():
    """Read to its end first, a stream is no stream: the first sound would wait for the last."""
    whole = line(b"one", "Tea") + b"\n" + line(b"two", " at") + b"\n"
    given = 0

    async def counted() -> AsyncGenerator[bytes]:
        nonlocal given
        for at in range(len(whole)):
            given = at + 1
            yield whole[at : at + 1]

    sound = spoken(counted(), TEXT, [], "wire")
    assert await anext(sound) == b"one"
    assert given == whole.index(b"\n") + 1
    await sound.aclose()


async def test_who_leaves_closes_the_connection():
    """The request behind the lines would stay open, and be charged, until it is collected."""
    closed = False

    async def raw() -> AsyncGenerator[bytes]:
        nonlocal closed
        try:
            while True:
                yield line(b"x") + b"\n"
        finally:
            closed = True

    sound = spoken(raw(), TEXT, [], "wire")
    await anext(sound)
    await sound.aclose()
    assert closed


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{",
        b'{"audio_base64": "no base 64!"}',
        b'{"audio_base64": 5}',
        b'{"ok": true}',
        b'{"audio_base64": null, "alignment": null}\n',
        b"\n\n",
        b"[" * 100_000,
        b"\xff\xfe",
        bytes(1_000),
    ],
)
async def test_what_is_no_sound_is_refused(body: bytes):
    """Anything else would be stored as speech, or crash what reads it."""
    with pytest.raises(BadAudio):
        await heard(body)


async def test_a_line_without_end_is_cut_off():
    """A server gone wrong would fill the memory with one line."""
    with pytest.raises(BadAudio, match="far too long"):
        await heard(b"x" * (MOST_LINE + 1), size=1_000_000)


@pytest.mark.parametrize(
    "alignment",
    [
        b"5",
        b'"x"',
        b"[]",
        b"{}",
        b'{"characters": ["T"], "character_start_times_seconds": [null], "character_end_times_seconds": [1]}',
        b'{"characters": [5], "character_start_times_seconds": [0], "character_end_times_seconds": [1]}',
        b'{"characters": [], "character_start_times_seconds": [], "character_end_times_seconds": []}',
        b'{"characters": ["T"], "character_start_times_seconds": [], "character_end_times_seconds": []}',
        b'{"characters": ["", " "], "character_start_times_seconds": [0, 0], "character_end_times_seconds": [0, 0]}',
        b"[" + b"0," * 100_000 + b"0]",
    ],
)
async def test_times_that_make_no_sense_cost_no_sound(alignment: bytes):
    """A vendor's slip in the captions is not worth a clip."""
    sound, told = await heard(b'{"audio_base64": "c291bmQ=", "alignment": ' + alignment + b"}\n")
    assert sound == b"sound"
    assert told == []


async def test_far_more_characters_than_were_sent_are_not_kept():
    """A server that repeats itself for ever would fill the memory with times."""
    heard_of = elevenlabs_lines._Heard(TEXT)
    for _ in range(1_000):
        heard_of.add(elevenlabs_lines._read(line(b"x", TEXT), "wire")[1])
    heard_of.add(
        {
            "characters": ["x" * 1_000_000],
            "character_start_times_seconds": [0.0],
            "character_end_times_seconds": [1.0],
        }
    )
    assert len(heard_of._said) == len(heard_of._begins) == len(heard_of._ends) <= 11 * len(TEXT)
    assert all(one.end <= len(TEXT) for one in heard_of.words())


async def test_half_an_emoji_costs_neither_sound_nor_times():
    """A server that counts in UTF-16 cuts an emoji in two, and JSON has no halves."""
    text = "Tea 🍵 at seven."
    halves = line(SOUND, "Tea \ud83c\udf75 at seven.", pace=0.1)
    sound, told = await heard(halves, text)
    assert sound == SOUND
    assert [word for word, *_ in words(told, text)] == ["Tea", "🍵", "at", "seven."]


async def test_words_that_were_written_otherwise_keep_their_times():
    """One curly quote, and captions would be guessed from there on."""
    text = "“Tea” at seven, then home."
    _, told = await heard(line(SOUND, '"Tea" at seven, then home.', pace=0.1), text)
    assert [word for word, *_ in words(told, text)] == ["“Tea”", "at", "seven,", "then", "home."]


async def test_words_that_were_read_otherwise_are_told_as_one():
    """A time read as four words would move all words behind it by three."""
    text = "Tea at 7:45, then home."
    _, told = await heard(line(SOUND, "Tea at seven forty five, then home.", pace=0.1), text)
    assert words(told, text) == [
        ("Tea", 0.0, 0.3),
        ("at", 0.4, 0.6),
        ("7:45,", 0.7, 2.4),
        ("then", 2.5, 2.9),
        ("home.", 3.0, 3.5),
    ]


async def test_what_was_left_out_has_no_time_and_the_rest_has():
    """A tag that is acted and not said would take the next word's time."""
    text = "[laughs] Tea at seven."
    _, told = await heard(line(SOUND, "Tea at seven.", pace=0.1), text)
    assert [word for word, *_ in words(told, text)] == ["Tea", "at", "seven."]


async def test_scripts_without_blanks_are_told_by_their_points():
    """A whole paragraph of Japanese would be one word."""
    text = "お茶は七時です。それから、帰ります。"
    _, told = await heard(line(SOUND, text), text)
    assert [word for word, *_ in words(told, text)] == ["お茶は七時です。", "それから、", "帰ります。"]

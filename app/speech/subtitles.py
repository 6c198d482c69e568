"""Captions laid out for screens: WebVTT (W3C) and SubRip.

At most two lines of 42 characters, as Netflix' English Timed Text Style Guide has it; those that take two columns
count twice. Lines break, and long sentences are divided, near the middle, rather behind punctuation.
"""

import html
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final
from unicodedata import east_asian_width

from app.speech.captions import Cue, Word, in_turn, joined
from app.text.graphemes import cut

LINE: Final = 42
"""Columns."""

_CLOSING: Final = ".,;:!?…—–、，；：。！？)"  # noqa: RUF001 - these marks are meant
_QUOTES: Final = "\"'”’»」』"  # noqa: RUF001 - likewise


def webvtt(cues: Sequence[Cue]) -> str:
    """With a time before each word whose time is known."""
    blocks = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n" + "\n".join(_timed(cue)) + "\n"
        for cue in _laid(cues)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def subrip(cues: Sequence[Cue]) -> str:
    """Without times of words, for it has none, and without signs that players take for times or tags."""
    blocks = [
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + "\n".join(_untagged(joined(line)) for line in _lines(cue.words))
        + "\n"
        for number, cue in enumerate(_laid(cues), 1)
    ]
    return "\n".join(blocks)


def _untagged(line: str) -> str:
    """SubRip has no escapes: what players would take for markup is written with signs that look like it."""
    line = line.replace("-->", "→").replace("{\\", "{")
    return line.replace("<", "\u2039").replace(">", "\u203a")


def _laid(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Each cue, or several for one that is longer than two lines."""
    for cue in cues:
        words = [piece for word in cue.words for piece in _pieces(word)]
        yield from in_turn(_divided(words), cue.end)


def _divided(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Parts that fit, in order."""
    waiting = [words]
    while waiting:
        part = waiting.pop()
        halves = None if _fits(part) else _halves(part)
        if halves is None:
            yield part
        else:
            waiting += reversed(halves)


def _fits(words: Sequence[Word]) -> bool:
    return _columns(words)[1][-1] <= LINE or _halves(words, LINE) is not None


def _lines(words: Sequence[Word]) -> list[Sequence[Word]]:
    """Two at most where they fit; cues that had to be shown together may take more."""
    if _columns(words)[1][-1] <= LINE:
        return [words]
    if halves := _halves(words, LINE):
        return [*halves]
    return [line for part in _divided(words) for line in _lines(part)]


def _halves(words: Sequence[Word], most: int | None = None) -> tuple[Sequence[Word], Sequence[Word]] | None:
    """Two parts, about equal, rather behind punctuation; None where both cannot have `most` columns or less."""
    starts, ends = _columns(words)
    best, cost = 0, float("inf")
    for at in range(1, len(words)):
        left, right = ends[at - 1], ends[-1] - starts[at]
        if most is not None and max(left, right) > most:
            continue
        # A comma that leaves a fifth on either side is a better place than any blank.
        uneven = abs(left - right) - 0.6 * ends[-1] * _closes(words[at - 1])
        if uneven < cost:
            best, cost = at, uneven
    return (words[:best], words[best:]) if best else None


def _closes(word: Word) -> bool:
    return word.text.rstrip(_QUOTES).endswith(tuple(_CLOSING))


def _columns(words: Sequence[Word]) -> tuple[list[int], list[int]]:
    """In one line, the columns where each word begins, and ends."""
    widths = [_width(word.text) for word in words]
    blanks = [int(word.apart and at > 0) for at, word in enumerate(words)]
    ends = list(accumulate(width + blank for width, blank in zip(widths, blanks, strict=True)))
    return [end - width for end, width in zip(ends, widths, strict=True)], ends


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text) + sum(east_asian_width(character) in {"W", "F"} for character in text)


def _pieces(word: Word) -> Iterator[Word]:
    """The word, or pieces of one that is longer than a line, each with its share of the time."""
    text, duration = word.text, word.end - word.start
    at = 0
    while len(text) - at > LINE or _width(text[at:]) > LINE:
        wide = _width(text[at : at + LINE]) > len(text[at : at + LINE])
        behind = cut(text, at, at + (LINE // 2 if wide else LINE))
        yield _piece(word, at, behind, duration)
        at = behind
    yield _piece(word, at, len(text), duration) if at else word


def _piece(word: Word, start: int, end: int, duration: int) -> Word:
    size = len(word.text)
    return replace(
        word,
        text=word.text[start:end],
        start=word.start + duration * start // size,
        end=word.start + duration * end // size,
        told=word.told and not start,
        apart=word.apart and not start,
    )


def _timed(cue: Cue) -> Iterator[str]:
    """The lines of a cue in WebVTT; times within it must grow, and be neither its first nor its last."""
    latest = cue.start
    for line in _lines(cue.words):
        parts = []
        for at, word in enumerate(line):
            parts.append(" " * (word.apart and at > 0))
            if word.told and latest < word.start < cue.end:
                latest = word.start
                parts.append(f"<{_clock(latest, '.')}>")
            parts.append(html.escape(word.text, quote=False))
        yield "".join(parts)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"

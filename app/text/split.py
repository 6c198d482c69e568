"""Cutting a sentence that is too long: at a clause, a blank, a word, a grapheme, in this order of preference."""

from dataclasses import dataclass
from typing import Final

import regex

from app.text import graphemes, marks
from app.text.span import Span

# Characters before which a first chunk is not cut: less gives no time to make the second.
_FIRST_CLAUSE: Final = 40
_EARLIEST: Final = 0.5  # of the even length; a piece is not made shorter than this for the sake of a clause
# A clause ends behind its mark and closing quotes; a spaced dash belongs to the clause before it.
_CLAUSE_END: Final = regex.compile(
    rf"[{regex.escape(''.join(sorted(marks.CLAUSE)))}][\"”’»)\]]?+(?=\s)|[，、；：]|\s[–—](?=\s)|—(?=\w)"  # noqa: RUF001
)
_BLANK: Final = regex.compile(r"\s")
_WORD_END: Final = regex.compile(r"(?<=[\p{L}\p{N}])(?=[^\p{L}\p{N}\p{M}\p{Cf}\s])|[-/_.](?=\w)")


@dataclass(frozen=True, slots=True)
class Room:
    """What fits: code points, and bytes of UTF-8."""

    chars: int
    bytes: int | None = None

    def fits(self, text: str, start: int, end: int) -> bool:
        """Whether that piece of the text does."""
        if end - start > self.chars:
            return False
        return self.bytes is None or _size(text[start:end]) <= self.bytes

    def reach(self, text: str, start: int, end: int) -> int:
        """The largest offset up to `end` at which a piece from `start` still fits."""
        end = min(end, start + self.chars)
        if self.bytes is None or _size(text[start:end]) <= self.bytes:
            return end
        left = self.bytes
        for offset in range(start, end):
            left -= _size(text[offset])
            if left < 0:
                return offset
        return end


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def pieces(text: str, span: Span, room: Room) -> list[Span]:
    """The span, or as few and as even pieces of it as fit. Linear in its length."""
    found: list[Span] = []
    start = span.start
    while not room.fits(text, start, span.end):
        reach = room.reach(text, start, span.end)
        fit = reach - start
        even = -(-(span.end - start) // -(-(span.end - start) // fit))
        cut = _cut(text, start, start + even, reach)
        _append(found, text, start, cut)
        start = cut
    _append(found, text, start, span.end)
    return found


def opening(text: str, span: Span, room: Room, first_chars: int) -> tuple[Span, Span | None]:
    """The beginning of the first sentence, within `first_chars`, and the rest of it."""
    small = Room(min(first_chars, room.chars), room.bytes)
    if small.fits(text, span.start, span.end):
        return span, None
    reach = small.reach(text, span.start, span.end)
    clause = _CLAUSE_END.search(text, min(span.start + _FIRST_CLAUSE, reach), min(reach + 1, span.end))
    clean = clause is not None and clause.end() <= reach
    cut = clause.end() if clause and clean else _cut(text, span.start, reach, reach)
    head: list[Span] = []
    _append(head, text, span.start, cut)
    rest: list[Span] = []
    _append(rest, text, cut, span.end)
    return head[0], rest[0] if rest else None


def _cut(text: str, start: int, even: int, reach: int) -> int:
    """The best place to cut in (start, reach], near `even`."""
    earliest = start + max(1, int((even - start) * _EARLIEST))
    for pattern in (_CLAUSE_END, _BLANK, _WORD_END):
        places = [
            found.end()
            for found in pattern.finditer(text, earliest, min(reach + 1, len(text)))
            if found.end() <= reach
        ]
        whole = [place for place in places if not marks.is_extender(text[place : place + 1])]
        if whole:
            return min(whole, key=lambda place: abs(place - even))
    return graphemes.cut(text, start, reach)


def _append(found: list[Span], text: str, start: int, end: int) -> None:
    """Without white space at its ends; nothing where nothing is left."""
    body = text[start:end]
    begin = start + len(body) - len(body.lstrip())
    end = start + len(body.rstrip())
    if begin < end:
        found.append(Span(begin, end))

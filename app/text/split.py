"""Cutting a sentence that is too long: at a clause, a blank, a word, a grapheme, in this order of preference."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import regex
from icu4py.breakers import WordBreaker

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
_UNSPACED: Final = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_CONTEXT: Final = 32  # characters around a stretch that its words in a dictionary may need

Words = Callable[[str, int, int], list[int]]


def nowhere(place: int) -> bool:  # noqa: ARG001 - a predicate's signature
    """No place is solid."""
    return False


@dataclass(frozen=True, slots=True)
class Room:
    """What fits into one chunk, and where it should not be cut.

    `chars` are code points; `also(start, end)` says whether that stretch has room in other ways, and may be slow.
    Where a stretch has room, so have the shorter ones that begin with it, and each single character has; where that
    is not so, pieces are smaller than they could be, and a character goes out. At a `solid` place a cut is made only
    if there is no other.
    """

    chars: int
    also: Callable[[int, int], bool] | None = None
    solid: Callable[[int], bool] = nowhere

    def fits(self, start: int, end: int) -> bool:
        """Whether that stretch of the text does."""
        return end - start <= self.chars and (self.also is None or self.also(start, end))

    def reach(self, start: int, end: int) -> int:
        """The largest offset up to `end` at which a piece from `start` still fits; behind `start` in any case."""
        end = min(end, start + self.chars)
        if self.also is None or self.also(start, end):
            return end
        fitting, over = start + 1, end
        while over - fitting > 1:
            middle = (fitting + over) // 2
            if self.also(start, middle):
                fitting = middle
            else:
                over = middle
        return fitting


def pieces(text: str, span: Span, room: Room) -> list[Span]:
    """The span, or as few and as even pieces of it as fit. Linear in its length."""
    found: list[Span] = []
    start = span.start
    while span.end - start > 1 and not room.fits(start, span.end):
        reach = room.reach(start, span.end)
        fit = reach - start
        even = -(-(span.end - start) // -(-(span.end - start) // fit))
        cut = _cut(text, start, start + even, reach, room)
        _append(found, text, start, cut)
        start = cut
    _append(found, text, start, span.end)
    return found


def opening(text: str, span: Span, room: Room, first_chars: int) -> tuple[Span, Span | None]:
    """The beginning of the first sentence, within `first_chars`, and the rest of it."""
    small = replace(room, chars=min(first_chars, room.chars))
    if small.fits(span.start, span.end) or span.end - span.start == 1:
        return span, None
    reach = small.reach(span.start, span.end)
    clause = _CLAUSE_END.search(text, min(span.start + _FIRST_CLAUSE, reach), min(reach + 1, span.end))
    clean = clause is not None and clause.end() <= reach and not room.solid(clause.end())
    cut = clause.end() if clause and clean else _cut(text, span.start, reach, reach, room)
    head: list[Span] = []
    _append(head, text, span.start, cut)
    rest: list[Span] = []
    _append(rest, text, cut, span.end)
    return head[0], rest[0] if rest else None


def _cut(text: str, start: int, even: int, reach: int, room: Room) -> int:
    """The best place to cut in (start, reach], near `even`."""
    earliest = start + max(1, int((even - start) * _EARLIEST))
    for places in (_CLAUSE_END, _BLANK, _WORD_END, _words):
        found = [end for end in _ends(places, text, earliest, reach) if not room.solid(end)]
        whole = [place for place in found if not marks.is_extender(text[place : place + 1])]
        if whole:
            return min(whole, key=lambda place: abs(place - even))
    return graphemes.cut(text, start, reach)


def _ends(places: "regex.Pattern[str] | Words", text: str, earliest: int, reach: int) -> Iterable[int]:
    """Offsets in [earliest, reach] behind such places."""
    if callable(places):
        return places(text, earliest, reach)
    found = places.finditer(text, earliest, min(reach + 1, len(text)))
    return (match.end() for match in found if match.end() <= reach)


def _words(text: str, earliest: int, reach: int) -> list[int]:
    """Ends of words in scripts that write none: by ICU's dictionaries, from the last blank on or nearly so."""
    if not _UNSPACED.search(text, earliest, reach):
        return []
    begin = max(earliest - _CONTEXT, 0)
    end, found = begin, []
    for word in WordBreaker(text[begin : reach + _CONTEXT], "th"):
        end += len(word)
        if earliest <= end <= reach:
            found.append(end)
    return found


def _append(found: list[Span], text: str, start: int, end: int) -> None:
    """Without white space at its ends; nothing where nothing is left."""
    body = text[start:end]
    begin = start + len(body) - len(body.lstrip())
    end = start + len(body.rstrip())
    if begin < end:
        found.append(Span(begin, end))

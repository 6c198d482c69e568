"""Where plain text falls apart before sentences are looked for: paragraphs, headings, items of lists."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.text import marks
from app.text.ahead import Ahead
from app.text.document import Block, BlockKind

_HEADING: Final = (
    50  # characters of the longest line that is taken for a heading; hard-wrapped prose is wider
)
_HEADING_UNCASED: Final = 20  # the same in scripts without capitals, whose wrapped lines are shorter
_CLOSED: Final = marks.TERMINATORS | marks.CLAUSE | marks.DASHES | frozenset('"”»')
_BULLETS: Final = frozenset("-*•–—·◦▪‣+")  # noqa: RUF001 - dashes are meant
_MARKER_LENGTH: Final = 3
# A line that ends with one of these goes on, however short it is.
_DANGLING: Final = frozenset(
    {
        "the",
        "a",
        "an",
        "of",
        "and",
        "or",
        "to",
        "in",
        "on",
        "at",
        "by",
        "for",
        "with",
        "from",
        "as",
        "is",
        "are",
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """The line that is being read. `start` is its offset, `opens` whether a block begins with it."""

    start: int
    opens: bool
    item: bool


class Break(StrEnum):
    """What a line end is."""

    NONE = "none"
    BLOCK = "block"
    MORE = "more"


def first_line(text: str, *, final: bool) -> Line | None:
    """The first line of a text; None: more is needed to tell."""
    ahead = Ahead(text, 0, final=final)
    item = _item(ahead, ahead.blanks(0), anywhere=True)
    return None if ahead.short else Line(0, opens=True, item=item)


def line_end(text: str, newline: int, line: Line, *, final: bool) -> tuple[Break, Line]:
    """What the line end at `newline` is, and the line behind it.

    Sees the last `_HEADING` characters of the line and the first `ahead.AHEAD` behind it; constant time.
    """
    ahead = Ahead(text, newline + 1, final=final)
    first = ahead.blanks(0)
    paragraph = "\n" in ahead.text[:first] or not ahead.at(first)
    length = newline - line.start
    last = text[newline - 1 : newline]
    ends = last in _CLOSED
    loose = ends or line.item or line.opens or length <= _HEADING
    item = _item(ahead, first, anywhere=paragraph or loose)
    breaks = paragraph or item or _stands_alone(text, newline, line, ahead.at(first), ends=ends)
    if ahead.short:
        return Break.MORE, line
    return (Break.BLOCK if breaks else Break.NONE), Line(newline + 1, opens=breaks, item=item)


def _stands_alone(text: str, newline: int, line: Line, following: str, *, ends: bool) -> bool:
    """A heading or an item: the next line begins anew, and this one is finished or too short to be wrapped prose."""
    if following.islower() or not (line.opens or line.item):
        return False
    if ends:
        return line.item and text[newline - 1 : newline] not in marks.CLAUSE
    words = text[max(line.start, newline - _HEADING, 0) : newline].split()
    limit = _HEADING_UNCASED if marks.is_uncased(following) else _HEADING
    return newline - line.start <= limit and bool(words) and words[-1].lower() not in _DANGLING


def _item(ahead: Ahead, index: int, *, anywhere: bool) -> bool:
    """Whether a list's item begins there: "- ", "1. ", "(a) "; `anywhere`: numbers count as well as bullets."""
    if ahead.at(index) in _BULLETS and ahead.at(index):
        return ahead.at(index + 1) == " "
    if not anywhere:
        return False
    bracketed = ahead.at(index) == "("
    begin = end = index + bracketed
    while ahead.at(end).isdigit() and end - begin < _MARKER_LENGTH:
        end += 1
    if end == begin and ahead.at(end).isalpha() and ahead.at(end + 1) == ")":
        end += 1
    closers = ")" if bracketed else ".)"
    return end > begin and ahead.at(end) in closers and bool(ahead.at(end)) and ahead.at(end + 1) == " "


def blocks(text: str) -> list[Block]:
    """The blocks of a plain text, in order. Each character that is not white space is in exactly one. Never raises.

    An empty line ends a block. A list's item is one, and so is a short line without closing punctuation at the
    beginning of a block that is followed by a line which begins anew. Other line ends are those of wrapped prose.
    """
    line = first_line(text, final=True)
    assert line is not None, "a final text needs nothing more"
    found: list[Block] = []
    start, opening, newline = 0, line, text.find("\n")
    while newline >= 0:
        what, line = line_end(text, newline, line, final=True)
        if what is Break.BLOCK:
            _append(found, text, start, newline, opening)
            start, opening = newline + 1, line
        newline = text.find("\n", newline + 1)
    _append(found, text, start, len(text), opening)
    return found


def _append(found: list[Block], text: str, start: int, end: int, opening: Line) -> None:
    body = text[start:end]
    begin = start + len(body) - len(body.lstrip())
    end = start + len(body.rstrip())
    if begin >= end:
        return
    if opening.item:
        kind = BlockKind.ITEM
    elif end - begin <= _HEADING and "\n" not in body.strip() and text[end - 1] not in _CLOSED:
        kind = BlockKind.HEADING
    else:
        kind = BlockKind.PARAGRAPH
    found.append(Block(begin, end, kind))

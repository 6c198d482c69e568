"""A stretch of a document in the form that a voice is given: plain text, or a fragment of SSML."""

import html
import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from app.text.document import ATOMIC, Document, Mark
from app.text.pronunciation import one_word

# XML 1.0 has no place for these, not even as references.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def spoken(document: Document, start: int, end: int) -> str:
    """What is said from `start` to `end`, without markup: line ends are blanks, aliases stand for their text.

    An alias is said where its whole text is in the stretch; where that is cut, the text itself. It is a word of its
    own: a blank keeps it from running into a letter or a number. Never raises. Takes time for what is in the stretch,
    however many marks the document has.
    """
    return _Rendering(document, start, end, takes=None).text


def replaced(document: Document, start: int, end: int) -> tuple[tuple[int, int, int], ...]:
    """Where `spoken` says something else than the text, in order.

    Each: from where to where, in characters behind `start`, and how many characters are said there instead.
    """
    if not document.marks:
        return ()
    return tuple(_Rendering(document, start, end, takes=None).replaced)


def ssml(document: Document, start: int, end: int, takes: frozenset[str]) -> str | None:
    """The same with the elements in `takes`, escaped, well-formed, without a root; None: it is as `spoken` says.

    Elements that reach across an edge of the stretch are closed and opened there, but for those in `ATOMIC`: these
    are written whole or not at all. In place of what is not written, its alias is said, or its text. An empty
    element (a break) belongs to the character behind it, and so to exactly one stretch. Never raises.
    """
    rendering = _Rendering(document, start, end, takes)
    return rendering.text if rendering.marked else None


class _Rendering:
    """One stretch, written from left to right. `takes` None: nothing is escaped."""

    def __init__(self, document: Document, start: int, end: int, takes: frozenset[str] | None) -> None:
        self.marked = False
        self.replaced: list[tuple[int, int, int]] = []
        self._document = document
        self._start, self._end = start, end
        self._takes = takes
        self._parts: list[str] = []
        self._position = start  # what is before it has been said
        self._last = ""  # the last character that was said
        self._open: list[Mark] = []
        for mark in _marks(document, start, end):
            if mark.start >= self._position or mark.start < start:  # else an alias was said in its place
                self._begin(mark)
        self._until(end)
        while self._open:
            self._close()
        self.text: Final = "".join(self._parts)

    def _begin(self, mark: Mark) -> None:
        self._until(max(mark.start, self._start))
        whole = self._start <= mark.start and mark.end <= self._end
        if self._takes and mark.element in self._takes and (whole or mark.element not in ATOMIC):
            self._tag(mark)
        elif whole and mark.alias is not None:
            said = self._apart(mark.alias, mark.end)
            self._say(said)
            self.replaced.append((mark.start - self._start, mark.end - self._start, len(said)))
            self._position = mark.end

    def _apart(self, alias: str, end: int) -> str:
        """The alias of a text that ends there, apart from the words beside it."""
        behind = self._document.text[end : min(end + 1, self._end)]
        before = " " if one_word(self._last, alias) else ""
        return f"{before}{alias}{' ' if one_word(alias, behind) else ''}"

    def _until(self, offset: int) -> None:
        """Say the text up to there, and close what ends on the way."""
        while self._open and self._open[-1].end <= offset:
            self._text(self._open[-1].end)
            self._close()
        self._text(offset)

    def _text(self, end: int) -> None:
        if end > self._position:
            self._say(self._document.text[self._position : end])
            self._position = end

    def _say(self, text: str) -> None:
        text = text.replace("\n", " ")
        self._last = text[-1:]
        self._parts.append(text if self._takes is None else _escaped(text, quote=False))

    def _tag(self, mark: Mark) -> None:
        self.marked = True
        attributes = "".join(f' {name}="{_escaped(value, quote=True)}"' for name, value in mark.attributes)
        empty = mark.start == mark.end
        self._parts.append(f"<{mark.element}{attributes}{'/' if empty else ''}>")
        if not empty:
            self._open.append(mark)

    def _close(self) -> None:
        self._parts.append(f"</{self._open.pop().element}>")


def _marks(document: Document, start: int, end: int) -> Iterator[Mark]:
    """Those that are open at `start`, outer ones first, and those that open in the stretch."""
    marks = document.marks
    first = bisect_left(marks, start, key=_start)
    around = []
    at = first - 1
    while at >= 0:
        if marks[at].end > start:
            around.append(marks[at])
        at = document.outer[at]
    yield from reversed(around)
    for at in range(first, len(marks)):
        if marks[at].start >= end:
            return
        yield marks[at]


def _start(mark: Mark) -> int:
    return mark.start


def _escaped(text: str, *, quote: bool) -> str:
    return html.escape(_NO_XML.sub(" ", text), quote=quote)

"""A document from what an SSML parser reports: text, elements, breaks and borders, in order."""

import functools
from dataclasses import dataclass, replace
from typing import Final

from app.text.document import BlockKind, Document, Mark, Writer
from app.text.intake.ssml_elements import LONGEST_BREAK
from app.text.normalize import spelled
from app.text.origin import Segment, through

LONG: Final = 0.25  # seconds of the shortest break that ends a block; shorter ones are left to the voice

Attributes = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Open:
    """An element that is open; `mark` is the number of its mark, once it has text in the open block."""

    element: str
    attributes: Attributes
    mark: int | None = None


class SsmlWriter:
    """Writes the text, and marks on it that never reach across a border of two blocks.

    Marks begin and borders fall where text comes next, not where the parser is: so a mark begins with a word, and
    borders that follow each other are one.
    """

    def __init__(self) -> None:
        self._writer = Writer()
        self._marks: list[Mark] = []
        self._open: list[_Open] = []
        self._run: list[str] = []  # text since the last tag
        self._rest: float | None = None  # seconds of all breaks since the last text, if there were any
        self._border = self._paragraph = False  # between the last text and the next
        self._heard: list[str] = []  # all text as it was sent, pieces apart where words are
        self._parts: list[Segment] = []
        self._length = 0

    def text(self, piece: str, source: int, size: int) -> None:
        """More text, which takes `size` characters from `source` on."""
        self._parts.append(Segment(self._length, len(piece), source, size))
        self._heard.append(piece)
        self._length += len(piece)
        self._run.append(piece)

    def open(self, element: str, attributes: Attributes) -> None:
        """What follows is inside an element."""
        self.flush()
        self._open.append(_Open(element, attributes))

    def close(self, alias: str | None = None) -> None:
        """The innermost open element ends."""
        self.flush()
        self._end(self._open.pop(), alias)

    def rest(self, seconds: float) -> None:
        """A break; several in one place are one. A border where it is long, else a mark in front of what comes next."""
        self.flush()
        self._rest = round((self._rest or 0.0) + seconds, 3)
        self._border = self._border or self._rest >= LONG
        self._space()

    def border(self, *, paragraph: bool) -> None:
        """A sentence or a paragraph begins or ends."""
        self.flush()
        self._border = True
        self._paragraph = self._paragraph or paragraph
        self._space()

    def flush(self) -> str:
        """Write the text since the last tag, and return what is to be heard of it."""
        run = spelled("".join(self._run))
        self._run.clear()
        body = run.lstrip()
        if not body:
            self._writer.write(run)
            return ""
        if self._border:
            self._cross()
        self._writer.write(" " if self._rest is not None else run[: len(run) - len(body)])
        start = self._writer.opening
        if self._rest is not None:
            self._marks.append(Mark(start, start, "break", (_time(self._rest),)))
            self._rest = None
        for element in self._open:
            if element.mark is None:
                element.mark = len(self._marks)
                self._marks.append(Mark(start, start, element.element, element.attributes))
        self._writer.write(body)
        return body

    def document(self, language: str | None) -> Document:
        """All of it; each element must be closed.

        Raises:
            InvalidText: there is nothing that a voice would say.
        """
        self.border(paragraph=True)
        self._cross()
        document = self._writer.document(marks=tuple(self._marks), language=language)
        origin = functools.partial(through, "".join(self._heard), self._parts, document.text)
        return replace(document, origin=origin)

    def _cross(self) -> None:
        """End the block, and with it the marks of open elements, which begin anew in the next."""
        pause = min(self._rest or 0.0, LONGEST_BREAK)
        own = self._paragraph and pause < LONG
        for element in self._open:
            self._end(element, None)
        self._writer.end(BlockKind.PARAGRAPH, None if own else pause)
        self._rest = None
        self._border = self._paragraph = False

    def _end(self, element: _Open, alias: str | None) -> None:
        if element.mark is not None:
            start = self._marks[element.mark].start
            end = self._writer.length
            self._marks[element.mark] = Mark(start, end, element.element, element.attributes, alias)
            element.mark = None

    def _space(self) -> None:
        self._heard.append("\n")
        self._length += 1


def _time(seconds: float) -> tuple[str, str]:
    return ("time", f"{round(seconds * 1000)}ms") if seconds else ("strength", "none")

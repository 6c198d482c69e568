"""What every kind of input becomes: a text to read, in blocks, with marks on it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import regex

from app.text.normalize import refuse_unspeakable, speakable, spelled
from app.text.origin import Origin, Segment

_WORDS: Final = regex.compile(r"\S+")
_APART: Final = "\n\n"
ATOMIC: Final = frozenset({"say-as", "sub", "phoneme"})
"""Elements whose text is spoken as one; marks with them have no others within."""


class BlockKind(StrEnum):
    """What a block is. Pauses depend on it."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    ITEM = "item"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of text that is read as a unit: offsets into the document's text, without white space at its ends.

    `pause` is the silence behind it, in seconds, where its author asked for one; None: as its kind has it.
    """

    start: int
    end: int
    kind: BlockKind
    pause: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """An element of SSML on a stretch of the text.

    An empty one (a short break) has `start` == `end` and stands in front of the character there. `alias` is what
    a voice that does not take the element says instead of the text; None: the text itself.
    """

    start: int
    end: int
    element: str
    attributes: tuple[tuple[str, str], ...] = ()
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A text ready to be cut into chunks.

    `text` is in one spelling (`normalize.spelled`); blocks follow each other, apart by white space. `marks` are in
    the order in which they open, an outer before an inner one, and none crosses another. `language` is a tag from
    the input itself. `origin()` maps offsets of `text` to offsets of what was sent; it may be slow.
    """

    text: str = field(repr=False)
    blocks: tuple[Block, ...]
    origin: Callable[[], Origin] = field(compare=False, repr=False)
    marks: tuple[Mark, ...] = ()
    language: str | None = None
    outer: tuple[int, ...] = field(init=False, compare=False, repr=False)
    """For each mark, which one encloses it; -1: none does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "outer", _outer(self.marks))


def _outer(marks: tuple[Mark, ...]) -> tuple[int, ...]:
    found: list[int] = []
    for at, mark in enumerate(marks):
        around = at - 1
        while around >= 0 and marks[around].end <= mark.start:
            around = found[around]
        found.append(around)
    return tuple(found)


class Writer:
    """Writes a document's text block by block: white space collapsed, blocks apart by one empty line."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.segments: list[Segment] = []
        self._parts: list[str] = []
        self._length = 0
        self._begun = 0  # where the open block begins
        self._blank = False  # white space has come since the last character

    @property
    def length(self) -> int:
        """Characters written so far: behind the last one that is not white space."""
        return self._length

    @property
    def opening(self) -> int:
        """Where the next character will stand: the start of a mark that opens here."""
        if self._length > self._begun:
            return self._length + self._blank
        return self._begun

    @property
    def speaks(self) -> bool:
        """Whether the open block has anything in it."""
        return self._length > self._begun

    def write(self, piece: str, source: int | None = None) -> None:
        """Add to the open block. `source` is where the piece begins in what was sent, if that is known.

        Raises:
            InvalidText: the piece has NUL or half a surrogate pair in it.
        """
        read = spelled(piece)
        exact = len(read) == len(piece)
        for word in _WORDS.finditer(read):
            self._blank = self._blank or word.start() > 0
            start = self.opening
            if start > self._length:
                self._parts.append(" ")
            self._parts.append(word.group())
            self._length = start + len(word.group())
            self._blank = False
            if source is not None:
                where, size = (word.start(), len(word.group())) if exact else (0, len(piece))
                self.segments.append(Segment(start, len(word.group()), source + where, size))
        self._blank = self._blank or read[-1:].isspace()

    def end(self, kind: BlockKind, pause: float | None = None) -> None:
        """Close the open block. Where nothing is in it, its `pause` is added to the block before, if there is one."""
        if self.speaks:
            self.blocks.append(Block(self._begun, self._length, kind, pause))
            self._parts.append(_APART)
            self._length += len(_APART)
            self._begun = self._length
        elif self.blocks and pause is not None:
            last = self.blocks[-1]
            self.blocks[-1] = replace(last, pause=(last.pause or 0.0) + pause)
        self._blank = False

    def document(
        self,
        origin: Callable[[], Origin] | None = None,
        *,
        marks: tuple[Mark, ...] = (),
        language: str | None = None,
    ) -> Document:
        """All that was written; each block must be closed. Left out, `origin` is as the pieces said.

        Raises:
            InvalidText: nothing was written, or nothing that a voice would say, in the text or in an alias.
        """
        assert not self.speaks, "the last block is still open"
        text = "".join(self._parts).removesuffix(_APART)
        if not any(mark.alias and speakable(mark.alias) for mark in marks):
            refuse_unspeakable(text)
        segments = self.segments
        return Document(text, tuple(self.blocks), origin or (lambda: Origin(segments)), marks, language)

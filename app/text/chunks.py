"""Sentences to chunks: what is synthesized, cached and paid for as one."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from zlib import crc32

from app.text.document import ATOMIC, Document, Mark
from app.text.normalize import speakable
from app.text.sentences import sentences
from app.text.span import Span
from app.text.split import Room, nowhere, opening, pieces

Profile = Literal["sentence", "group"]

# Characters: what is shorter sounds choppy by itself and joins its neighbour. With 30, 1.6 % less of an article is
# reused after half of its paragraphs were revised (`make bench`, reuse).
SHORTEST: Final = 15
_GROUP: Final = 120  # characters from which on a group may end
_ODDS: Final = 2  # and then does behind one sentence in so many
# Characters of a sentence that say so: those before may be edited, and the group still ends there.
_LAST: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a chunk may be, and how many sentences make one.

    `max_chars` and `first_chars` are code points of the text that is read. `fits`, if any, says whether a stretch of
    the document fits as it will be sent; it is asked only about stretches within `max_chars`, and may be slow.
    `profile` is `sentence`, a sentence each, or `group`: several, for voices that sound better with more to go by,
    cut by content, so that an edit changes only the groups around it.

    Raises:
        ValueError: no text at all would fit.
    """

    first_chars: int = 120
    max_chars: int = 600
    fits: Callable[[Document, int, int], bool] | None = None
    profile: Profile = "sentence"

    def __post_init__(self) -> None:
        if self.first_chars < 1 or self.max_chars < 1:
            raise ValueError("A chunk must be allowed at least one character.")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of speech.

    `text` is what is read: the document's text from `start` to `end`, with spaces for line ends, so that offsets in
    one are offsets in the other. `sentences` are the sentences, or the parts of one, in it, in offsets of the
    document. `block` is the number of the block it stands in.
    """

    text: str = field(repr=False)
    start: int
    end: int
    sentences: tuple[Span, ...]
    block: int


def chunks(document: Document, limits: Limits, *, language: str | None = None) -> list[Chunk]:
    """The chunks of a document, in order, none across two blocks; empty where nothing can be spoken.

    No speakable character is lost, no limit exceeded, and no grapheme torn (unless it is longer than a limit).
    Apart from the first, a chunk depends on its own block only, so that an edit changes only its neighbourhood.
    The first is the first sentence, or its beginning, so that speech starts soon. Never raises.
    """
    return _Cutter(document, limits).run(language)


class _Cutter:
    """One document on its way into chunks."""

    def __init__(self, document: Document, limits: Limits) -> None:
        fits = limits.fits
        also = None if fits is None else lambda start, end: fits(document, start, end)
        whole = [mark for mark in document.marks if mark.element in ATOMIC]
        self._document = document
        self._text = document.text
        self._limits = limits
        self._room = Room(limits.max_chars, also, _within(whole) if whole else nowhere)
        self._aliases = [mark for mark in whole if mark.alias is not None and speakable(mark.alias)]
        self._alias_starts = [mark.start for mark in self._aliases]

    def run(self, language: str | None) -> list[Chunk]:
        """See `chunks`."""
        found: list[Chunk] = []
        for number, spans in enumerate(self._by_block(language)):
            if not found:
                found, spans = self._first(spans, number)  # noqa: PLW2901 - what is left of it
            parts = [part for span in spans for part in pieces(self._text, span, self._room)]
            groups = self._joined(parts)
            if self._limits.profile == "group":
                groups = self._grouped(groups)
            found += [self._chunk(group, number) for group in groups]
        return found

    def _by_block(self, language: str | None) -> Iterator[list[Span]]:
        """The sentences of each block. Both are cut at the same places, because sentences end where blocks do."""
        spans = iter(sentences(self._text, language=language))
        span = next(spans, None)
        for block in self._document.blocks:
            inside: list[Span] = []
            while span is not None and span.start < block.end:
                if inside and self._room.solid(inside[-1].end):
                    span = Span(inside.pop().start, span.end)
                inside.append(span)
                span = next(spans, None)
            yield inside

    def _first(self, spans: list[Span], number: int) -> tuple[list[Chunk], list[Span]]:
        """The first chunk, if this block has one, and what is left of the block behind it."""
        for index, span in enumerate(spans):
            if not self._speaks([span]):
                continue
            head, rest = opening(self._text, span, self._room, self._limits.first_chars)
            while rest and not self._speaks(
                [head]
            ):  # a rule of asterisks, say, as long as the limit: dropped
                head, rest = opening(self._text, rest, self._room, self._limits.first_chars)
            left = [*([rest] if rest else []), *spans[index + 1 :]]
            return [self._chunk([head], number)], left
        return [], []

    def _joined(self, parts: list[Span]) -> list[list[Span]]:
        """Groups of neighbours: short parts join the next one, and a short one at the end the one before.

        What cannot be spoken and finds no room is dropped.
        """
        groups: list[list[Span]] = []
        for part in parts:
            if groups and self._wants(groups[-1]) and self._room.fits(groups[-1][0].start, part.end):
                groups[-1].append(part)
            else:
                groups.append([part])
        for index in range(len(groups) - 1, 0, -1):
            before, after = groups[index - 1], groups[index]
            last = index == len(groups) - 1
            alone = last and _size(after) < SHORTEST
            if (alone or not self._speaks(after)) and self._room.fits(before[0].start, after[-1].end):
                groups[index - 1 : index + 1] = [before + after]
        return [group for group in groups if self._speaks(group)]

    def _grouped(self, groups: list[list[Span]]) -> list[list[Span]]:
        """Longer groups of neighbours, ended where the last words of one say so.

        Where a group ends depends on what it ends with and on being long enough, not on what came before it; so
        behind an edit the old ends are soon met again.
        """
        found: list[list[Span]] = []
        ended = True
        for group in groups:
            if ended or not self._room.fits(found[-1][0].start, group[-1].end):
                found.append(group)
            else:
                found[-1] = found[-1] + group
            last = self._text[max(group[0].start, group[-1].end - _LAST) : group[-1].end]
            ended = _size(found[-1]) >= _GROUP and crc32(last.encode()) % _ODDS == 0
        return found

    def _wants(self, group: list[Span]) -> bool:
        return _size(group) < SHORTEST or not self._speaks(group)

    def _speaks(self, group: list[Span]) -> bool:
        """Whether a voice would say anything of it: of its text, or of what is said in place of that."""
        start, end = group[0].start, group[-1].end
        if speakable(self._text[start:end]):
            return True
        at = bisect_left(self._alias_starts, start)
        return at < len(self._aliases) and self._aliases[at].end <= end

    def _chunk(self, group: list[Span], block: int) -> Chunk:
        start, end = group[0].start, group[-1].end
        return Chunk(self._text[start:end].replace("\n", " "), start, end, tuple(group), block)


def _within(whole: Sequence[Mark]) -> Callable[[int], bool]:
    """Whether a place is inside of a mark that is spoken whole, such as a date or a word with its pronunciation."""
    starts = [mark.start for mark in whole]

    def solid(place: int) -> bool:
        at = bisect_right(starts, place - 1) - 1  # none has another within
        return at >= 0 and place < whole[at].end

    return solid


def _size(group: list[Span]) -> int:
    return group[-1].end - group[0].start

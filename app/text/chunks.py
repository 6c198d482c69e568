"""Sentences to chunks: what is synthesized, cached and paid for as one."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from zlib import crc32

from app.text.document import ATOMIC, Document
from app.text.normalize import speakable
from app.text.sentences import sentences
from app.text.span import Span
from app.text.split import Room, nowhere, opening, pieces

Profile = Literal["sentence", "group"]

SHORTEST: Final = (
    15  # characters; what is shorter sounds choppy by itself and joins its neighbour. With 30, 1.6 % less
)
# of an article is reused after half of its paragraphs were revised (`make bench`, reuse)
_GROUP: Final = 120  # characters from which on a group may end
_ODDS: Final = 2  # and then does behind one sentence in so many
_LAST: Final = (
    16  # characters of a sentence that say so: those before may be edited and the group still end there
)


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

    text: str
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
    text, fits = document.text, limits.fits
    also = None if fits is None else lambda start, end: fits(document, start, end)
    room = Room(limits.max_chars, also, _solid(document))
    found: list[Chunk] = []
    for number, spans in enumerate(_by_block(document, language, room)):
        if not found:
            found, spans = _first(text, spans, number, room, limits.first_chars)  # noqa: PLW2901 - what is left of it
        parts = [part for span in spans for part in pieces(text, span, room)]
        groups = _joined(text, parts, room)
        if limits.profile == "group":
            groups = _grouped(text, groups, room)
        found += [_chunk(text, group, number) for group in groups]
    return found


def _solid(document: Document) -> Callable[[int], bool]:
    """Whether a place is inside of a mark that is spoken whole, such as a date or a word with its pronunciation."""
    whole = [mark for mark in document.marks if mark.element in ATOMIC]
    if not whole:
        return nowhere
    starts = [mark.start for mark in whole]

    def solid(place: int) -> bool:
        at = bisect_right(starts, place - 1) - 1  # none has another within
        return at >= 0 and place < whole[at].end

    return solid


def _by_block(document: Document, language: str | None, room: Room) -> Iterator[list[Span]]:
    """The sentences of each block. Both are cut at the same places, because sentences end where blocks do."""
    spans = iter(sentences(document.text, language=language))
    span = next(spans, None)
    for block in document.blocks:
        inside: list[Span] = []
        while span is not None and span.start < block.end:
            if inside and room.solid(inside[-1].end):
                span = Span(inside.pop().start, span.end)
            inside.append(span)
            span = next(spans, None)
        yield inside


def _first(
    text: str, spans: list[Span], number: int, room: Room, first_chars: int
) -> tuple[list[Chunk], list[Span]]:
    """The first chunk, if this block has one, and what is left of the block behind it."""
    for index, span in enumerate(spans):
        if not speakable(text[span.start : span.end]):
            continue
        head, rest = opening(text, span, room, first_chars)
        while rest and not _speaks(text, [head]):  # a rule of asterisks, say, as long as the limit: dropped
            head, rest = opening(text, rest, room, first_chars)
        left = [*([rest] if rest else []), *spans[index + 1 :]]
        return [_chunk(text, [head], number)], left
    return [], []


def _joined(text: str, parts: list[Span], room: Room) -> list[list[Span]]:
    """Groups of neighbours: short parts join the next one, and a short one at the end the one before.

    What cannot be spoken and finds no room is dropped.
    """
    groups: list[list[Span]] = []
    for part in parts:
        if groups and _wants(text, groups[-1]) and room.fits(groups[-1][0].start, part.end):
            groups[-1].append(part)
        else:
            groups.append([part])
    for index in range(len(groups) - 1, 0, -1):
        before, after = groups[index - 1], groups[index]
        last = index == len(groups) - 1
        alone = last and after[-1].end - after[0].start < SHORTEST
        if (alone or not _speaks(text, after)) and room.fits(before[0].start, after[-1].end):
            groups[index - 1 : index + 1] = [before + after]
    return [group for group in groups if _speaks(text, group)]


def _grouped(text: str, groups: list[list[Span]], room: Room) -> list[list[Span]]:
    """Longer groups of neighbours, ended where the last words of one say so.

    Where a group ends depends on what it ends with and on being long enough, not on what came before it; so behind
    an edit the old ends are soon met again.
    """
    found: list[list[Span]] = []
    ended = True
    for group in groups:
        if ended or not room.fits(found[-1][0].start, group[-1].end):
            found.append(group)
        else:
            found[-1] = found[-1] + group
        size = group[-1].end - found[-1][0].start
        last = text[max(group[0].start, group[-1].end - _LAST) : group[-1].end]
        ended = size >= _GROUP and crc32(last.encode()) % _ODDS == 0
    return found


def _wants(text: str, group: list[Span]) -> bool:
    return group[-1].end - group[0].start < SHORTEST or not _speaks(text, group)


def _speaks(text: str, group: list[Span]) -> bool:
    return speakable(text[group[0].start : group[-1].end])


def _chunk(text: str, group: list[Span], block: int) -> Chunk:
    start, end = group[0].start, group[-1].end
    return Chunk(text[start:end].replace("\n", " "), start, end, tuple(group), block)

"""Sentences to chunks: what is synthesized, cached and paid for as one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.text.blocks import blocks
from app.text.normalize import speakable
from app.text.sentences import sentences
from app.text.span import Span
from app.text.split import Room, opening, pieces

SHORTEST: Final = 30  # characters; what is shorter sounds choppy by itself and joins its neighbour
_LONGEST_CODE_POINT: Final = 4  # bytes in UTF-8


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a chunk's text may be: `max_chars` and `first_chars` in code points, `max_bytes` in bytes of UTF-8.

    Raises:
        ValueError: no text at all would fit.
    """

    first_chars: int = 120
    max_chars: int = 600
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.first_chars < 1 or self.max_chars < 1:
            raise ValueError("A chunk must be allowed at least one character.")
        if self.max_bytes is not None and self.max_bytes < _LONGEST_CODE_POINT:
            raise ValueError("A chunk must be allowed at least 4 bytes, the longest character in UTF-8.")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of speech.

    `text` is what is spoken: the normalized text from `start` to `end`, with spaces for line ends, so that offsets
    in one are offsets in the other. `sentences` are the sentences, or the parts of one, in it, in offsets of the
    normalized text. `block` is the number of the block it stands in.
    """

    text: str
    start: int
    end: int
    sentences: tuple[Span, ...]
    block: int


def chunks(text: str, limits: Limits, *, language: str | None = None) -> list[Chunk]:
    """The chunks of a normalized text, in order, none across two blocks; empty where nothing can be spoken.

    No speakable character is lost, no limit exceeded, and no grapheme torn (unless it is longer than a limit).
    Apart from the first, a chunk depends on its own block only, so that an edit changes only its neighbourhood.
    The first is the first sentence, or its beginning, so that speech starts soon. Never raises.
    """
    # A character has a byte at least; with the smaller figure no more than that is ever measured.
    room = Room(min(limits.max_chars, limits.max_bytes or limits.max_chars), limits.max_bytes)
    found: list[Chunk] = []
    for number, spans in enumerate(_by_block(text, language)):
        if not found:
            found, spans = _first(text, spans, number, room, limits.first_chars)  # noqa: PLW2901 - what is left of it
        parts = [part for span in spans for part in pieces(text, span, room)]
        found += [_chunk(text, group, number) for group in _joined(text, parts, room)]
    return found


def _by_block(text: str, language: str | None) -> Iterator[list[Span]]:
    """The sentences of each block. Both are cut at the same places, because sentences end where blocks do."""
    spans = iter(sentences(text, language=language))
    span = next(spans, None)
    for block in blocks(text):
        inside: list[Span] = []
        while span is not None and span.start < block.end:
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


def _joined(text: str, parts: list[Span], room: Room) -> Iterator[list[Span]]:
    """Groups of neighbours: short parts join the next one, and a short one at the end the one before.

    What cannot be spoken and finds no room is dropped.
    """
    groups: list[list[Span]] = []
    for part in parts:
        if groups and _wants(text, groups[-1]) and room.fits(text, groups[-1][0].start, part.end):
            groups[-1].append(part)
        else:
            groups.append([part])
    for index in range(len(groups) - 1, 0, -1):
        before, after = groups[index - 1], groups[index]
        last = index == len(groups) - 1
        alone = last and after[-1].end - after[0].start < SHORTEST
        if (alone or not _speaks(text, after)) and room.fits(text, before[0].start, after[-1].end):
            groups[index - 1 : index + 1] = [before + after]
    return (group for group in groups if _speaks(text, group))


def _wants(text: str, group: list[Span]) -> bool:
    return group[-1].end - group[0].start < SHORTEST or not _speaks(text, group)


def _speaks(text: str, group: list[Span]) -> bool:
    return speakable(text[group[0].start : group[-1].end])


def _chunk(text: str, group: list[Span], block: int) -> Chunk:
    start, end = group[0].start, group[-1].end
    return Chunk(text[start:end].replace("\n", " "), start, end, tuple(group), block)

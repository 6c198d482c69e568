"""Where in what was sent a piece of the text that is read came from: for captions and highlighting."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from app.text.span import Span


@dataclass(frozen=True, slots=True)
class Segment:
    """`length` characters of the read text from `start`, which came from `size` characters of the source.

    Where `size` equals `length` they are the same characters one by one, elsewhere only the ends are known
    (an entity, letters composed into one).
    """

    start: int
    length: int
    source: int
    size: int


class Origin:
    """A monotone map from a read text to its source. What lies between two segments came from between theirs."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        """`segments` in order, none empty, none overlapping."""
        self._segments = segments
        self._starts = [segment.start for segment in segments]

    def span(self, read: Span) -> Span:
        """The stretch of the source that a stretch of the read text came from; in characters of each."""
        start = self._begin(read.start)
        return Span(start, max(start, self._end(read.end)))

    def _begin(self, offset: int) -> int:
        """Of the first character at or behind `offset`."""
        at = bisect_right(self._starts, offset) - 1
        if at >= 0 and offset < (segment := self._segments[at]).start + segment.length:
            return _within(segment, offset, forward=False)
        if at + 1 < len(self._segments):
            return self._segments[at + 1].source
        return self._end(offset)

    def _end(self, offset: int) -> int:
        """Behind the last character before `offset`."""
        at = bisect_right(self._starts, offset - 1) - 1
        return _within(self._segments[at], offset, forward=True) if at >= 0 else 0


def _within(segment: Segment, offset: int, *, forward: bool) -> int:
    into = min(offset - segment.start, segment.length)
    if segment.size == segment.length:
        return segment.source + into
    whole = into == segment.length or (forward and into > 0)
    return segment.source + (segment.size if whole else 0)


def aligned(source: str, text: str) -> Origin:
    """The map from a text to a source of which nothing else is known, by the words that both have."""
    raise NotImplementedError

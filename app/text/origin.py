"""Where in what was sent a piece of the text that is read came from: for captions and highlighting."""

import html
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import regex

from app.text.matching import beside, matched
from app.text.normalize import spelled
from app.text.span import Span

NOTHING: Final = "\0"
"""Stands in a source for markup that ends no word: what is on either side of it touches."""

# What belongs to the character before it, or is dropped.
_EXTENDER: Final = r"\p{M}\ufeff\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff"
# Scripts that are written without blanks: each character is a word here.
_SOLID: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_WORD: Final = regex.compile(
    rf"[[\p{{L}}\p{{N}}]--[{_SOLID}{_EXTENDER}]][[\p{{L}}\p{{N}}{_EXTENDER}]--[{_SOLID}--\p{{M}}]]*+"
    rf"|[^\s\p{{Cc}}\p{{Cs}}][{_EXTENDER}]*+",
    regex.VERSION1,
)
_CLUSTER: Final = regex.compile(rf".[{_EXTENDER}\u1160-\u11ff]*+", regex.DOTALL)  # with vowels of Hangul
_SOFT: Final = "\xad"  # a hyphen that is not there unless a line ends at it
_POWERS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻−ⁿ", "0123456789+--n")  # noqa: RUF001 - the minus sign is meant
_ENTITY: Final = regex.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_REPLACED: Final = regex.compile(rf"{NOTHING}++|{_SOFT}|{_ENTITY.pattern}")


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
        """The stretch of the source that a stretch of the read text came from; in characters of each.

        Where nothing of it came from the source, it is empty and stands in front of what comes next. Never raises.
        """
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
    """The map from a text to a source of which nothing else is known, by the words that both have.

    The source has mostly the same words in the same order; it may be spelled otherwise (`normalize.spelled`), have
    entities of HTML and `NOTHING` in it, and more than the text. Words that it does not have come from nowhere. Never
    raises. Takes n log n time.
    """
    if source == text:
        return Origin([Segment(0, len(text), 0, len(text))] if text else [])
    plain, entities = _decoded(source, frozenset(_REPLACED.findall(text)))
    return through(plain, entities, text)


def through(plain: str, parts: Sequence[Segment], text: str) -> Origin:
    """The map from a text by way of another one that has the same words: `parts` say where those came from.

    They are in order; what lies between two of them in `plain` is white space. Never raises. Takes n log n time.
    """
    seams = [part.start for part in parts]
    return Origin(list(_composed(_aligned(plain, text, seams), parts)))


class _Keys(dict[str, int]):
    """A number for each word, the same for all spellings of it; 0: nothing is left of it."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = {"": 0}

    def __missing__(self, word: str) -> int:
        spelling = word if word.isascii() else spelled(word).translate(_POWERS)
        number = self[word] = self._numbers.setdefault(spelling, len(self._numbers))
        return number


class _Words:
    """The words and signs of a text, each by its number and its place."""

    def __init__(self, text: str, keys: _Keys) -> None:
        self.numbers: list[int] = []
        self.spans: list[Span] = []
        self.words: list[int] = []  # which of them are no signs
        self._text = text
        self._keys = keys

    def read(self, start: int, end: int) -> None:
        """Take what stands there."""
        for word in _WORD.finditer(self._text, start, end):
            self._add(word.start(), word.end())

    def read_divided(self, seams: Sequence[int], known: frozenset[int]) -> None:
        """Take all of it. A word with seams in it is one if it is known, else its parts are words.

        So "wo|rd" is found where it is read as a word, and "word|1" where the number, a note's, is not read.
        """
        for word in _WORD.finditer(self._text):
            inside = seams[bisect_right(seams, word.start()) : bisect_left(seams, word.end())]
            if not inside or self._keys[word.group()] in known:
                self._add(word.start(), word.end())
                continue
            for start, end in pairwise([word.start(), *inside, word.end()]):
                self.read(start, end)

    def _add(self, start: int, end: int) -> None:
        if number := self._keys[self._text[start:end]]:
            if self._text[start].isalnum():
                self.words.append(len(self.numbers))
            self.numbers.append(number)
            self.spans.append(Span(start, end))


def _aligned(source: str, text: str, seams: Sequence[int]) -> Iterator[Segment]:
    """Where the words of a text are in a source.

    Signs count only beside words: the full stop of a number that the reader made up is nobody's.
    """
    keys = _Keys()
    ours, theirs = _Words(text, keys), _Words(source, keys)
    ours.read(0, len(text))
    theirs.read_divided(seams, frozenset(ours.numbers))
    found = matched([theirs.numbers[at] for at in theirs.words], [ours.numbers[at] for at in ours.words])
    pairs = [(theirs.words[their], ours.words[our]) for their, our in found]
    for their, our in beside(theirs.numbers, ours.numbers, pairs):
        yield from _same(source, text, theirs.spans[their], ours.spans[our])


def _same(source: str, text: str, of: Span, read: Span) -> Iterator[Segment]:
    """One word in two spellings: as a whole where it is as long in both, else cluster by cluster."""
    length, size = read.end - read.start, of.end - of.start
    if length == size:
        yield Segment(read.start, length, of.start, size)
        return
    reads = _CLUSTER.finditer(text, read.start, read.end)
    sources = _CLUSTER.finditer(source, of.start, of.end)
    # There are as many in both, unless Python knows another version of Unicode than `regex` does.
    for ours, theirs in zip(reads, sources, strict=False):
        yield Segment(ours.start(), len(ours.group()), theirs.start(), len(theirs.group()))


def _decoded(source: str, known: frozenset[str]) -> tuple[str, list[Segment]]:
    """The source as its words are read, and where its parts came from.

    Without `NOTHING` and soft hyphens, with characters for entities; what is `known` to the text stays.
    """
    parts: list[str] = []
    segments: list[Segment] = []
    start = position = 0

    def add(part: str, end: int) -> None:
        nonlocal start, position
        if part:
            parts.append(part)
            segments.append(Segment(start, len(part), position, end - position))
            start += len(part)
        position = end

    for place in _REPLACED.finditer(source):
        piece = place.group()
        if piece in known:
            continue
        character = html.unescape(piece).strip(_SOFT) if piece[0] == "&" else ""
        if character != piece:
            add(source[position : place.start()], place.start())
            add(character, place.end())
    add(source[position:], len(source))
    return "".join(parts), segments


def _composed(segments: Iterable[Segment], onto: Sequence[Segment]) -> Iterator[Segment]:
    """The segments, with offsets in what the text that they point to came from itself."""
    further = Origin(onto)
    at = 0
    for segment in segments:
        end = segment.source + segment.size
        if segment.size != segment.length:
            span = further.span(Span(segment.source, end))
            yield Segment(segment.start, segment.length, span.start, span.end - span.start)
            continue
        while onto[at].start + onto[at].length <= segment.source:
            at += 1
        position = segment.source
        while position < end:
            until = min(end, onto[at].start + onto[at].length)
            span = further.span(Span(position, until))
            start = segment.start + position - segment.source
            yield Segment(start, until - position, span.start, span.end - span.start)
            position = until
            at += position < end

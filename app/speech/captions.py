"""What is heard when: one cue for each sentence of a speech, from its manifest and what is kept with its clips."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final

from app.audio.edges import RATE
from app.speech.clips import ClipMeta
from app.speech.manifest import ClipLine
from app.speech.timings import unpacked

# What blanks divide, and in scripts without them what their commas do.
_WORD: Final = re.compile("[^\\s、，；]*[、，；]+|[^\\s、，；]+")  # noqa: RUF001 - these commas are meant


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it was written, with its punctuation; times in ms from the beginning of the speech.

    `told`: they are the provider's, otherwise they are estimated. `apart`: a blank stands before it.
    """

    text: str = field(repr=False)
    start: int
    end: int
    told: bool
    apart: bool


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that are shown from `start` to `end`, in ms."""

    start: int
    end: int
    words: tuple[Word, ...] = field(repr=False)

    @property
    def text(self) -> str:
        """All of it, in one line."""
        return joined(self.words)


def joined(words: Sequence[Word]) -> str:
    """Words as one line."""
    return "".join(" " * (word.apart and at > 0) + word.text for at, word in enumerate(words))


def captions(lines: Sequence[ClipLine], metas: Sequence[ClipMeta]) -> list[Cue]:
    """One cue for each sentence, or part of one that is a chunk of its own.

    They are in order, none empty, none overlapping. A cue begins with its first word and lasts until the next one
    of its clip, or until the clip's end; the last one lasts as long as the sound. Never raises. Linear in the
    length of the text but for a search in its timings.
    """
    found: list[Cue] = []
    offsets = list(accumulate((line.samples + line.rest for line in lines), initial=0))
    for line, meta, offset in zip(lines, metas, offsets[:-1], strict=True):
        found += in_turn(_sentences(line, meta, offset), milliseconds(offset + line.samples))
    return [*found[:-1], replace(found[-1], end=milliseconds(offsets[-1]))] if found else []


def in_turn(groups: Iterable[Sequence[Word]], end: int) -> list[Cue]:
    """Cues for groups of words, each up to the next one, the last up to `end`.

    What would begin with the one before it, or not before `end`, is shown with the one before: a cue takes 1 ms at
    least, or players drop it.
    """
    kept: list[list[Word]] = []
    for words in groups:
        if kept and (words[0].start <= kept[-1][0].start or words[0].start >= end):
            kept[-1] += words
        else:
            kept.append([*words])
    starts = [words[0].start for words in kept]
    ends = [*starts, end][1:]
    return [Cue(start, to, tuple(words)) for start, to, words in zip(starts, ends, kept, strict=True)]


def milliseconds(samples: int) -> int:
    """Of samples at 24 kHz, to the nearest."""
    return (samples * 1_000 + RATE // 2) // RATE


def _sentences(line: ClipLine, meta: ClipMeta, offset: int) -> Iterator[list[Word]]:
    """The words of each of a clip's sentences; `offset` is where the clip begins, in samples."""
    clock = _Clock(line, meta)
    begun = behind = 0  # characters: where the sentence begins, and behind the word before
    for sentence in line.sentences:
        words: list[Word] = []
        for word in _WORD.finditer(sentence):
            first, last = begun + word.start(), begun + word.end()
            start, end, told = clock.heard(first, last)
            times = milliseconds(offset + start), milliseconds(offset + end)
            words.append(Word(word.group(), *times, told, apart=first > behind))
            behind = last
        begun += len(sentence)
        if words:
            yield words


class _Clock:
    """When the characters of a clip are heard: as the provider told, in between by their share of the characters."""

    def __init__(self, line: ClipLine, meta: ClipMeta) -> None:
        self._timings = unpacked(meta.timings)
        self._starts = [timing[0] for timing in self._timings]
        begin, end = meta.audible or (0, meta.samples)
        # Points of a line that never falls: characters as they were sent, and samples of the clip.
        self._characters = [0, *(end for timing in self._timings for end in timing[:2]), meta.characters]
        self._samples = [begin, *(end for timing in self._timings for end in timing[2:]), end]
        self._replaced = [start for start, _, _ in line.replaced]
        self._behind = [end for _, end, _ in line.replaced]
        self._grown = list(accumulate(said - (end - start) for start, end, said in line.replaced))

    def heard(self, start: int, end: int) -> tuple[int, int, bool]:
        """From which sample to which these characters of the written text are heard, and whether that was told.

        It was told where timings begin and end within them: of "New York" in one piece neither word's time is known.
        """
        start, end = self._sent(start), self._sent(end)
        first, behind = bisect_left(self._starts, start), bisect_left(self._starts, end)
        if first < behind and self._timings[behind - 1][1] <= end:
            return self._timings[first][2], self._timings[behind - 1][3], True
        return self._at(start), self._at(end), False

    def _sent(self, character: int) -> int:
        """From what was written to what was sent; within what was replaced, behind what was said instead."""
        at = bisect_left(self._replaced, character) - 1
        return character if at < 0 else max(character, self._behind[at]) + self._grown[at]

    def _at(self, character: int) -> int:
        before = bisect_right(self._characters, character) - 1
        if before + 1 == len(self._characters):
            return self._samples[-1]
        start, end = self._characters[before], self._characters[before + 1]
        begins, ends = self._samples[before], self._samples[before + 1]
        return begins + (ends - begins) * (character - start) // (end - start)

"""A speech of which every clip is there: any stretch of its bytes, joined as they are sent."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import Final

from app.audio.join import extents, join
from app.audio.joiners import Bytes, Joiner
from app.audio.silence import silence
from app.speech.allowance import Allowance
from app.speech.manifest import ClipLine, Manifest
from app.speech.windows import Read, Windows
from cache.interface import Entry

SHORT: Final = 2**18
"""Bytes of clips that are joined at once, and may be all that a stalled listener has to himself."""


class Ready:
    """`digest` is its address, `manifest` says what it consists of, `size` is in bytes.

    `stale` are the positions of the clips that are past their soft lifetime, as far as anybody looked.
    """

    stale: frozenset[int] = frozenset()

    def __init__(self, digest: str, manifest: Manifest, size: int) -> None:
        self.digest = digest
        self.manifest = manifest
        self.size = size

    def sound(self, start: int = 0, end: int | None = None) -> AsyncGenerator[list[Bytes]]:
        """Bytes `start` up to and without `end` (left out: all), a window of them at a time.

        Raises:
            ValueError: a clip is damaged.
        """
        raise NotImplementedError


class Short(Ready):
    """Joined already: `parts` are its bytes."""

    def __init__(self, digest: str, manifest: Manifest, parts: Sequence[Bytes]) -> None:
        super().__init__(digest, manifest, sum(map(len, parts)))
        self.parts = parts

    async def sound(self, start: int = 0, end: int | None = None) -> AsyncGenerator[list[Bytes]]:
        """All at once."""
        yield _cut(self.parts, start, self.size if end is None else end)


class Long(Ready):
    """Read and joined as it is sent: only the clips that are wanted are read, and only theirs are decoded."""

    def __init__(
        self, digest: str, manifest: Manifest, read: Read, allowance: Allowance, at_hand: Sequence[Entry] = ()
    ) -> None:
        """`read` may raise whatever is to be raised where the bytes are read. `at_hand`: as `Windows`."""
        self.manifest = manifest
        self._output = manifest.output
        self._rests = [silence(self._output, line.rest) if line.rest else [] for line in manifest.clips]
        parts = [part for number in range(len(manifest.clips)) for part in self._sizes(number)]
        head, *middle, end = extents(self._output, parts)
        each = iter(middle)
        lengths = [sum(next(each) for _ in range(1 + len(rest))) for rest in self._rests]
        # Where each clip begins in the response, and behind all of them where its end does.
        self._starts = list(accumulate(lengths, initial=head))
        super().__init__(digest, manifest, self._starts[-1] + end)
        self._windows = Windows(self._starts, read, allowance, at_hand)

    def _sizes(self, number: int) -> list[tuple[int, int]]:
        """Bytes and samples of a clip and of the silence behind it."""
        line = self.manifest.clips[number]
        return [(line.size, line.samples), *((len(rest), samples) for rest, samples in self._rests[number])]

    async def sound(self, start: int = 0, end: int | None = None) -> AsyncGenerator[list[Bytes]]:
        """Window by window."""
        end = self.size if end is None else end
        joining = self._output.joiner()
        head = joining.head(self.manifest.samples)
        first = max(0, bisect_right(self._starts, start) - 1)
        for number in range(first):
            for size, samples in self._sizes(number):
                joining.skip(size, samples)
        at = self._starts[first] if first else 0
        parts: list[Bytes] = [] if first else [head]
        count = len(self.manifest.clips)
        last = min(bisect_left(self._starts, end), count)
        begin = first
        async with aclosing(self._windows.run(first, last)) as windows:
            async for behind, entries in windows:
                parts += await self._joined(joining, begin, entries)
                if behind == last == count:
                    parts.append(joining.end())
                yield _cut(parts, start - at, end - at)
                at, begin = self._starts[behind], behind
                parts = []
        if first >= last:  # nothing but of the head or the end
            parts += [joining.end()] if first == count else []
            yield _cut(parts, start - at, end - at)

    async def _joined(self, joining: Joiner, first: int, entries: Sequence[Entry]) -> list[Bytes]:
        payloads: list[Bytes] = []
        for number, entry in enumerate(entries, first):
            payloads += [entry.payload, *(rest for rest, _ in self._rests[number])]
        if self._output.format.decodes:
            return await asyncio.to_thread(_join, joining, payloads)
        return _join(joining, payloads)


def short(digest: str, manifest: Manifest, entries: Sequence[Entry]) -> Short | None:
    """A speech whose clips are at hand, joined at once; None: it is long, or something has to be decoded for it.

    Raises:
        ValueError: a clip is damaged.
    """
    output = manifest.output
    if output.format.decodes or sum(len(entry.payload) for entry in entries) > SHORT:
        return None
    clips: list[tuple[Bytes, int]] = []
    for entry, line in zip(entries, manifest.clips, strict=True):
        clips.append((entry.payload, line.samples))
        if line.rest:
            clips += silence(output, line.rest)
    return Short(digest, manifest, join(output, clips))


def as_listed(lines: Sequence[ClipLine], entries: Sequence[Entry]) -> bool:
    """Whether clips are still those of which a manifest tells the lengths."""
    return all(entry.checksum == line.checksum for line, entry in zip(lines, entries, strict=True))


def _join(joining: Joiner, payloads: Sequence[Bytes]) -> list[Bytes]:
    return [joining.add(payload, last=True) for payload in payloads]


def _cut(parts: Sequence[Bytes], start: int, end: int) -> list[Bytes]:
    """The bytes `start` up to and without `end` of what the parts are together, without copying; none empty."""
    cut: list[Bytes] = []
    position = 0
    for part in parts:
        begin, stop = max(start - position, 0), min(end - position, len(part))
        if begin < stop:
            cut.append(part if stop - begin == len(part) else memoryview(part)[begin:stop])
        position += len(part)
    return cut

"""Clips as they stand in the cache, for speeches that are there: a few at a time, and held to what was said of them."""

import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from app.errors import NotFound
from app.speech.manifest import ClipLine, Manifest, keep
from app.speech.ready import as_listed
from app.speech.windows import Read
from cache.cache import Cache
from cache.interface import Entry

AT_A_TIME: Final = 32
"""Clips that are read together where nothing is kept of them but what stands beside their sound."""

_RECENT: Final = 512
_SHORT_BYTES: Final = 4_096

Mend = Callable[[int], Awaitable[Entry]]
"""Has the clip at a position made that has gone since."""
Met = Callable[[int, Entry], object]
"""Is told of each clip that is read, with its position: it may be old."""


class MadeAnew(Exception):
    """A clip is not the one any more that the speech's manifest tells of: the bytes that were announced are gone."""


class Shelf:
    """Reads. What is gone, or another by now, is found out before a byte of it is passed on."""

    def __init__(self, cache: Cache, clock: Callable[[], float] = time.time) -> None:
        """`clock`: epoch seconds."""
        self._cache = cache
        self._clock = clock
        self._manifests: WeakValueDictionary[bytes, Manifest] = WeakValueDictionary()
        # Short ones stay for the next who asks, with or without another listening at the moment.
        self._recent: deque[Manifest] = deque(maxlen=_RECENT)

    def manifest(self, entry: Entry | None) -> Manifest | None:
        """What was kept of a speech, one object for all who listen to it; None for anything else."""
        if entry is None:
            return None
        manifest = self._manifests.get(entry.meta)
        if manifest is None and (manifest := Manifest.decode(entry.meta)) is not None:
            self._manifests[entry.meta] = manifest
            if len(entry.meta) <= _SHORT_BYTES:
                self._recent.append(manifest)
        return manifest

    async def entries(self, lines: Sequence[ClipLine]) -> list[Entry]:
        """The clips of these lines, as they are now.

        Raises:
            NotFound: not all of them are there.
        """
        entries = await self._cache.get_many([line.digest for line in lines])
        found = [entry for entry in entries if entry is not None]
        if len(found) != len(lines):
            raise gone()
        return found

    async def few_by_few(self, digests: list[str]) -> AsyncGenerator[tuple[int, Entry | None]]:
        """Every one of these clips, with its position: of an hour of them only a few are ever held."""
        for start in range(0, len(digests), AT_A_TIME):
            entries = await self._cache.get_many(digests[start : start + AT_A_TIME])
            for position, entry in enumerate(entries, start):
                yield position, entry

    async def current(self, manifest: Manifest, read: Mapping[int, Entry]) -> Manifest:
        """As `Manifest.with_sound`, for any number of clips, of which these were `read` already.

        Raises:
            NotFound: not all of them are there.
        """
        lines: list[ClipLine] = []
        async with aclosing(self.few_by_few([line.digest for line in manifest.clips])) as found:
            async for position, entry in found:
                if (now := read.get(position, entry)) is None:
                    raise gone()
                lines.append(manifest.clips[position].now(now))
        return msgspec.structs.replace(manifest, clips=tuple(lines))

    def reader(
        self, digest: str, manifest: Manifest, mend: Mend | None = None, met: Met = lambda *_: None
    ) -> Read:
        """Reads what the manifest tells of, for the speech of that address.

        A clip that has gone is asked of `mend`, where there is one. The reader raises `NotFound` where there is
        none, and `MadeAnew` where a clip is another by now; then the manifest is kept as it has become, so that
        whoever comes next, this listener's retry most of all, gets it from the beginning.
        """

        async def read(first: int, behind: int) -> Sequence[Entry]:
            lines = manifest.clips[first:behind]
            entries: list[Entry] = []
            looked = await self._cache.get_many([line.digest for line in lines])
            for position, entry in enumerate(looked, first):
                if entry is not None:
                    met(position, entry)
                    entries.append(entry)
                elif mend is not None:
                    entries.append(await mend(position))
                else:
                    raise gone()
            if not as_listed(lines, entries):
                # What was mended is not stored yet: what has been read here need not be looked for.
                now = await self.current(manifest, dict(enumerate(entries, first)))
                await keep(self._cache, digest, now, self._clock())
                raise MadeAnew
            return entries

        return read


def gone() -> NotFound:
    """What is said of a speech that is not there."""
    return NotFound(
        "No speech is at this address, no longer, or not yet all of it. POST its text to have it made."
    )

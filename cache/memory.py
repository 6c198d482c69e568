"""The tier inside the process: the entries used last, within a bound in bytes."""

import time
from collections import OrderedDict
from collections.abc import Callable

from cache.interface import Entry, TierStatistics

# What an entry costs besides its bytes: the Entry, its numbers, two names, a place in the dictionary.
OVERHEAD_BYTES = 768


class MemoryTier:
    """Entries by digest, the least recently used dropped first. One event loop; nothing here awaits.

    `limit` is in bytes and counts payload, meta and overhead; `now` gives seconds since the epoch.
    """

    def __init__(self, limit: int, *, now: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._now = now
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, digest: str) -> Entry | None:
        """The entry, unless it is unknown or expired. Synchronous: the hit path awaits nothing."""
        entry = self.peek(digest)
        if entry is None:
            self._misses += 1
        else:
            self._hits += 1
        return entry

    def peek(self, digest: str) -> Entry | None:
        """As `get`, for a second look at the same question: not counted."""
        entry = self._entries.get(digest)
        if entry is None or entry.left(self._now()) <= 0:
            self.discard(digest)
            return None
        self._entries.move_to_end(digest)
        return entry

    def add(self, digest: str, entry: Entry) -> None:
        """Keep the entry, in the place of what was there; not if it is expired or larger than the tier."""
        self.discard(digest)
        size = _size(entry)
        if size > self._limit or entry.left(self._now()) <= 0:
            return
        self._entries[digest] = entry
        self._bytes += size
        while self._bytes > self._limit:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= _size(dropped)

    def discard(self, digest: str) -> bool:
        """Forget; True if it was there."""
        entry = self._entries.pop(digest, None)
        if entry is None:
            return False
        self._bytes -= _size(entry)
        return True

    def statistics(self) -> TierStatistics:
        """What happened so far, and what is held now."""
        return TierStatistics(self._hits, self._misses, len(self._entries), self._bytes)

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """As `get`, for many."""
        return [self.get(digest) for digest in digests]

    async def put(self, digest: str, entry: Entry) -> None:
        """As `add`."""
        self.add(digest, entry)

    async def delete(self, digest: str) -> bool:
        """As `discard`."""
        return self.discard(digest)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    async def aclose(self) -> None:
        """As `clear`."""
        self.clear()


def _size(entry: Entry) -> int:
    return OVERHEAD_BYTES + len(entry.meta) + len(entry.payload)

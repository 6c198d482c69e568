"""The tier inside the process: what is asked for again and again, within a bound in bytes."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cache.interface import Entry, TierStatistics

# What an entry costs besides its bytes: the Entry, its numbers, two names, its place here, and the name of one that
# was here before.
OVERHEAD_BYTES = 768

_PROBATION = 0.1  # of the bound: where newcomers wait to be asked for again
_ENOUGH = 2  # times asked for while there: once more is what anybody does who speaks a text and replays it
_MOST = 3  # times that count: what was popular once must not stay for ever


@dataclass(slots=True, eq=False)
class _Place:
    entry: Entry
    size: int
    until: float
    uses: int = 0


class MemoryTier:
    """Entries by digest. One event loop; nothing here awaits.

    `limit` is in bytes and counts payload, meta and overhead; `now` gives seconds since the epoch.

    What goes first is decided as in S3-FIFO (Yang and others, "FIFO queues are all you need for cache eviction",
    SOSP 2023): newcomers wait in a short queue, and only those that were asked for meanwhile get into the long one. So
    a flood of what nobody asks for again, however long, drives out other newcomers and nothing else. What leaves the
    short queue is remembered by name: if it comes back soon it gets into the long one at once.
    """

    def __init__(self, limit: int, *, now: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._now = now
        self._places: dict[str, _Place] = {}
        # Each place is in one of these two, the oldest first.
        self._newcomers: OrderedDict[str, _Place] = OrderedDict()
        self._residents: OrderedDict[str, _Place] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._bytes = 0
        self._new_bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, digest: str) -> Entry | None:
        """The entry, unless it is unknown or expired. Synchronous: the hit path awaits nothing."""
        place = self._places.get(digest)
        if place is None or place.until <= self._now():
            self._misses += 1
            self.discard(digest)
            return None
        self._hits += 1
        if place.uses < _MOST:
            place.uses += 1
        return place.entry

    def peek(self, digest: str) -> Entry | None:
        """As `get`, for a second look at the same question: not counted, and no reason to keep it longer."""
        place = self._places.get(digest)
        if place is None or place.until <= self._now():
            self.discard(digest)
            return None
        return place.entry

    def add(self, digest: str, entry: Entry) -> None:
        """Keep the entry, in the place of what was there; not if it is expired or larger than the tier."""
        old = self._places.get(digest)
        resident = digest in self._residents or digest in self._gone
        self.discard(digest)
        size = OVERHEAD_BYTES + len(entry.meta) + len(entry.payload)
        now = self._now()
        left = entry.left(now)
        if size > self._limit or left <= 0:
            return
        self._places[digest] = place = _Place(entry, size, now + left, old.uses if old else 0)
        self._bytes += size
        if resident:
            self._gone.pop(digest, None)
            self._residents[digest] = place
        else:
            self._newcomers[digest] = place
            self._new_bytes += size
        while self._bytes > self._limit:
            self._make_room()

    def discard(self, digest: str) -> bool:
        """Forget; True if it was there."""
        place = self._places.pop(digest, None)
        if place is None:
            return False
        self._bytes -= place.size
        if self._newcomers.pop(digest, None) is not None:
            self._new_bytes -= place.size
        else:
            del self._residents[digest]
        return True

    def statistics(self) -> TierStatistics:
        """What happened so far, and what is held now."""
        return TierStatistics(self._hits, self._misses, len(self._places), self._bytes)

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
        for queue in (self._places, self._newcomers, self._residents, self._gone):
            queue.clear()
        self._bytes = self._new_bytes = 0

    async def aclose(self) -> None:
        """As `clear`."""
        self.clear()

    def _make_room(self) -> None:
        """One step: the oldest of a queue leaves it, for good or for another round. Each step uses up a use."""
        # The newest of all is spared while there is anything else: a long clip fills the short queue by itself.
        crowded = self._new_bytes > self._limit * _PROBATION and len(self._newcomers) > 1
        if not crowded and self._residents:
            digest, place = self._residents.popitem(last=False)
            if place.uses:
                place.uses -= 1
                self._residents[digest] = place
                return
        else:
            digest, place = self._newcomers.popitem(last=False)
            self._new_bytes -= place.size
            if place.uses >= _ENOUGH:
                place.uses = 0
                self._residents[digest] = place
                return
            self._remember(digest)
        del self._places[digest]
        self._bytes -= place.size

    def _remember(self, digest: str) -> None:
        """No more names than there are entries, so that they stay within the overhead of those."""
        self._gone[digest] = None
        while len(self._gone) > len(self._places):
            self._gone.popitem(last=False)

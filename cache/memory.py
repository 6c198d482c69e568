"""The tier inside the process: what is asked for again and again, within a bound in bytes."""

import time
from collections import OrderedDict
from collections.abc import Callable

from cache.fair_queue import FairQueue, Place
from cache.interface import Entry, TierStatistics

# What an entry costs besides its bytes: the Entry, its numbers, two names, its place here and among its owner's, and
# the name of one that was here before.
OVERHEAD_BYTES = 1024

_PROBATION = 0.1  # of the bound: where newcomers wait to be asked for again
_ENOUGH = 2  # times asked for while there: once more is what anybody does who speaks a text and replays it
_MOST = 3  # times that count: what was popular once must not stay for ever


class MemoryTier:
    """Entries by digest. One event loop; nothing here awaits.

    `limit` is in bytes and counts payload, meta and overhead; `now` gives seconds since the epoch. `owner_share` is
    which part of it an owner may have before room is made out of his own entries (see `FairQueue`).

    What goes first is decided as in S3-FIFO (Yang and others, "FIFO queues are all you need for cache eviction",
    SOSP 2023): newcomers wait in a short queue, and only those that were asked for meanwhile get into the long one. So
    a flood of what nobody asks for again, however long, drives out other newcomers and nothing else. What leaves the
    short queue is remembered by name: if it comes back soon it gets into the long one at once.
    """

    def __init__(self, limit: int, *, owner_share: float = 1.0, now: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._now = now
        self._places: dict[str, Place] = {}
        # Each place is in one of these two.
        self._newcomers = FairQueue(limit * _PROBATION * owner_share)
        self._residents = FairQueue(limit * owner_share)
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._hits = 0
        self._misses = 0

    def get(self, digest: str, asker: str | None = None) -> Entry | None:
        """The entry, unless it is unknown or expired. Synchronous: the hit path awaits nothing.

        What two owners ask for is everybody's from then on; `asker` None is nobody in particular.
        """
        place = self._places.get(digest)
        if place is None or place.until <= self._now():
            self._misses += 1
            self.discard(digest)
            return None
        self._hits += 1
        if place.uses < _MOST:
            place.uses += 1
        owner = place.owner
        # Identity first: most entries are nobody's or the asker's, and this is the hit path.
        if owner is not asker and owner is not None and asker is not None and owner != asker:
            (self._newcomers if digest in self._newcomers else self._residents).share(digest)
        return place.entry

    def peek(self, digest: str) -> Entry | None:
        """As `get`, for a second look at the same question: not counted, and no reason to keep it longer."""
        place = self._places.get(digest)
        if place is None or place.until <= self._now():
            self.discard(digest)
            return None
        return place.entry

    def add(self, digest: str, entry: Entry, owner: str | None = None) -> None:
        """Keep the entry, in the place of what was there; not if it is expired or larger than the tier.

        It counts for its `owner`, or as before for whose the old one was; None: for nobody.
        """
        old = self._places.get(digest)
        resident = digest in self._residents or digest in self._gone
        self.discard(digest)
        size = OVERHEAD_BYTES + len(entry.meta) + len(entry.payload)
        now = self._now()
        left = entry.left(now)
        if size > self._limit or left <= 0:
            return
        uses, owner = (old.uses, old.owner) if old else (0, owner)
        self._places[digest] = place = Place(entry, size, now + left, owner, uses)
        if resident:
            self._gone.pop(digest, None)
            self._residents.append(digest, place)
        else:
            self._newcomers.append(digest, place)
        while self._newcomers.bytes + self._residents.bytes > self._limit:
            self._make_room()

    def discard(self, digest: str) -> bool:
        """Forget; True if it was there."""
        if self._places.pop(digest, None) is None:
            return False
        if self._newcomers.remove(digest) is None:
            self._residents.remove(digest)
        return True

    def statistics(self) -> TierStatistics:
        """What happened so far, and what is held now."""
        held = self._newcomers.bytes + self._residents.bytes
        return TierStatistics(self._hits, self._misses, len(self._places), held)

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
        for table in (self._places, self._newcomers, self._residents, self._gone):
            table.clear()

    async def aclose(self) -> None:
        """As `clear`."""
        self.clear()

    def _make_room(self) -> None:
        """One step: somebody's oldest of a queue leaves it, for good or for another round. Each uses up a use."""
        # The newest of all is spared while there is anything else: a long clip fills the short queue by itself.
        crowded = self._newcomers.bytes > self._limit * _PROBATION and len(self._newcomers) > 1
        if not crowded and self._residents:
            digest, place = self._residents.pop()
            if place.uses:
                place.uses -= 1
                self._residents.append(digest, place)
                return
        else:
            digest, place = self._newcomers.pop()
            if place.uses >= _ENOUGH:
                place.uses = 0
                self._residents.append(digest, place)
                return
            self._remember(digest)
        del self._places[digest]

    def _remember(self, digest: str) -> None:
        """No more names than there are entries, so that they stay within the overhead of those."""
        self._gone[digest] = None
        while len(self._gone) > len(self._places):
            self._gone.popitem(last=False)

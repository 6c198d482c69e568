"""The one object that the service uses: tiers, and flights for what none of them has."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from cache.drafts import Drafts
from cache.flight import Flights, FlightStatistics, Make
from cache.interface import Entry, TierStatistics
from cache.lease import Leases
from cache.link import Keys, RedisLink
from cache.memory import MemoryTier
from cache.notices import Notices
from cache.passage import Seat
from cache.redis import RedisTier


@dataclass(frozen=True, slots=True)
class Shared:
    """What a process has of one Redis."""

    link: RedisLink
    tier: RedisTier
    notices: Notices
    leases: Leases


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What happened since the start. `redis` is None without one; `redis_away`: it does not answer now."""

    memory: TierStatistics
    redis: TierStatistics | None
    redis_away: bool
    flights: FlightStatistics


class Cache:
    """Entries by digest: memory, then Redis. To be made and used within one running event loop.

    Redis' troubles never show: while it is away, memory and the process' own flights carry on.
    """

    def __init__(self, memory: MemoryTier, flights: Flights, shared: Shared | None = None) -> None:
        self._memory = memory
        self._flights = flights
        self._shared = shared
        self.drafts = Drafts() if shared is None else Drafts(shared.link, shared.notices)

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """One entry or None for each digest, in order. What memory lacks is read in one trip, and kept."""
        found = [self._memory.get(digest) for digest in digests]
        missing = [digest for digest, entry in zip(digests, found, strict=True) if entry is None]
        if not missing or self._shared is None:
            return found
        below = dict(zip(missing, await self._shared.tier.get_many(missing), strict=True))
        for digest, entry in below.items():
            if entry is not None:
                self._memory.add(digest, entry)
        return [e if e is not None else below[d] for d, e in zip(digests, found, strict=True)]

    async def arriving(self, digest: str, seconds: float) -> Entry | None:
        """As `get_many`, for one that was made: another process may be storing it still. None after so long."""
        (entry,) = await self.get_many([digest])
        if entry is not None or self._shared is None:
            return entry
        async with self._shared.leases.ear(digest) as ear:
            await ear.listen()
            (entry,) = await self.get_many([digest])
            if entry is None:
                await ear.wait(seconds)
                (entry,) = await self.get_many([digest])
        return entry

    async def has_all(self, digests: list[str]) -> bool:
        """Whether `get_many` would find all of them, without reading them: at most one trip."""
        missing = {digest for digest in digests if self._memory.peek(digest) is None}
        return not missing or (self._shared is not None and await self._shared.tier.has_all(sorted(missing)))

    def board(self, digest: str, make: Make) -> AbstractAsyncContextManager[Seat]:
        """A seat in the flight to this digest: see `Flights.board`."""
        return self._flights.board(digest, make)

    async def put(self, digest: str, entry: Entry) -> None:
        """Store in every tier. For what is not made in a flight: manifests."""
        self._memory.add(digest, entry)
        if self._shared is not None:
            await self._shared.tier.put(digest, entry)

    async def delete(self, digest: str) -> bool:
        """Forget in this process and in Redis; True if it was anywhere. Other processes' memory keeps it."""
        here = self._memory.discard(digest)
        there = self._shared is not None and await self._shared.tier.delete(digest)
        return here or there

    def statistics(self) -> CacheStatistics:
        """What happened so far."""
        return CacheStatistics(
            memory=self._memory.statistics(),
            redis=None if self._shared is None else self._shared.tier.statistics(),
            redis_away=self._shared is not None and self._shared.link.outage.open,
            flights=self._flights.statistics(),
        )

    async def aclose(self) -> None:
        """End the flights, then give back connections. Idempotent."""
        await self._flights.aclose()
        await self.drafts.aclose()
        if self._shared is not None:
            await self._shared.tier.aclose()
            await self._shared.notices.aclose()
            await self._shared.link.aclose()


def share(
    url: str,
    *,
    keys: Keys | None = None,
    lease: float = 1.0,
    timeout: float = 0.1,
    now: Callable[[], float] = time.time,
) -> Shared:
    """One Redis by its URL (redis://, rediss://, unix://); connects at first use. Times are in seconds."""
    link = RedisLink(url, keys=keys, timeout=timeout)
    tier = RedisTier(link, now=now)
    notices = Notices(link)
    return Shared(link, tier, notices, Leases(link, tier, notices, length=lease))


def open_cache(
    *,
    memory_bytes: int,
    redis_url: str | None = None,
    remember: Callable[[Exception], float] = lambda _: 0.0,
    keys: Keys | None = None,
    lease: float = 1.0,
    timeout: float = 0.1,
    now: Callable[[], float] = time.time,
) -> Cache:
    """A cache as the service wants it: see `MemoryTier`, `share` and `Flights` for the arguments."""
    memory = MemoryTier(memory_bytes, now=now)
    shared = None if redis_url is None else share(redis_url, keys=keys, lease=lease, timeout=timeout, now=now)
    flights = Flights(memory, None if shared is None else shared.leases, remember=remember, now=now)
    return Cache(memory, flights, shared)

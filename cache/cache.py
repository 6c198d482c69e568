"""The one object that the service uses: tiers, and flights for what none of them has."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass

from cache.claims import Claims
from cache.errors import Away, Unreachable
from cache.flight import Flights, FlightStatistics, Make
from cache.interface import Entry, TierStatistics
from cache.labels import BATCH, Label, Labels
from cache.lease import Leases
from cache.link import Keys, RedisLink
from cache.memory import MemoryTier
from cache.notices import Notices
from cache.passage import Seat
from cache.purges import Purges
from cache.redis import RedisTier


@dataclass(frozen=True, slots=True)
class Shared:
    """What a process has of one Redis."""

    link: RedisLink
    tier: RedisTier
    notices: Notices
    leases: Leases
    labels: Labels
    purges: Purges


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
        self._claims = Claims(None if shared is None else shared.link)
        if shared is not None:
            shared.purges.watch(memory)

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

    async def reread(self, digest: str) -> Entry | None:
        """What Redis has, in place of what this process has in memory."""
        if self._shared is None:
            return self._memory.peek(digest)
        (entry,) = await self._shared.tier.get_many([digest])
        if entry is not None:
            self._memory.add(digest, entry)
        return entry

    async def replace(self, digest: str, entry: Entry) -> None:
        """As `put`, and other processes give up within about a second what they have in memory of it."""
        await self.put(digest, entry)
        if self._shared is not None:
            await self._shared.purges.announce([digest])

    async def claim(self, digest: str, seconds: float) -> bool:
        """Whether the caller is the one in the fleet who may make this anew: one in so many seconds."""
        return await self._claims.take(digest, seconds)

    def is_claimed(self, digest: str) -> bool:
        """Whether `claim` would say no, as far as this process knows: asks nobody."""
        return self._claims.is_held(digest)

    def label(self, labels: Iterable[Label], until: Mapping[str, float]) -> None:
        """See `Labels.add_soon`: digests with when they expire."""
        if self._shared is not None:
            self._shared.labels.add_soon(labels, until)

    async def delete_many(self, digests: Sequence[str]) -> int:
        """Forget in every tier, at once here and in Redis, within about a second in other processes' memory.

        How many were there. The one place where entries are deleted on purpose.

        Raises:
            Unreachable: Redis did not answer.
        """
        count = 0
        for start in range(0, len(digests), BATCH):
            some = digests[start : start + BATCH]
            there = await self._delete_shared(some)
            here = [self._memory.discard(digest) for digest in some]
            count += sum(one or other for one, other in zip(there, here, strict=True))
        return count

    async def purge(self, labels: Sequence[Label]) -> int:
        """Forget what has all of these labels (one at least) and was stored before; how many there were.

        What is stored meanwhile may be forgotten or not. A flight that is under way is not touched.

        Raises:
            Unreachable: Redis did not answer, or there is none; purge again to forget the rest.
        """
        if self._shared is None:
            raise Unreachable
        count = 0
        try:
            async with aclosing(self._shared.labels.walk(labels)) as batches:
                async for digests in batches:
                    count += await self.delete_many(digests)
                    # Last: who is interrupted finds them again.
                    await self._shared.labels.drop(labels, digests)
            # What was made while Redis was away is in its maker's memory only, and in no index.
            await self._shared.purges.announce_everything()
            self._memory.clear()
        except Away as error:
            raise Unreachable from error
        return count

    async def _delete_shared(self, digests: Sequence[str]) -> list[bool]:
        if self._shared is None:
            return [False] * len(digests)
        try:
            return await self._shared.purges.delete(digests)
        except Away as error:
            raise Unreachable from error

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
        if self._shared is not None:
            await self._shared.labels.aclose()
            await self._shared.purges.aclose()
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
    leases = Leases(link, tier, notices, length=lease)
    return Shared(link, tier, notices, leases, Labels(link, now=now), Purges(link))


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
    leases, index = (None, None) if shared is None else (shared.leases, shared.labels)
    flights = Flights(memory, leases, remember=remember, now=now, index=index)
    return Cache(memory, flights, shared)

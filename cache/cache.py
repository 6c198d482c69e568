"""The one object that the service uses: tiers, and flights for what none of them has."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from cache.archive import Archive, open_archive
from cache.asker import asker
from cache.behind import Behind
from cache.bulletin import Bulletin
from cache.claims import Claims
from cache.drafts import Drafts
from cache.errors import Away, Unreachable
from cache.flight import Flights, Make
from cache.forgetting import Forgetting
from cache.interface import Entry, FlightStatistics, Tier, TierStatistics
from cache.labels import Label
from cache.late import Undoing, unlikely
from cache.ledger import BRIEF
from cache.link import Keys
from cache.memory import MemoryTier
from cache.passage import Seat
from cache.purges import START, Mark
from cache.shared import Shared, share
from cache.slots import Slots
from cache.storing import Storing
from cache.withdrawals import Withdrawals

NOBODYS = "0" * 40
"""A digest that no text has."""
CLOSING_SECONDS = 5.0
"""For `aclose`, where nobody says."""


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What happened since the start. A tier that there is not is None; away: it does not answer now."""

    memory: TierStatistics
    redis: TierStatistics | None
    redis_away: bool
    flights: FlightStatistics
    archive: TierStatistics | None = None
    archive_away: bool = False
    over_budget: int = 0


class Cache:
    """Entries by digest: memory, then Redis, then the archive. To be made and used within one running event loop.

    Redis' troubles never show, nor the archive's: while one is away, the others carry on.
    """

    def __init__(
        self,
        memory: MemoryTier,
        flights: Flights,
        shared: Shared | None = None,
        archive: Archive | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._flights = flights
        self._shared = shared
        self._archive = archive
        self._now = now
        self._promotions = None if shared is None or archive is None else Behind(self._promote)
        self._forgetting = Forgetting(memory, shared, archive, self._promotions)
        self.drafts = Drafts() if shared is None else Drafts(shared.link, shared.notices)
        self.drafts.withdrawals = Withdrawals(shared, self._forget_settled)
        self._claims = Claims(None if shared is None else shared.link)
        self.slots = None if shared is None else Slots(shared.link, shared.notices)
        self.bulletin = Bulletin(None if shared is None else shared.link)
        self.errands = None if shared is None else shared.errands
        if shared is not None:
            if archive is not None:
                archive.heed(shared.late, shared.tier.has)
            shared.purges.watch(memory, heed=self._forgetting.overlook, then=shared.late.look_again)

    async def warm(self) -> None:
        """Have connections open, scripts loaded and threads started before the first request. What is away stays away.

        Else the first chunk of the first speech has to wait for all that, and the second may come to a local engine
        before it.
        """
        await self.get_many([NOBODYS])
        if self._shared is not None:
            token = secrets.token_hex(8)
            await self._shared.leases.join(NOBODYS, token)
            await self._shared.leases.fail(NOBODYS, token)
            # Who first waits for others listens: on a busy machine a new connection may look like an outage.
            async with self._shared.leases.ear(NOBODYS) as ear:
                await ear.listen()

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """One entry or None for each digest, in order. A tier is asked in one trip, for what those above it lack.

        What is found is kept in memory, and what was in the archive alone in Redis, too: soon, nobody waits for it.
        """
        owner = asker()
        found = {digest: self._memory.get(digest, owner) for digest in digests}
        if self._shared is not None:
            self._shared.ledger.see(owner)
        if all(entry is not None for entry in found.values()):
            return [found[digest] for digest in digests]
        if self._shared is not None:
            await self._look_in(self._shared.tier, found, owner)
        if self._archive is not None:
            mark = self._archive.mark
            for digest, entry in await self._look_in(self._archive, found, owner):
                self._bring_up(digest, entry, owner, mark)
        return [found[digest] for digest in digests]

    def _bring_up(self, digest: str, entry: Entry, owner: str | None, mark: Mark) -> None:
        """Have Redis get what only the archive had; not what would be there for a moment only."""
        if self._promotions is None or self._shared is None:
            return
        left = entry.left(self._now())
        if self._shared.ledger.lifetime(owner, entry, left) == left:
            self._promotions.add(digest, entry, mark)

    async def _promote(self, digest: str, entry: Entry, mark: Mark) -> None:
        """To Redis, unless it was purged since it was read, or something newer is there."""
        if self._shared is not None:
            undoing = Undoing(digest, mark, partial(self._memory.delete, digest), unlikely)
            await self._shared.late.write(undoing, partial(self._shared.tier.promote, digest, entry))

    async def _look_in(
        self, tier: Tier, found: dict[str, Entry | None], owner: str | None
    ) -> list[tuple[str, Entry]]:
        """Fill in what is missing, as far as the tier has it; and what that was."""
        missing = [digest for digest, entry in found.items() if entry is None]
        if not missing:
            return []
        entries = zip(missing, await tier.get_many(missing), strict=True)
        came = [(digest, entry) for digest, entry in entries if entry is not None]
        for digest, entry in came:
            found[digest] = entry
            self._memory.add(digest, entry, owner)
        return came

    async def arriving(self, digest: str, seconds: float) -> Entry | None:
        """As `get_many`, for one that was made: another process may be storing it still. None after so long."""
        (entry,) = await self.get_many([digest])
        if entry is not None or self._shared is None:
            return entry
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        async with self._shared.leases.ear(digest) as ear:
            while True:
                await ear.listen()
                (entry,) = await self.get_many([digest])
                left = end - clock()
                if entry is not None or left <= 0:
                    return entry
                # Pieces, too, and a lost connection wake us.
                await ear.wait(left)

    async def has_all(self, digests: list[str]) -> bool:
        """Whether `get_many` would find all of them, without reading them: at most one trip to Redis if it has them."""
        missing = sorted({digest for digest in digests if self._memory.peek(digest) is None})
        if not missing:
            return True
        if self._shared is not None and await self._shared.tier.has_all(missing):
            return True
        # Of what nobody has said yet any one is missing everywhere: to look for all of them would cost a crowd of
        # askers more than the sound.
        return not (await self._lacking(missing[:1]) or await self._lacking(missing[1:]))

    async def _lacking(self, digests: list[str]) -> list[str]:
        """Those that neither Redis nor the archive has."""
        if self._archive is None or not digests:
            return digests
        if self._shared is not None:
            digests = await self._shared.tier.lacking(digests)
        return await self._archive.lacking(digests)

    def board(self, digest: str, make: Make, *, anew: bool = False) -> AbstractAsyncContextManager[Seat]:
        """A seat in the flight to this digest: see `Flights.board`."""
        return self._flights.board(digest, make, anew=anew)

    async def put(self, digest: str, entry: Entry) -> None:
        """Store in every tier. For what is not made in a flight: manifests."""
        owner = asker()
        self._memory.add(digest, entry, owner)
        if self._archive is not None:
            await self._archive.put(digest, entry)
        if self._shared is not None:
            await self._put_shared(self._shared, digest, entry, owner)

    async def _put_shared(self, shared: Shared, digest: str, entry: Entry, owner: str | None) -> None:
        left = entry.left(self._now())
        seconds = shared.ledger.lifetime(owner, entry, left)
        if seconds == left:
            await shared.tier.put(digest, entry)
        else:
            await shared.tier.put_briefly(digest, entry, seconds)

    async def reread(self, digest: str) -> Entry | None:
        """What Redis has, in place of what this process has in memory."""
        if self._shared is None:
            return self._memory.peek(digest)
        (entry,) = await self._shared.tier.get_many([digest])
        if entry is not None:
            self._memory.add(digest, entry, asker())
        return entry

    async def renew(self, digest: str, entry: Entry) -> bool:
        """As `put`, but only in place of an old one: what was purged meanwhile stays forgotten.

        Other processes give up within about a second what they have in memory of it.
        """
        if self._shared is None:
            there, mark = self._memory.peek(digest) is not None, START
        else:
            mark = self._shared.purges.mark
            there = await self._shared.tier.renew(digest, entry)
        if there:
            self._memory.add(digest, entry)
            if self._archive is not None:
                await self._archive.put(digest, entry, mark)
            if self._shared is not None:
                await self._shared.purges.announce([digest])
        return there

    async def claim(self, digest: str, seconds: float) -> bool:
        """Whether the caller is the one in the fleet who may make this anew: one in so many seconds."""
        return await self._claims.take(digest, seconds)

    async def rest(self, digest: str, seconds: float) -> None:
        """Have a claim that was taken last so long from now."""
        await self._claims.lengthen(digest, seconds)

    def is_claimed(self, digest: str) -> bool:
        """Whether `claim` would say no, as far as this process knows: asks nobody."""
        return self._claims.is_held(digest)

    def label(self, labels: Iterable[Label], until: Mapping[str, float]) -> None:
        """See `Labels.add_soon`: digests with when they expire.

        Of who is over his budget they are labelled for as long as he has entries kept in Redis: a million of his
        labels would drive out others' entries, too. What has been labelled stays so.
        """
        if self._shared is None:
            return
        if self._shared.ledger.is_over(asker()):
            end = self._now() + self._shared.ledger.brief
            until = {digest: min(seconds, end) for digest, seconds in until.items()}
        self._shared.labels.add_soon(labels, until)

    async def delete_many(self, digests: Sequence[str]) -> int:
        """Forget in every tier, at once here and in Redis, within about a second in other processes' memory.

        How many were there. The one place where entries are deleted on purpose.

        Raises:
            Unreachable: Redis or the archive did not answer.
        """
        return await self._forgetting.delete_many(digests)

    async def withdraw(self, digest: str) -> None:
        """Whoever is making the value of this name, which was just deleted: nobody follows it, and it is not kept.

        Raises:
            Unreachable: Redis did not answer.
        """
        try:
            await self.drafts.withdraw(digest)
        except Away as error:
            raise Unreachable from error

    async def purge(self, labels: Sequence[Label]) -> int:
        """Forget what has all of these labels (one at least) and was stored before; how many there were.

        What is stored meanwhile may be forgotten or not. A flight that is under way is not touched.

        Raises:
            Unreachable: Redis or the archive did not answer, or there is no Redis; purge again to forget the rest.
        """
        return await self._forgetting.purge(labels)

    async def _forget_settled(self, digests: Sequence[str]) -> None:
        """Forget what was made for a speech that was deleted meanwhile.

        Raises:
            Unreachable: as `delete_many`.
        """
        await self._flights.settled(digests)
        await self.delete_many(digests)

    def statistics(self) -> CacheStatistics:
        """What happened so far."""
        return CacheStatistics(
            memory=self._memory.statistics(),
            redis=None if self._shared is None else self._shared.tier.statistics(),
            redis_away=self._shared is not None and self._shared.link.outage.open,
            flights=self._flights.statistics(),
            archive=None if self._archive is None else self._archive.statistics(),
            archive_away=self._archive is not None and self._archive.away,
            over_budget=0 if self._shared is None else self._shared.ledger.refused,
        )

    async def end_flights(self, seconds: float) -> None:
        """End what is being made, for so many seconds: before what is told of its end is closed. Idempotent."""
        await self._flights.aclose(seconds)

    async def aclose(self, seconds: float = CLOSING_SECONDS) -> None:
        """End the flights, write what is yet to be written, then give back connections. Idempotent.

        All of it within so many seconds, whatever hangs: what has not been written by then is lost.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        # First, and not for all of the time: what flights store waits to be written then.
        await self.end_flights(seconds / 2)
        # Together: what hangs must not take the others' time.
        shared = self._shared
        labels = None if shared is None else shared.labels
        writing = (self.drafts, self._promotions, self._archive, labels)
        left = max(0.0, end - clock())
        await asyncio.gather(*(one.aclose(left) for one in writing if one is not None))
        if shared is not None:
            await shared.errands.aclose()
        if self.slots is not None and shared is not None:
            await self.slots.aclose()
            await shared.ledger.aclose()
            await shared.purges.aclose()
            await shared.tier.aclose()
            await shared.notices.aclose()
            await shared.link.aclose()


def open_cache(
    *,
    memory_bytes: int,
    owner_share: float = 1.0,
    owner_budget: float = math.inf,
    redis_url: str | None = None,
    archive_url: str | None = None,
    archive_bytes: int | None = None,
    remember: Callable[[Exception], float] = lambda _: 0.0,
    keys: Keys | None = None,
    lease: float = 1.0,
    timeout: float = 0.1,
    brief: float = BRIEF,
    now: Callable[[], float] = time.time,
) -> Cache:
    """A cache as the service wants it.

    See `MemoryTier`, `share`, `Ledger`, `open_archive` and `Flights` for the arguments.

    Raises:
        NoArchive: the archive cannot be opened.
    """
    memory = MemoryTier(memory_bytes, owner_share=owner_share, now=now)
    shared = None
    if redis_url is not None:
        shared = share(
            redis_url,
            keys=keys,
            lease=lease,
            timeout=timeout,
            owner_budget=owner_budget,
            brief=brief,
            now=now,
        )
    archive = None if archive_url is None else open_archive(archive_url, limit=archive_bytes, now=now)
    if shared is None:
        flights = Flights(memory, archive=archive, remember=remember, now=now)
    else:
        storing = Storing(
            memory,
            shared.leases,
            archive=archive,
            index=shared.labels,
            ledger=shared.ledger,
            announce=shared.purges.announce,
            late=shared.late,
            now=now,
        )
        flights = Flights(memory, shared.leases, archive=archive, remember=remember, now=now, storing=storing)
    return Cache(memory, flights, shared, archive, now=now)

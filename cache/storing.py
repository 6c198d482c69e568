"""What becomes of what a flight has brought: fenced by the lease, labelled, archived, told of where it replaces."""

import time
from collections.abc import Awaitable, Callable, Sequence

from cache.interface import Entry, Tier
from cache.labels import Label, Labels
from cache.lease import Alone, Failed, Follow, Found, Lead, Leases
from cache.ledger import Ledger
from cache.memory import MemoryTier
from cache.passage import Passage


async def _to_nobody(_: Sequence[str]) -> None:
    """There are no other processes."""


class Storing:
    """`announce` has other processes give up what they have in memory of these digests. `refused`: losers so far."""

    def __init__(
        self,
        memory: MemoryTier,
        leases: Leases | None = None,
        *,
        archive: Tier | None = None,
        index: Labels | None = None,
        ledger: Ledger | None = None,
        announce: Callable[[Sequence[str]], Awaitable[None]] = _to_nobody,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.refused = 0
        self._memory = memory
        self._leases = leases
        self._archive = archive
        self._index = index
        self._ledger = ledger
        self._announce = announce
        self._now = now

    async def store(
        self, passage: Passage, entry: Entry, labels: tuple[Label, ...] = (), *, leads: bool, made: bool
    ) -> None:
        """Have all processes find it. `leads`: the passage's token has the lease; `made`: it was not only found."""
        ours = True
        left = entry.left(now := self._now())
        if self._ledger is not None:
            left = self._ledger.lifetime(passage.owner, entry, left)
        # First: what is labelled and not there harms nobody, what is there and not labelled is missed by a purge.
        if self._index is not None and labels:
            self._index.add_soon(labels, {passage.digest: now + left})
        if self._leases is not None:
            ours = await self._store_by(self._leases, passage, entry, left, leads=leads, made=made)
        if not made or not ours:
            return
        if self._archive is not None:
            await self._archive.put(passage.digest, entry)
        if passage.anew:
            await self._announce([passage.digest])

    async def _store_by(
        self, leases: Leases, passage: Passage, entry: Entry, left: float, *, leads: bool, made: bool
    ) -> bool:
        """Whether it is this entry that all will hear from here on; it is stored for `left` seconds."""
        digest, token = passage.digest, passage.token
        if leads and await self._finished(leases, passage, entry, left, made=made):
            return True
        # Redis was away when we began, or the lease was lost. Only with a lease may we write.
        match await leases.join(digest, token, anew=passage.anew):
            case Lead():
                return await self._finished(leases, passage, entry, left, made=made)
            case Found(theirs):
                # Another finished first: all replicas give out the same bytes from here on.
                self._memory.add(digest, theirs, passage.owner)
                return False
            case Follow():
                # Another is at it still: what it stores is what will be replayed.
                self._memory.discard(digest)
                return False
            case Failed() | Alone():
                return True

    async def _finished(
        self, leases: Leases, passage: Passage, entry: Entry, left: float, *, made: bool
    ) -> bool:
        outcome = await leases.finish(passage.digest, passage.token, entry, left, made=made)
        if outcome == "refused":
            self.refused += 1
        return outcome != "refused"

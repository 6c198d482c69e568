"""What a flight has brought, on its way into the tiers below memory."""

import time
from collections.abc import Callable
from functools import partial

from cache.archive import Archive
from cache.interface import Entry
from cache.labels import Label, Labels
from cache.late import Late, Undoing, unlikely
from cache.lease import Alone, Failed, Follow, Found, Lead, Leases
from cache.ledger import Ledger
from cache.memory import MemoryTier
from cache.passage import Passage
from cache.purges import START, Mark


class Storing:
    """Stores what has landed. Only who holds the lease writes; `refused` counts those who had lost theirs."""

    def __init__(
        self,
        memory: MemoryTier,
        leases: Leases | None,
        *,
        archive: Archive | None,
        index: Labels | None,
        ledger: Ledger | None,
        late: Late | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` gives seconds since the epoch."""
        self.refused = 0
        self._memory = memory
        self._leases = leases
        self._archive = archive
        self._index = index
        self._ledger = ledger
        self._late = late
        self._now = now

    async def made(self, passage: Passage, entry: Entry, labels: tuple[Label, ...], *, leads: bool) -> None:
        """In Redis and in the archive, with its labels; there only if it is this entry that all will hear."""
        mark = START if self._archive is None else self._archive.mark
        left = self._lifetime(passage, entry)
        # First: what is labelled and not there harms nobody, what is there and not labelled is missed by a purge.
        if self._index is not None and labels:
            self._index.add_soon(labels, {passage.digest: self._now() + left})
        if await self._store(passage, entry, left, leads=leads) and self._archive is not None:
            await self._archive.put(passage.digest, entry, mark)

    async def recalled(self, passage: Passage, entry: Entry, mark: Mark, *, leads: bool) -> None:
        """In Redis, unless it was purged since `mark`, which was taken before it was read from the archive."""
        left = self._lifetime(passage, entry)
        if await self._store(passage, entry, left, leads=leads) and self._late is not None:
            # Redis would have it for as long as the archive would have.
            digest = passage.digest
            await self._late.confirm(Undoing(digest, mark, partial(self._memory.delete, digest), unlikely))

    def _lifetime(self, passage: Passage, entry: Entry) -> float:
        left = entry.left(self._now())
        return left if self._ledger is None else self._ledger.lifetime(passage.owner, entry, left)

    async def _store(self, passage: Passage, entry: Entry, left: float, *, leads: bool) -> bool:
        """Whether it is this entry that all will hear from here on; it is stored for `left` seconds."""
        if self._leases is None:
            return True
        digest = passage.digest
        if leads and await self._finished(self._leases, passage, entry, left):
            return True
        # Redis was away when we began, or the lease was lost. Only with a lease may we write.
        match await self._leases.join(digest, passage.token):
            case Lead():
                return await self._finished(self._leases, passage, entry, left)
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

    async def _finished(self, leases: Leases, passage: Passage, entry: Entry, left: float) -> bool:
        outcome = await leases.finish(passage.digest, passage.token, entry, left)
        if outcome == "refused":
            self.refused += 1
        return outcome != "refused"

"""What becomes of what a flight has brought: fenced by the lease, labelled, archived, told of where it replaces."""

import time
from collections.abc import Awaitable, Callable, Sequence
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


async def _to_nobody(_: Sequence[str]) -> None:
    """There are no other processes."""


class Storing:
    """`announce` has other processes give up what they have in memory of these digests.

    `late` has what was purged meanwhile taken back. `refused`: losers so far.
    """

    def __init__(
        self,
        memory: MemoryTier,
        leases: Leases | None = None,
        *,
        archive: Archive | None = None,
        index: Labels | None = None,
        ledger: Ledger | None = None,
        late: Late | None = None,
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
        self._late = late
        self._now = now

    @property
    def mark(self) -> Mark:
        """What has been forgotten so far: to be taken before anything is read from the archive."""
        return START if self._late is None else self._late.mark

    async def store(
        self,
        passage: Passage,
        entry: Entry,
        labels: tuple[Label, ...] = (),
        *,
        leads: bool,
        made: bool,
        mark: Mark | None = None,
    ) -> None:
        """Have all processes find it. `leads`: the passage's token has the lease; `made`: it was not only found.

        `mark` is from before it was found.
        """
        ours = True
        mark = self.mark if mark is None else mark
        left = entry.left(now := self._now())
        if self._ledger is not None:
            left = self._ledger.lifetime(passage.owner, entry, left)
        # First: what is labelled and not there harms nobody, what is there and not labelled is missed by a purge.
        if self._index is not None and labels:
            self._index.add_soon(labels, {passage.digest: now + left})
        if self._leases is not None:
            ours = await self._store_by(self._leases, passage, entry, left, leads=leads, made=made)
        if not ours:
            return
        if not made:
            await self._confirm(passage.digest, mark)
            return
        if self._archive is not None:
            await self._archive.put(passage.digest, entry, mark)
        if passage.anew:
            await self._announce([passage.digest])

    async def _confirm(self, digest: str, mark: Mark) -> None:
        """What was found in the archive may have been purged since: Redis would have it for as long as that would."""
        if self._late is not None:
            await self._late.confirm(Undoing(digest, mark, partial(self._memory.delete, digest), unlikely))

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

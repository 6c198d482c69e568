"""Writes that come after what they hold was read or stored, and so perhaps after it was forgotten.

A purge tells of what it forgets before it deletes in the archive, and once more when it has deleted everywhere. Who
writes late looks into that log before it writes, and behind: what was written after the deletion is found out by the
second look, what was written before it was deleted. While Redis is away nobody can look; then it is written all the
same, and looked for as soon as Redis is back.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from cache.errors import Away
from cache.purges import Mark, Purges

_UNSURE = 65_536
"""Of which it is remembered that they have to be looked for, without their sound."""


@dataclass(frozen=True, slots=True)
class Undoing:
    """How a write is taken back, by `undo`, which raises `Away`; neither it nor `stands` holds what was written.

    `stands` says whether it may stay where the log does not tell, since it was cut: then it has to be found elsewhere.
    """

    digest: str
    mark: Mark
    undo: Callable[[], Awaitable[object]]
    stands: Callable[[], Awaitable[bool]]


class Late:
    """The late writes of this process. Raises nothing for Redis' troubles."""

    def __init__(self, purges: Purges) -> None:
        self._purges = purges
        self._unsure: OrderedDict[str, Undoing] = OrderedDict()

    @property
    def mark(self) -> Mark:
        """To be taken before what is to be written is read, or stored elsewhere."""
        return self._purges.mark

    async def write(self, writing: Undoing, store: Callable[[], Awaitable[bool]]) -> bool:
        """Store, unless it was forgotten since its mark; `store` says whether it did. Whether it is there then."""
        if await self._known_forgotten(writing):
            # Perhaps in the place of an older one, which would be found again.
            with suppress(Away):
                await writing.undo()
            return False
        stored = await store()
        # In any case: a reply may have been lost.
        return await self.confirm(writing) and stored

    async def confirm(self, written: Undoing) -> bool:
        """Take back what was written if it was forgotten since its mark. True: it was not, as far as can be told."""
        try:
            if not await self._forgotten(written):
                return True
            await written.undo()
            # It was there for a moment, and whoever read it has kept it: above all in Redis, from the archive.
            await self._purges.delete([written.digest])
        except Away:
            self._remember(written)
            return True
        return False

    async def look_again(self) -> None:
        """After what was written while Redis was away."""
        for digest, written in list(self._unsure.items()):
            # Another may be remembered under this name meanwhile, and is looked for in its turn.
            if self._unsure.get(digest) is written:
                del self._unsure[digest]
            await self.confirm(written)
            if digest in self._unsure:  # away again
                return

    def _remember(self, written: Undoing) -> None:
        self._unsure[written.digest] = written
        if len(self._unsure) > _UNSURE:
            self._unsure.popitem(last=False)

    async def _known_forgotten(self, writing: Undoing) -> bool:
        try:
            return await self._forgotten(writing)
        except Away:  # nor does the look behind the write come to anything then: see there
            return False

    async def _forgotten(self, writing: Undoing) -> bool:
        since = await self._purges.since(writing.mark)
        if any(writing.digest in forgotten.digests for forgotten in since):
            return True
        return any(forgotten.everything for forgotten in since) and not await writing.stands()


async def unlikely() -> bool:
    """For `stands`: of what can be had from below again."""
    return False

"""The one place where entries are deleted on purpose, in every tier."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from cache.archive import Archive
from cache.behind import Behind
from cache.errors import Away, Unreachable
from cache.labels import BATCH, Label
from cache.memory import MemoryTier
from cache.shared import Shared


class Forgetting:
    """Forgets what is in this process and in what it shares, and heeds what other processes forget."""

    def __init__(
        self, memory: MemoryTier, shared: Shared | None, archive: Archive | None, promotions: Behind | None
    ) -> None:
        """`promotions` are on their way from the archive to Redis."""
        self._memory = memory
        self._shared = shared
        self._archive = archive
        self._promotions = promotions

    def overlook(self, digest: str) -> None:
        """Another process has it forgotten: what waits here to be written is not wanted any more."""
        if self._archive is not None:
            self._archive.overlook(digest)
        if self._promotions is not None:
            self._promotions.discard(digest)

    async def delete_many(self, digests: Sequence[str]) -> int:
        """See `Cache.delete_many`."""
        count = 0
        for start in range(0, len(digests), BATCH):
            count += await self._delete(digests[start : start + BATCH])
        return count

    async def purge(self, labels: Sequence[Label]) -> int:
        """See `Cache.purge`."""
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

    async def _delete(self, digests: Sequence[str]) -> int:
        # Told of twice: before, so that who writes into the archive late knows of it; and behind, since what is read
        # from there in between comes to memory and Redis once more.
        told = await self._delete_shared(digests)
        kept = await self._delete_archived(digests)
        again = told
        if self._archive is not None and not isinstance(told, Away):
            again = await self._delete_shared(digests)
        here = [self._memory.discard(digest) for digest in digests]
        if isinstance(told, Away) or isinstance(again, Away) or None in kept:
            raise Unreachable
        return sum(map(any, zip(told, again, kept, here, strict=True)))

    async def _delete_archived(self, digests: Sequence[str]) -> Sequence[bool | None]:
        """From below: what is read in between comes from a tier that is yet to be emptied. None: it may be there."""
        archive = self._archive
        if archive is None:
            return [False] * len(digests)

        async def forget(digest: str) -> bool | None:
            try:
                return await archive.forget(digest)
            except Away:
                return None

        kept = await asyncio.gather(*map(forget, digests))
        if self._promotions is not None:
            for digest in digests:
                await self._promotions.forget(digest)
        return kept

    async def _delete_shared(self, digests: Sequence[str]) -> list[bool] | Away:
        """What was there; or why not all of them are forgotten, since the archive is to be seen to all the same."""
        if self._shared is None:
            return [False] * len(digests)
        try:
            return await self._shared.purges.delete(digests)
        except Away as error:
            return error

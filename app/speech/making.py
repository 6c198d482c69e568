"""A speech some of which has to be made first."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, ExitStack, aclosing, nullcontext

import msgspec

from app.audio.joiners import Joiner
from app.audio.silence import silence
from app.speech.clips import Clip
from app.speech.live import ChunkEnd, Item, Rehearsal
from app.speech.manifest import ClipLine, Manifest, keep
from app.speech.plan import Plan
from app.users.limits import Due
from cache.cache import Cache
from cache.draft import Draft


class Live:
    """Its `clips` grow as `sound` is read, and who asks for its address meanwhile follows them. To be closed.

    `rests` is the silence behind each of them, in samples at 24 kHz. `due` is what it may come to. `over` is called
    as soon as nothing more of it will be made, maybe more than once.
    """

    def __init__(
        self, plan: Plan, rehearsal: Rehearsal, cache: Cache, clock: Callable[[], float], due: Due
    ) -> None:
        """`clock` is the time of day, in epoch seconds."""
        self.due = due
        self.over: Callable[[], None] = lambda: None
        self.plan = plan
        self.clips: list[Clip] = []
        self.rests = plan.rests
        self._rehearsal = rehearsal
        self._cache = cache
        self._clock = clock
        self._drafts = ExitStack()
        self._draft: Draft | None = None

    async def sound(self) -> AsyncGenerator[bytes]:
        """The joined bytes as they come, none empty; the first are the container's head and some sound.

        Raises:
            RefrainError: somebody has to be told why there is no sound, or no more.
            ProviderError: the provider of the first chunk failed after some of its sound came.
        """
        decodes = self.plan.request.output.format.decodes
        joining = self.plan.request.output.joiner()
        pending = joining.head(None)
        draft = self._draft = self._drafts.enter_context(self._drafting())
        async with aclosing(self._items(draft)) as items:
            async for item in items:
                if decodes:
                    out = await asyncio.to_thread(self._joined, joining, item)
                else:
                    out = self._joined(joining, item)
                if out:
                    # With the first bytes the address is told, and then it has to lead somewhere.
                    await draft.announced()
                    yield pending + out
                    pending = b""
        if tail := pending + joining.end():
            yield tail

    @property
    def is_left(self) -> bool:
        """Whether its own listener did not hear it to its end, be that good or bad, and others may go on with it."""
        return self._draft is not None and not self._draft.over and self._is_kept

    async def go_on(self) -> None:
        """Have the rest of it made for those who follow it, no faster than one of them listens.

        Ends when nobody does any more, here or elsewhere.

        Raises:
            RefrainError, ProviderError: as `sound`.
        """
        assert self._draft is not None
        # First: nothing more may be begun for nobody.
        if not await self._cache.drafts.is_followed(self.plan.digest, self._draft):
            return
        making = asyncio.create_task(self._rest(self._draft), name="rest of a speech")
        deserted = asyncio.create_task(
            self._cache.drafts.deserted(self.plan.digest, self._draft), name="followers"
        )
        try:
            await asyncio.wait((making, deserted), return_when=asyncio.FIRST_COMPLETED)
        finally:
            deserted.cancel()
            making.cancel()
            await asyncio.wait((making, deserted))
        for task in (making, deserted):
            if not task.cancelled():
                task.result()

    async def aclose(self) -> None:
        """End what is under way; followers are cut where it is not whole. Idempotent."""
        # First, and without an await: who comes from here on is not given a beginning only.
        self._drafts.close()
        try:
            await self._rehearsal.aclose()
        finally:
            self.over()

    async def _items(self, draft: Draft) -> AsyncGenerator[Item]:
        """What comes, told to who follows before anybody hears it."""
        try:
            async with aclosing(self._rehearsal.items()) as items:
                async for item in items:
                    if isinstance(item, ChunkEnd):
                        line = ClipLine.of(item.clip, self.rests[len(self.clips)])
                        self.clips.append(item.clip.without_sound())
                        draft.add(msgspec.json.encode(line))
                    elif not self.clips and not self._rehearsal.opens_known:
                        draft.add_piece(item)
                    yield item
            # Before its listener hears the end: then he may ask for the next.
            self.over()
            draft.end(whole=await self._keep(draft))
        except Exception:  # not: that its listener leaves
            draft.end(whole=False)
            raise

    async def _rest(self, draft: Draft) -> None:
        async with aclosing(self._items(draft)) as items:
            async for _ in items:
                await self._cache.drafts.wanted(self.plan.digest, draft)

    def _joined(self, joining: Joiner, item: Item) -> bytes:
        """A piece of a clip, or what is left of it at its end and the silence behind it."""
        if not isinstance(item, ChunkEnd):
            return bytes(joining.add(item, last=False))
        rest = silence(self.plan.request.output, self.rests[len(self.clips) - 1])
        return b"".join(joining.add(payload, last=True) for payload in (b"", *(one for one, _ in rest)))

    @property
    def _is_kept(self) -> bool:
        return self.plan.request.cache != "bypass"

    def _drafting(self) -> AbstractContextManager[Draft]:
        """What followers read. Of what is not kept there is none: it has no address."""
        head = msgspec.json.encode(Manifest.begun(self.plan))
        if not self._is_kept:
            return nullcontext(Draft(head))
        parts = [candidate.digest for chunk in self.plan.chunks for candidate in chunk.candidates]
        return self._cache.drafts.open(self.plan.digest, head, parts)

    async def _keep(self, draft: Draft) -> bool:
        """Before the last bytes leave, so that whoever has heard all of it finds it at its address.

        False: it was deleted meanwhile. Who listens hears it to the end, and nothing of it is kept.
        """
        digest = self.plan.digest
        if not self._is_kept or await self._cache.drafts.withdrawals.is_withdrawn(digest, draft):
            return False
        await keep(self._cache, digest, Manifest.of(self.plan, self.clips), self._clock())
        return True

"""A speech some of which has to be made first."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext

import msgspec

from app.audio.joiners import Joiner
from app.audio.silence import silence
from app.speech.clips import Clip
from app.speech.live import ChunkEnd, Item, Rehearsal
from app.speech.manifest import ClipLine, Manifest, keep, rests
from app.speech.plan import Plan
from cache.cache import Cache
from cache.drafts import Draft


class Live:
    """Its `clips` grow as `sound` is read, and who asks for its address meanwhile follows them.

    `rests` is the silence behind each of them, in samples at 24 kHz.
    """

    def __init__(self, plan: Plan, rehearsal: Rehearsal, cache: Cache, clock: Callable[[], float]) -> None:
        """`clock` is the time of day, in epoch seconds."""
        self.plan = plan
        self.clips: list[Clip] = []
        self.rests = rests(plan)
        self._rehearsal = rehearsal
        self._cache = cache
        self._clock = clock

    async def sound(self) -> AsyncGenerator[bytes]:
        """The joined bytes as they come, none empty; the first are the container's head and some sound.

        Raises:
            RefrainError: somebody has to be told why there is no sound, or no more.
            ProviderError: the provider of the first chunk failed after some of its sound came.
        """
        request = self.plan.request
        joining = request.output.joiner()
        pending = joining.head(None)
        with self._drafting() as draft:
            async with aclosing(self._rehearsal.items()) as items:
                async for item in items:
                    if request.output.format.decodes:
                        out = await asyncio.to_thread(self._joined, joining, item)
                    else:
                        out = self._joined(joining, item)
                    if isinstance(item, ChunkEnd):
                        line = ClipLine.of(item.clip, self.rests[len(self.clips)])
                        self.clips.append(item.clip.without_sound())
                        draft.add(msgspec.json.encode(line))
                    if out:
                        # With the first bytes the address is told, and then it has to lead somewhere.
                        await draft.announced()
                        yield pending + out
                        pending = b""
            if await self._keep(draft):
                draft.end(whole=True)
        if tail := pending + joining.end():
            yield tail

    def _joined(self, joining: Joiner, item: Item) -> bytes:
        """A piece of a clip, or what is left of it at its end and the silence behind it."""
        if not isinstance(item, ChunkEnd):
            return bytes(joining.add(item, last=False))
        request = self.plan.request
        rest = silence(request.output, self.rests[len(self.clips)])
        return b"".join(joining.add(payload, last=True) for payload in (b"", *(one for one, _ in rest)))

    def _drafting(self) -> AbstractContextManager[Draft]:
        """What followers read. Of what is not kept there is none: it has no address."""
        head = msgspec.json.encode(Manifest.begun(self.plan))
        if self.plan.request.cache == "bypass":
            return nullcontext(Draft(head))
        parts = [candidate.digest for chunk in self.plan.chunks for candidate in chunk.candidates]
        return self._cache.drafts.open(self.plan.digest, head, parts)

    async def _keep(self, draft: Draft) -> bool:
        """Before the last bytes leave, so that whoever has heard all of it finds it at its address.

        False: it was deleted meanwhile. Who listens hears it to the end, and nothing of it is kept.
        """
        digest = self.plan.digest
        if self.plan.request.cache == "bypass" or await self._cache.drafts.withdrawals.is_withdrawn(
            digest, draft
        ):
            return False
        await keep(self._cache, digest, Manifest.of(self.plan, self.clips), self._clock())
        return True

"""Requests performed and replayed: what every surface, and the command line, stands on."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager

import msgspec

from app.audio.joiners import Joiner
from app.audio.silence import silence
from app.errors import CacheUnavailable, NotCached, NotFound
from app.metrics import Metrics
from app.speech.captions import Cue, captions
from app.speech.clips import Clip, ClipMeta, ClipSource
from app.speech.live import ChunkEnd, Item, Rehearsal, rehearsing
from app.speech.manifest import ClipLine, Manifest, keep, rests
from app.speech.plan import Plan, SpeechRequest
from app.speech.plans import Plans
from app.speech.ready import Long, Read, Ready, as_listed, ready
from app.text.origin import Origin
from cache.cache import Cache
from cache.errors import Unreachable
from cache.interface import Entry

CAPTIONED_AT_ONCE = 32
"""Clips that are read at a time for captions."""
AT_ONCE_BYTES = 2**20
"""A replay whose clips come to no more is read in one trip; of a longer one only what is asked for."""

FORGET_AGAIN = 2.0
"""Seconds; Redis is asked whether it is back more often than that."""


class MadeAnew(Exception):
    """A clip is not the one any more that the speech's manifest tells of: the bytes that were announced are gone."""


class Live:
    """A speech some of which has to be made first. Its `clips` grow as `sound` is read.

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
        async with aclosing(self._rehearsal.items()) as items:
            async for item in items:
                if request.output.format.decodes:
                    out = await asyncio.to_thread(self._joined, joining, item)
                else:
                    out = self._joined(joining, item)
                if isinstance(item, ChunkEnd):
                    self.clips.append(item.clip.without_sound())
                if out:
                    yield pending + out
                    pending = b""
        await self._keep()
        if tail := pending + joining.end():
            yield tail

    def _joined(self, joining: Joiner, item: Item) -> bytes:
        """A piece of a clip, or what is left of it at its end and the silence behind it."""
        if not isinstance(item, ChunkEnd):
            return bytes(joining.add(item, last=False))
        request = self.plan.request
        rest = silence(request.output, self.rests[len(self.clips)])
        return b"".join(joining.add(payload, last=True) for payload in (b"", *(one for one, _ in rest)))

    async def _keep(self) -> None:
        """Before the last bytes leave, so that whoever has heard all of it finds it at its address."""
        if self.plan.request.cache != "bypass":
            manifest = Manifest.of(self.plan, self.clips)
            await keep(self._cache, self.plan.digest, manifest, self._clock())


class Studio:
    """Plans, performs, replays."""

    def __init__(
        self,
        *,
        plans: Plans,
        source: ClipSource,
        cache: Cache,
        metrics: Metrics,
        deadline: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`deadline`: seconds to wait for the next sound. `clock`: epoch seconds."""
        self._plans = plans
        self._source = source
        self._cache = cache
        self._metrics = metrics
        self._deadline = deadline
        self._clock = clock

    async def plan(self, request: SpeechRequest) -> Plan:
        """The request cut into chunks, with their digests. Calls no provider and no cache.

        Raises:
            InvalidInput, InvalidSsml, InputTooLong: as `Planner.plan`.
        """
        return await self._plans.get(request)

    async def origin(self, plan: Plan) -> Origin:
        """Where the plan's text came from in what was sent."""
        return await self._plans.origin(plan)

    async def known(self, plan: Plan) -> dict[int, Clip]:
        """The first choices' clips that are in the cache, by the chunk's position."""
        entries = await self._cache.get_many([chunk.digest for chunk in plan.chunks])
        return {
            position: Clip.of(plan.chunks[position].candidates[0], entry)
            for position, entry in enumerate(entries)
            if entry is not None
        }

    @asynccontextmanager
    async def perform(self, plan: Plan) -> AsyncIterator[Ready | Live]:
        """What was said before, or a speech in the making whose work ends with the block.

        Raises:
            NotCached: on entering, when only the cache was to be asked and it does not have everything.
        """
        kept, known = await self._look_up(plan)
        if len(known) == len(plan.chunks):
            yield await self._ready(plan, kept, [known[position] for position in range(len(known))])
            return
        if plan.request.cache == "only":
            missing = len(plan.chunks) - len(known)
            raise NotCached(
                f"Of {len(plan.chunks)} chunks {missing} would have to be made. "
                'Leave out "cache": "only" to have them made.',
                param="cache",
            )
        async with rehearsing(plan, known, self._source, self._deadline) as rehearsal:
            self._count_hits(known.values())
            yield Live(plan, rehearsal, self._cache, self._clock)

    async def replay(self, digest: str, owner: str | None = None, *, at_once: bool = False) -> Ready:
        """The speech of that address; a long one is read while its `sound` is, unless it is wanted `at_once`.

        Reading may then raise `NotFound`, when a clip has gone since, or `MadeAnew`.

        Raises:
            NotFound: it was never made, is no longer whole, or is another's.
        """
        manifest = await self.manifest(digest, owner)
        if at_once or sum(line.size for line in manifest.clips) <= AT_ONCE_BYTES:
            found = await self._entries(manifest.clips)
            return ready(digest, manifest.with_sound(found), found)
        if not await self._cache.has_all([line.digest for line in manifest.clips]):
            raise _gone()
        return Long(digest, manifest, self._reader(digest, manifest))

    def _reader(self, digest: str, manifest: Manifest) -> Read:
        async def read(first: int, behind: int) -> Sequence[Entry]:
            lines = manifest.clips[first:behind]
            entries = await self._entries(lines)
            if not as_listed(lines, entries):
                # Kept, so that whoever comes next, this listener's retry most of all, gets it from the beginning.
                now = manifest.with_sound(await self._entries(manifest.clips))
                await keep(self._cache, digest, now, self._clock())
                raise MadeAnew
            return entries

        return read

    async def _entries(self, lines: Sequence[ClipLine]) -> list[Entry]:
        entries = await self._cache.get_many([line.digest for line in lines])
        found = [entry for entry in entries if entry is not None]
        if len(found) != len(lines):
            raise _gone()
        return found

    async def manifest(self, digest: str, owner: str | None = None) -> Manifest:
        """What the speech of that address consists of; `owner` is who asks.

        Raises:
            NotFound: it was never made, has expired, or is another's.
        """
        (entry,) = await self._cache.get_many([digest])
        if entry is None:
            raise _gone()
        manifest = Manifest.read(entry)
        if manifest is None:
            raise _gone()
        if manifest.layout != manifest.fmt.form.layout:  # of another release, whose clips are not joined here
            raise _gone()
        if manifest.owner != owner:  # said as if there were none: that it exists is the owner's own business
            raise _gone()
        return manifest

    async def forget(self, digest: str, owner: str | None = None) -> int:
        """Have the speech of that address and the clips that it consists of forgotten, in every tier and process.

        How many entries there were. Other speeches that share a clip with it have to be asked for again.

        Raises:
            NotFound: as `manifest`.
            CacheUnavailable: not everything could be reached.
        """
        manifest = await self.manifest(digest, owner)
        try:
            return await self._delete(digest, manifest)
        except Unreachable:
            raise CacheUnavailable(
                "The cache that all replicas share does not answer, so this may not be forgotten everywhere. "
                "Try again.",
                retry_after=FORGET_AGAIN,
            ) from None

    async def erase(self, digest: str) -> int:
        """As `forget`, for the operator: whosever it is, and if it is a clip, the clip.

        Raises:
            Unreachable: not everything could be reached.
        """
        (entry,) = await self._cache.get_many([digest])
        manifest = None if entry is None else Manifest.read(entry)
        return await self._delete(digest, manifest)

    async def _delete(self, digest: str, manifest: Manifest | None) -> int:
        # The manifest last: should something come between, it is there to be asked for again.
        clips = dict.fromkeys(line.digest for line in manifest.clips) if manifest else ()
        return await self._cache.delete_many([*clips, digest])

    async def captions(self, digest: str, owner: str | None = None) -> tuple[Manifest, list[Cue]]:
        """The speech of that address as it is now, and its captions.

        Raises:
            NotFound: as `replay`, or it was kept without its text.
        """
        manifest = await self.manifest(digest, owner)
        if not all(line.sentences for line in manifest.clips):
            raise NotFound(
                "This speech was kept without its text. POST its text again to have captions of it."
            )
        lines: list[ClipLine] = []
        metas: list[ClipMeta] = []
        # Never all clips at once: an hour of them is 30 MB, of which only what is kept beside the sound is wanted.
        for start in range(0, len(manifest.clips), CAPTIONED_AT_ONCE):
            few = manifest.clips[start : start + CAPTIONED_AT_ONCE]
            entries = await self._entries(few)
            lines += [line.now(entry) for line, entry in zip(few, entries, strict=True)]
            metas += [msgspec.json.decode(entry.meta, type=ClipMeta) for entry in entries]
        current = msgspec.structs.replace(manifest, clips=tuple(lines))
        return current, await asyncio.to_thread(captions, lines, metas)

    async def _look_up(self, plan: Plan) -> tuple[Entry | None, dict[int, Clip]]:
        """The speech's manifest and its clips, as far as they are there: one round trip."""
        if plan.request.cache in {"refresh", "bypass"}:
            return None, {}
        kept, *entries = await self._cache.get_many([plan.digest, *(chunk.digest for chunk in plan.chunks)])
        return kept, self._found(plan, entries)

    def _found(self, plan: Plan, entries: Sequence[Entry | None]) -> dict[int, Clip]:
        return {
            position: self._source.found(plan.chunks[position].candidates[0], plan.request, entry)
            for position, entry in enumerate(entries)
            if entry is not None
        }

    async def _ready(self, plan: Plan, kept: Entry | None, clips: list[Clip]) -> Ready:
        self._count_hits(clips)
        manifest = Manifest.of(plan, clips)
        if kept is not None and kept.meta != msgspec.json.encode(manifest):
            manifest = manifest.also_labelled(kept)
        # The clips may all be known from other texts, or one be made anew, and this speech have no address yet; or it
        # is asked for under a new tag. Otherwise nothing is written.
        if kept is None or kept.meta != msgspec.json.encode(manifest):
            await keep(self._cache, plan.digest, manifest, self._clock())
        speech = ready(plan.digest, manifest, [clip.entry for clip in clips])
        speech.stale = frozenset(at for at, clip in enumerate(clips) if clip.outcome == "stale")
        return speech

    def _count_hits(self, clips: Iterable[Clip]) -> None:
        for clip in clips:
            self._metrics.chunks.labels(outcome=clip.outcome).inc()
            self._metrics.characters.labels(kind="saved").inc(clip.meta.characters)


def _gone() -> NotFound:
    return NotFound(
        "No speech is at this address, no longer, or not yet all of it. POST its text to have it made."
    )

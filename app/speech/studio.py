"""Requests performed and replayed: what every surface, and the command line, stands on."""

import asyncio
import functools
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from app.errors import CacheUnavailable, NotCached, NotFound
from app.metrics import Metrics
from app.speech.allowance import Allowance
from app.speech.captions import Cue, captions
from app.speech.cast import Casting
from app.speech.chain import Chain
from app.speech.clips import Clip, ClipMeta, ClipSource, spared
from app.speech.following import Followed
from app.speech.hedge import Hedging
from app.speech.live import Rehearsal
from app.speech.making import Live
from app.speech.manifest import ClipLine, Manifest, keep
from app.speech.performance import Performance
from app.speech.plan import Plan, SpeechRequest
from app.speech.ready import Long, Ready, as_listed, short
from app.speech.shelf import Shelf, gone
from app.speech.sizes import clips_within
from app.speech.unattended import Unattended
from app.speech.windows import FIRST_WINDOW, Read
from app.text.origin import Origin
from app.users.limits import Due
from app.users.tally import Line, tally
from cache.cache import Cache
from cache.errors import Unreachable
from cache.interface import Entry
from providers.interface import Provider

AT_ONCE_BYTES: Final = 2**21
"""A speech whose clips come to no more is looked up and read in one trip; of a longer one what is wanted, when it is
wanted."""
AT_ONCE_CLIPS: Final = 255
"""Of which there may be no more either: with the manifest, four MGETs at the same time."""
FORGET_AGAIN: Final = 2.0
"""Seconds; Redis is asked whether it is back more often than that."""


class Studio:
    """Plans, performs, replays."""

    def __init__(
        self,
        *,
        casting: Casting,
        source: ClipSource,
        cache: Cache,
        metrics: Metrics,
        hedging: Callable[[Provider], Hedging],
        deadline: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`hedging`: as `Chain`. `deadline`: seconds to wait for the next sound. `clock`: epoch seconds."""
        self._casting = casting
        self._source = source
        self._chain = Chain(source, metrics, hedging)
        self._cache = cache
        # Remembered, as finding one among the labels costs more than counting.
        self._counter = functools.cache(lambda outcome: metrics.chunks.labels(outcome=outcome))
        self._saved = metrics.characters.labels(kind="saved")
        self._deadline = deadline
        self._clock = clock
        self._shelf = Shelf(cache, clock)
        self._allowance = Allowance()
        self._unattended = Unattended()

    async def plan(self, request: SpeechRequest) -> Plan:
        """The request cut into chunks, with their digests. Calls no provider and no cache.

        Raises:
            InvalidInput, InvalidSsml, InputTooLong: as `Planner.plan`.
        """
        return await self._casting.now.plans.get(request)

    async def origin(self, plan: Plan) -> Origin:
        """Where the plan's text came from in what was sent."""
        return await self._casting.now.plans.origin(plan)

    async def known(self, plan: Plan) -> dict[int, Clip]:
        """The first choices' clips that are in the cache, by the chunk's position, without their sound."""
        known: dict[int, Clip] = {}
        async with aclosing(self._shelf.few_by_few([chunk.digest for chunk in plan.chunks])) as found:
            async for position, entry in found:
                if entry is not None:
                    clip = Clip.of(plan.chunks[position].candidates[0], entry)
                    known[position] = clip.without_sound()
        return known

    def perform(self, plan: Plan) -> Performance:
        """What was said before, or a speech in the making whose work ends with the block, unless others follow it.

        Reading the sound of what was said before may raise `NotFound`, where a clip has gone since and may not be
        made, or `MadeAnew`: if nothing has left yet, perform it again.

        Raises:
            NotCached: on entering, when only the cache was to be asked and it does not have everything.
        """
        return Performance(functools.partial(self._begin, plan), self._unattended.take)

    async def _begin(self, plan: Plan) -> Ready | Live:
        found = await self._find(plan)
        if isinstance(found, Ready):
            return found
        if plan.request.cache == "only":
            missing = max(1, len(plan.chunks) - len(await self.known(plan)))
            raise NotCached(
                f"Of {len(plan.chunks)} chunks {missing} would have to be made. "
                'Leave out "cache": "only" to have them made.',
                param="cache",
            )
        stale = sum(clip.outcome == "stale" for clip in found.values())
        self._count_hits(len(found) - stale, stale, sum(clip.meta.characters for clip in found.values()))
        _note_hits(plan, {position: clip.meta.provider for position, clip in found.items()})
        rehearsal = Rehearsal(plan, found, self._chain, self._deadline)
        return Live(plan, rehearsal, self._cache, self._clock, due(plan, found))

    async def aclose(self) -> None:
        """End what is being made for followers only."""
        await self._unattended.aclose()

    async def replay(self, digest: str, owner: str | None = None) -> Ready:
        """The speech of that address; a long one is read while its `sound` is.

        Reading may then raise `NotFound`, when a clip has gone since, or `MadeAnew`: asked again, it is there.

        Raises:
            NotFound: it was never made, is no longer whole, or is another's.
        """
        manifest = await self.manifest(digest, owner)
        if sum(line.size for line in manifest.clips) <= AT_ONCE_BYTES:
            entries = await self._shelf.entries(manifest.clips)
            manifest = manifest.with_sound(entries)
            if (speech := short(digest, manifest, entries)) is not None:
                return speech
            return Long(digest, manifest, self._shelf.reader(digest, manifest), self._allowance, entries)
        if not await self._cache.has_all([line.digest for line in manifest.clips]):
            raise gone()
        return Long(digest, manifest, self._shelf.reader(digest, manifest), self._allowance)

    async def follow(self, digest: str, owner: str | None = None) -> Followed | None:
        """The speech of that address while somebody is making it, in this process or another; None: or for another."""
        following = await self._cache.drafts.follow(digest)
        if following is None:
            return None
        begun = Manifest.decode(following.head)
        if begun is None or begun.owner != owner:
            await following.lines.aclose()
            return None
        return Followed(digest, begun, following.lines, self._cache)

    async def manifest(self, digest: str, owner: str | None = None) -> Manifest:
        """What the speech of that address consists of; `owner` is who asks.

        Raises:
            NotFound: it was never made, has expired, or is another's.
        """
        (entry,) = await self._cache.get_many([digest])
        manifest = self._shelf.manifest(entry)
        if manifest is None or manifest.owner != owner:
            # Said as if there were none: that it exists is the owner's own business.
            raise gone()
        return manifest

    async def forget(self, digest: str, owner: str | None = None) -> int:
        """Have the speech of that address and the clips that it consists of forgotten, in every tier and process.

        How many entries there were. Other speeches that share a clip with it have to be asked for again. If it is
        just being made, who asked for it by its text hears it to the end, who follows it is cut, and nothing is kept.

        Raises:
            NotFound: as `manifest`, and nobody is making it.
            CacheUnavailable: not everything could be reached.
        """
        begun, clips = await self._under_way(digest)
        if begun is None or begun.owner != owner:
            clips = []
            begun = None
        try:
            manifest = await self.manifest(digest, owner)
        except NotFound:
            if begun is None:
                raise
        else:
            clips += [line.digest for line in manifest.clips]
        try:
            return await self._delete(digest, clips)
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
        manifest = None if entry is None else Manifest.decode(entry.meta)
        _, clips = await self._under_way(digest)
        return await self._delete(
            digest, [*clips, *(line.digest for line in manifest.clips)] if manifest else clips
        )

    async def _under_way(self, digest: str) -> tuple[Manifest | None, list[str]]:
        """What of the speech of that address is there already while somebody makes it."""
        head, *lines = await self._cache.drafts.so_far(digest) or [b""]
        return Manifest.decode(head), [msgspec.json.decode(line, type=ClipLine).digest for line in lines]

    async def _delete(self, digest: str, clips: Iterable[str]) -> int:
        # The manifest last: should something come between, it is there to be asked for again. And behind it the
        # drafts: by then their makers find in the log that it was deleted, should they never hear of this.
        count = await self._cache.delete_many([*dict.fromkeys(clips)])
        count += await self._cache.delete_many([digest])
        await self._cache.withdraw(digest)
        return count

    async def captions(self, digest: str, owner: str | None = None) -> tuple[Manifest, list[Cue]]:
        """The speech of that address as it is now, and its captions.

        Raises:
            NotFound: as `replay`, or it was kept without its text.
        """
        manifest = await self.manifest(digest, owner)
        if not manifest.has_text:
            raise NotFound(
                "This speech was kept without its text, which captions need. POST its text again, where texts are "
                "kept (cache.keep_text)."
            )
        lines: list[ClipLine] = []
        metas: list[ClipMeta] = []
        async with aclosing(self._shelf.few_by_few([line.digest for line in manifest.clips])) as found:
            async for position, entry in found:
                if entry is None:
                    raise gone()
                lines.append(manifest.clips[position].now(entry))
                metas.append(msgspec.json.decode(entry.meta, type=ClipMeta))
        current = msgspec.structs.replace(manifest, clips=tuple(lines))
        return current, await asyncio.to_thread(captions, lines, metas)

    async def _find(self, plan: Plan) -> Ready | dict[int, Clip]:
        """The speech, if all of it is there; else those of its first clips that are.

        One round trip. As long as the clips come to `AT_ONCE_BYTES`, as far as that can be told from the text, it
        brings all of them. Of a longer speech it brings the manifest, what is to be sent first, and whether the
        others are there.
        """
        if plan.request.cache in {"refresh", "bypass"}:
            return {}
        digests = [digest for digest, _ in plan.content]
        count = min(len(digests), AT_ONCE_CLIPS)
        if count > 1 and clips_within(plan, AT_ONCE_BYTES) < len(digests):
            count = max(1, clips_within(plan, FIRST_WINDOW))
        look = self._cache.get_many([plan.digest, *digests[:count]])
        if count == len(digests):
            (kept, *entries), others = await look, True
        else:
            (kept, *entries), others = await asyncio.gather(look, self._cache.has_all(digests[count:]))
        at_hand = [entry for entry in entries if entry is not None]
        if len(at_hand) < count or not others:
            return self._clips(plan, entries)
        manifest = await self._manifest(plan, kept, at_hand)
        if manifest is None:
            return self._clips(plan, entries)
        stale = frozenset(at for at, entry in enumerate(at_hand) if self._is_stale(plan, at, entry))
        self._count_hits(len(manifest.clips) - len(stale), len(stale), manifest.characters)
        _note_hits(plan, {at: line.provider for at, line in enumerate(manifest.clips)})
        speech: Ready | None = None
        if count == len(digests):
            speech = short(plan.digest, manifest, at_hand)
        if speech is None:
            speech = Long(plan.digest, manifest, self._reader(plan, manifest), self._allowance, at_hand)
        speech.stale = stale
        return speech

    def _clips(self, plan: Plan, entries: Sequence[Entry | None]) -> dict[int, Clip]:
        return {
            position: self._source.found(plan.chunks[position].candidates[0], plan.request, entry)
            for position, entry in enumerate(entries)
            if entry is not None
        }

    def _is_stale(self, plan: Plan, position: int, entry: Entry) -> bool:
        return self._source.ages(plan.chunks[position].candidates[0], plan.request, entry)

    def _reader(self, plan: Plan, manifest: Manifest) -> Read:
        return self._shelf.reader(
            plan.digest,
            manifest,
            lambda position: self._mended(plan, position),
            # What is read later may be old, too, and is then made anew for those to come.
            functools.partial(self._is_stale, plan),
        )

    async def _manifest(self, plan: Plan, kept: Entry | None, entries: Sequence[Entry]) -> Manifest | None:
        """What the plan's speech consists of, from its first clips or all; None: a clip has gone meanwhile.

        The clips may all be known from other texts, or one be made anew, and this speech have no address yet.
        """
        told = self._shelf.manifest(kept)
        if (
            told is not None
            and told.has_text is plan.keeps_text  # the operator may have changed his mind since
            and told.tells_of(plan)
            and as_listed(told.clips[: len(entries)], entries)
        ):
            return await self._labelled(plan, told)
        if len(entries) < len(plan.chunks):
            known = await self.known(plan)
            if len(known) < len(plan.chunks):
                return None
        else:
            known = self._clips(plan, entries)
        clips = [known[position] for position in range(len(known))]
        manifest = Manifest.of(plan, clips).also_labelled(told)
        await keep(self._cache, plan.digest, manifest, self._clock())
        return manifest

    async def _labelled(self, plan: Plan, told: Manifest) -> Manifest:
        """The same under this request's labels, too; nothing is written where it has them."""
        if set(plan.labels) <= set(told.labels):
            return told
        manifest = msgspec.structs.replace(told, labels=plan.labels).also_labelled(told)
        await keep(self._cache, plan.digest, manifest, self._clock())
        return manifest

    async def _mended(self, plan: Plan, position: int) -> Entry:
        """A clip that was there when it was looked for and is not when it is read: damaged, or evicted.

        Raises:
            NotFound: nobody may be called for it, or another of the chain spoke: that is another clip.
            RefrainError: nobody can speak it, or it is more than who asks may have.
        """
        if plan.request.cache == "only":
            raise gone()
        if (own := tally()) is not None:
            # It was no hit after all; and what it costs nobody has foreseen.
            first = plan.chunks[position].candidates[0].provider.name
            own.add(plan.request.voice.name, first, _found(plan, position).taken_back)
            wanted = due(plan, {*range(len(plan.chunks))} - {position})
            await own.afford(wanted.characters, wanted.cost)
        clip = await self._chain.get(plan.chunks[position].candidates, plan.request, None)
        if not clip.first_choice:
            raise gone()
        return clip.entry

    def _count_hits(self, found: int, stale: int, characters: int) -> None:
        """So many clips, and so many of them old ones, with so many characters together."""
        for outcome, number in (("hit", found), ("stale", stale)):
            if number:
                self._counter(outcome).inc(number)
        self._saved.inc(characters)


def _note_hits(plan: Plan, providers: Mapping[int, str]) -> None:
    """What the request that this task works for was spared: these chunks, whom they were once spoken by."""
    own = tally()
    if own is None:
        return
    for position, provider in providers.items():
        own.add(plan.request.voice.name, provider, _found(plan, position))


def _found(plan: Plan, position: int) -> Line:
    first = plan.chunks[position].candidates[0]
    return spared(len(first.utterance.text), first)


def due(plan: Plan, found: Container[int]) -> Due:
    """What is yet to be made, and the most that it may cost.

    Each of a chain is paid as soon as it speaks, also where its sound is refused then, or it has lost a race.
    """
    missing = [chunk for position, chunk in enumerate(plan.chunks) if position not in found]
    characters = sum(len(chunk.candidates[0].utterance.text) for chunk in missing)
    cost = sum(candidate.cost for chunk in missing for candidate in chunk.candidates)
    return Due(characters, cost)

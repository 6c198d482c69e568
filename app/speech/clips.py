"""One chunk's clip by one link of its voice's chain: found, joined or made."""

import asyncio
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext, suppress
from dataclasses import replace
from logging import getLogger
from typing import Literal, ParamSpec, TypeVar
from weakref import WeakValueDictionary

import msgspec

from app.audio.check import BadSound
from app.audio.formats import Output
from app.audio.loudness import Leveling
from app.audio.recorder import Recorded, Recorder
from app.errors import whereabouts
from app.metrics import Metrics
from app.speech.charging import Begun, Charging
from app.speech.levels import Levels
from app.speech.lifetimes import Lifetimes
from app.speech.pace import believable
from app.speech.plan import Candidate, SpeechRequest
from app.speech.refreshes import Refreshes
from app.speech.timings import NONE as UNTIMED
from app.speech.timings import on_clip, packed
from app.unprinted import Unprinted
from app.users.tally import Line, tally, tallying
from cache.asker import asker
from cache.cache import Cache
from cache.errors import FlightFailed
from cache.flight import Made, Make
from cache.interface import Entry
from cache.labels import Label
from cache.passage import Outcome
from cache.value import new_entry
from providers.deadline import Deadline, deadline, speaking_until
from providers.errors import BadAudio, ProviderError
from providers.interface import Sound, Timing, Utterance, speaking_for

log = getLogger("refrain")

P = ParamSpec("P")
T = TypeVar("T")
Hear = Callable[[bytes], None]
# stale: found, past its soft lifetime, and served all the same.
Came = Outcome | Literal["stale"]


class ClipMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept beside a clip's sound. `samples` are at 24 kHz, whatever the clip's own rate.

    `audible` is from which to which of them there is sound. `timings` are the provider's, packed, on the clip's
    clock, of characters as they were sent; no text.
    """

    samples: int
    provider: str
    characters: int
    audible: tuple[int, int] | None = None
    timings: msgspec.Raw = UNTIMED


class Clip(Unprinted, frozen=True):
    """A chunk's sound, of `size` bytes. `outcome` is how this asker came by it, `seconds` how long that took.

    `cost` is what it cost, in the currency of the prices.
    """

    digest: str
    entry: Entry
    meta: ClipMeta
    outcome: Came
    first_choice: bool
    size: int
    seconds: float = 0.0
    cost: float = 0.0

    def without_sound(self) -> "Clip":
        """What is to be known of it afterwards: a listener of an hour must not hold an hour's sound."""
        return msgspec.structs.replace(self, entry=replace(self.entry, payload=b""))

    @classmethod
    def of(cls, candidate: Candidate, entry: Entry, outcome: Came = "hit", *, seconds: float = 0.0) -> "Clip":
        """From a cache entry."""
        meta = msgspec.json.decode(entry.meta, type=ClipMeta)
        cost = candidate.cost if outcome == "made" else 0.0
        size = len(entry.payload)
        return cls(candidate.digest, entry, meta, outcome, candidate.first_choice, size, seconds, cost)


class ClipSource:
    """Gets clips: the only place where provider, recorder and cache meet."""

    def __init__(
        self,
        cache: Cache,
        levels: Levels,
        lifetimes: Lifetimes,
        refreshes: Refreshes,
        metrics: Metrics,
        *,
        clock: Callable[[], float],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is monotonic, `now` the time of day, both in seconds."""
        self._cache = cache
        self._levels = levels
        self._lifetimes = lifetimes
        self._refreshes = refreshes
        self._metrics = metrics
        self._charging = Charging(metrics)
        self._clock = clock
        self._now = now
        self._deadlines: WeakValueDictionary[str, Deadline] = WeakValueDictionary()

    def found(self, candidate: Candidate, request: SpeechRequest, entry: Entry) -> Clip:
        """The clip that is there, as old as it `ages`."""
        return Clip.of(candidate, entry, "stale" if self.ages(candidate, request, entry) else "hit")

    def ages(self, candidate: Candidate, request: SpeechRequest, entry: Entry) -> bool:
        """Whether it is past its soft lifetime: then it is served all the same, and made anew for those to come."""
        if not self._is_stale(candidate.digest, entry):
            return False
        if request.cache != "only":  # who wants nobody called does not have it called for others either
            is_stale = functools.partial(self._is_stale, candidate.digest)
            remake = functools.partial(self._remake, candidate, request)
            self._refreshes.begin(candidate.digest, is_stale, remake)
        return True

    def _is_stale(self, digest: str, entry: Entry) -> bool:
        return self._lifetimes.is_stale(digest, entry, self._now())

    async def _remake(self, candidate: Candidate, request: SpeechRequest) -> bool:
        made = await self._make(candidate, request, _nobody)
        entry = self._entry(made)
        if not await self._cache.renew(candidate.digest, entry):
            return False
        self._cache.label(made.labels, {candidate.digest: entry.made_at + entry.ttl})
        return True

    def _entry(self, made: Made) -> Entry:
        return new_entry(made.meta, made.payload, made_at=self._now(), ttl=made.ttl)

    async def fly(self, candidate: Candidate, request: SpeechRequest, hear: Hear | None) -> Clip:
        """The chunk's clip by this link; `hear`, if any, gets each piece as it comes.

        Raises:
            ProviderError: it failed, and where a listener came in half-way, `FlightFailed` (of another replica's
                failure only the code is known).
        """
        began = self._clock()
        outcome: Outcome = "made"
        if request.cache == "bypass":
            speaking_for.set(asker())
            async with _place():
                entry = self._entry(await self._make(candidate, request, hear or _nobody))
        else:
            entry, outcome = await self._make_for_all(candidate, request, hear)
        came: Came = outcome
        if came == "hit" and self.ages(candidate, request, entry):
            came = "stale"
        clip = Clip.of(candidate, entry, came, seconds=self._clock() - began)
        self._metrics.chunks.labels(outcome=clip.outcome).inc()
        kind = "charged" if clip.outcome == "made" else "saved"
        self._metrics.characters.labels(kind=kind).inc(clip.meta.characters)
        if clip.outcome != "made" and (own := tally()) is not None:
            own.add(request.voice.name, clip.meta.provider, spared(clip.meta.characters, candidate))
        return clip

    async def _make_for_all(
        self, candidate: Candidate, request: SpeechRequest, hear: Hear | None
    ) -> tuple[Entry, Outcome]:
        owner, own, place = asker(), tally(), _place()
        self._levels.look_ahead(candidate)
        anew = request.cache == "refresh"
        with self._deadline(candidate.digest) as latest:

            async def make(emit: Hear) -> Made:
                # A flight is nobody's request, but in the queue for the provider it stands for whoever began it, who is
                # charged with it, too, also where he does not stay.
                speaking_for.set(owner)
                speaking_until.set(latest)
                with tallying(own), nullcontext() if own is None else own.making():
                    async with place:
                        return await self._make(candidate, request, emit)

            return await self._aboard(candidate.digest, make, hear, anew=anew)

    @contextmanager
    def _deadline(self, digest: str) -> Iterator[Deadline]:
        """The flight's, which lasts as long as the latest of those aboard in this process.

        Who began it may have less time than who joined. Where all here are gone it has none: it goes on for those who
        follow elsewhere, who have deadlines of their own, and begin anew should it fail for want of a turn.
        """
        latest = self._deadlines.get(digest) or self._deadlines.setdefault(digest, Deadline())
        with latest.aboard(deadline()):
            yield latest

    async def _aboard(
        self, digest: str, make: Make, hear: Hear | None, *, anew: bool
    ) -> tuple[Entry, Outcome]:
        async with self._cache.board(digest, make, anew=anew) as seat:
            if hear is not None:
                async with aclosing(seat.pieces()) as pieces:
                    async for piece in pieces:
                        hear(piece)
            # Who wants the whole alone does not mind whether its first half came from a maker that is gone.
            entry = await seat.entry()
        return entry, seat.outcome or "made"

    async def _make(self, candidate: Candidate, request: SpeechRequest, emit: Hear) -> Made:
        """Ask the provider, check, edit and encode; `emit` gets each piece of the clip that is final."""
        provider, utterance = candidate.provider, candidate.utterance
        outcome = "ok"
        began = self._clock()
        try:
            with self._charging.of(request.voice.name, candidate) as begun:
                payload, recorded, timings = await self._record(candidate, request.output, emit, begun)
        except BadAudio as error:
            outcome = BadAudio.code
            kind = error.kind if isinstance(error, _BadSound) else "adapter"
            self._metrics.bad_audio.labels(provider=provider.name, kind=kind).inc()
            raise
        except ProviderError as error:
            outcome = error.code
            raise
        except FlightFailed as error:
            outcome = error.code
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told as what the chain can go on from
            # A defect in one adapter, or a codec that chokes on its sound, must not cost the whole chain.
            outcome = ProviderError.code
            log.error("defect: %s", whereabouts(error))  # noqa: TRY400 - the message may carry the text
            raise ProviderError("failed in a way nobody foresaw", provider=provider.name) from None
        finally:
            self._metrics.provider_requests.labels(provider=provider.name, outcome=outcome).inc()
            self._metrics.provider_seconds.labels(provider=provider.name).observe(self._clock() - began)
        characters = len(utterance.text)
        placed = on_clip(timings, recorded, characters=characters, tempo=candidate.tempo)
        meta = ClipMeta(recorded.samples, provider.name, characters, recorded.audible, packed(placed))
        ttl = self._lifetimes.hard(first_choice=candidate.first_choice)
        return Made(msgspec.json.encode(meta), payload, ttl, (*request.labels, by(provider.name)))

    async def probe(self, candidate: Candidate, output: Output) -> None:
        """Have it said and checked, and nothing of it kept.

        Raises:
            ProviderError: it was not, or not well.
        """
        provider = candidate.provider.name
        self._metrics.provider_requests.labels(provider=provider, outcome="probe").inc()
        try:
            await self._record(candidate, output, _nobody, self._charging.unbilled(candidate))
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001 - an adapter's defect is no reason to ask it again
            log.error("defect: %s", whereabouts(error))  # noqa: TRY400 - the message may carry the text
            raise ProviderError("failed in a way nobody foresaw", provider=provider) from None

    async def _record(
        self, candidate: Candidate, output: Output, emit: Hear, begun: Begun
    ) -> tuple[bytes, Recorded, Sequence[Timing]]:
        """The clip's payload, what it is, and its words' times as the provider tells them.

        `begun` is called as soon as the provider speaks.
        Codecs run in threads: a piece may be a sentence long.
        """
        utterance = candidate.utterance
        leveling = await self._levels.leveling(candidate)
        async with candidate.provider.speak(utterance) as sound:
            # Who has begun to speak will bill it, also where the sound is refused or nobody waits for its end.
            begun(sound.billed)
            try:
                recorder = _recorder(candidate, sound, output, leveling)
                parts, recorded = await self._heard(recorder, sound, emit)
            except BadSound as error:
                # In here, where the provider's circuit hears of it.
                raise _BadSound(error.kind, candidate.provider.name) from None
        await self._levels.learn(candidate, recorded.measured)
        parts.append(recorded.tail)
        emit(recorded.tail)
        return b"".join(parts), recorded, sound.timings

    async def _heard(self, recorder: Recorder, sound: Sound, emit: Hear) -> tuple[list[bytes], Recorded]:
        parts: list[bytes] = []
        try:
            async with aclosing(sound.pieces) as pieces:
                async for piece in pieces:
                    if final := await _in_thread(recorder.feed, piece):
                        parts.append(final)
                        emit(final)
            return parts, await _in_thread(recorder.finish)
        finally:
            recorder.close()


class _BadSound(BadAudio):
    """What our own check refused, as this `kind` of poison."""

    def __init__(self, kind: str, provider: str) -> None:
        super().__init__(f"refused as {kind}", provider=provider)
        self.kind = kind


def by(provider: str) -> Label:
    """The label of what a provider spoke; `provider` is its configured name."""
    return Label("provider", provider)


def _recorder(candidate: Candidate, sound: Sound, output: Output, leveling: Leveling | None) -> Recorder:
    utterance = candidate.utterance
    return Recorder(
        encoding=sound.encoding,
        sample_rate=sound.sample_rate,
        channels=sound.channels,
        characters=_at_pace(len(utterance.text), utterance),
        spoken=_at_pace(sum(map(str.isalnum, utterance.text)), utterance),
        believable=believable(utterance),
        output=output,
        tempo=candidate.tempo,
        leveling=leveling,
    )


def _place() -> AbstractAsyncContextManager[object]:
    """Among the chunks of one user that may be made at once: his hundred must not be ahead of everybody's first."""
    own = tally()
    return nullcontext() if own is None else own.places()


def spared(characters: int, candidate: Candidate) -> Line:
    """What its asker has of a clip that need not be made for him."""
    return Line(saved=characters, spared=candidate.cost, chunks=1, hits=1)


def _nobody(_: bytes) -> None:
    """Hears nothing."""


def _at_pace(characters: int, utterance: Utterance) -> int:
    """The recorder bounds a sound's length by its text; slow speech has longer for the same text."""
    return max(1, math.ceil(characters / utterance.speed))


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but when cancelled it waits for the thread before it raises.

    Guards against a codec being closed here while a thread is still inside it. The wait is one piece's encoding.
    """
    future = asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):  # a second cancel must not skip the wait either
                await asyncio.wait([future])
        raise

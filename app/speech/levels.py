"""How loud each provider's voice speaks: told by the provider, or measured from its first clips and then kept.

Nothing here waits between reading and changing what this process knows, so clips that end at once cannot disturb
one another. A clip that is cancelled or refused is never learned from. Replicas share what is learned through the
cache; two that have learned a voice in the same moment may each keep their own value until they restart, which
differ by less than the voice's clips do.
"""

import asyncio
import contextvars
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import msgspec

from app.audio.loudness import FAINT, LOUDNESS_VERSION, Leveling, Measured, mean
from app.speech.plan import Candidate
from cache.cache import Cache
from cache.digest import digest
from cache.tending import tell_of
from cache.value import new_entry

T = TypeVar("T")

ENOUGH = 5
"""Clips by which a voice is known; with fewer, an odd one would decide."""
LEAST = 1.0
"""Seconds of a clip that must count for it to be one of them."""
REMEMBERED = 1_000
"""Voices that a process keeps in mind: clients can make more of them, by their instructions."""


LOOK_AGAIN = 2.0
"""Seconds between two looks, in case, at whether anybody has learned a voice."""


class Level(msgspec.Struct, frozen=True):
    """What is kept of a voice: how loud it speaks, in LUFS."""

    loudness: float


class Levels:
    """Remembers how loud voices are."""

    def __init__(self, cache: Cache, ttl: float, now: Callable[[], float] = time.time) -> None:
        """What is learned is kept for `ttl` seconds; `now` is the time of day, in seconds."""
        self._cache = cache
        self._ttl = ttl
        self._now = now
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()  # and until when
        self._heard: OrderedDict[str, list[Measured]] = OrderedDict()
        self._looked: OrderedDict[str, float] = OrderedDict()  # when
        self._looks: dict[str, asyncio.Task[None]] = {}

    def look_ahead(self, candidate: Candidate) -> None:
        """Have it known here soon how loud the voice is, though another process may make the clip. Nobody waits for it.

        That process may be gone in the middle of it, and Redis with it, and who goes on with the same gain goes on with
        the same bytes. Asks at most once in `LOOK_AGAIN` seconds for a voice, and not for one that is known.
        """
        if candidate.leveling is None or candidate.leveling.voice is not None:
            return
        name = _name(candidate)
        recent = 0 <= self._now() - self._looked.get(name, -LOOK_AGAIN) < LOOK_AGAIN
        if recent or name in self._looks or self._current(name):
            return
        self._looked[name] = self._now()
        self._looked.move_to_end(name)
        _bound(self._looked)
        # An empty context: what it finds is nobody's in particular.
        look = asyncio.create_task(self._look(name), name="level", context=contextvars.Context())
        self._looks[name] = look
        look.add_done_callback(lambda _: self._looks.pop(name))
        look.add_done_callback(tell_of("a look for a level"))

    async def aclose(self) -> None:
        """End the looks that are under way. Idempotent."""
        looks = list(self._looks.values())
        for look in looks:
            look.cancel()
        if looks:
            await asyncio.wait(looks)

    async def leveling(self, candidate: Candidate) -> Leveling | None:
        """How the clip is to be leveled; None: not at all. Looks into the cache only for a voice not known yet."""
        leveling = candidate.leveling
        if leveling is None or leveling.voice is not None:
            return leveling
        name = _name(candidate)
        if (look := self._looks.get(name)) is None:
            return replace(leveling, voice=await self._find(name))
        # Begun by the same asker a moment ago, as a rule.
        await asyncio.wait([look])
        known = self._current(name)
        return replace(leveling, voice=known[0] if known else None)

    async def learn(self, candidate: Candidate, measured: Measured | None) -> None:
        """Take in how loud a clip came; None: it was not measured.

        Not from clips with markup, which may ask to be spoken softer, nor from hardly any sound.
        """
        if measured is None or candidate.utterance.ssml is not None:
            return
        if measured.seconds < LEAST or measured.loudness <= FAINT:
            return
        name = _name(candidate)
        heard = self._heard.setdefault(name, [])
        heard.append(measured)
        self._heard.move_to_end(name)
        if len(heard) < ENOUGH:
            _bound(self._heard)
            return
        del self._heard[name]
        # Another replica may have been quicker: who comes later takes its word, so that all speak alike.
        if await self._find(name) is None:
            loudness = self._know(name, mean(heard), self._now() + self._ttl)
            kept = msgspec.json.encode(Level(loudness))
            await self._cache.put(name, new_entry(kept, b"", made_at=self._now(), ttl=self._ttl))

    async def _look(self, name: str) -> None:
        await self._find(name)

    async def _find(self, name: str) -> float | None:
        if known := self._current(name):
            return known[0]
        (entry,) = await self._cache.get_many([name])
        if entry is None:
            return None
        try:
            loudness = msgspec.json.decode(entry.meta, type=Level).loudness
        except msgspec.DecodeError:  # of a version to come; the voice is learned once more
            return None
        return self._know(name, loudness, entry.made_at + entry.ttl)

    def _current(self, name: str) -> tuple[float, float] | None:
        known = self._known.get(name)
        if known is None or known[1] <= self._now():
            self._known.pop(name, None)
            return None
        self._known.move_to_end(name)
        return known

    def _know(self, name: str, loudness: float, until: float) -> float:
        # The first word counts: a clip that began before must not change it for those that come.
        known, _ = self._current(name) or (loudness, until)
        self._known.setdefault(name, (loudness, until))
        self._heard.pop(name, None)
        _bound(self._known)
        return known


def _bound(remembered: OrderedDict[str, T]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)


def _name(candidate: Candidate) -> str:
    """Under which a voice's level is kept. Instructions make another voice of it: "whisper" is one."""
    provider, utterance = candidate.provider, candidate.utterance
    voice = utterance.voice
    identity = provider.capabilities(voice).identity
    settings = [part for pair in voice.settings for part in pair]
    fields = [LOUDNESS_VERSION, provider.name, len(identity), *identity, voice.voice, voice.model, *settings]
    return digest("level", [*fields, utterance.instructions])

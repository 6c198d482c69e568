"""The tier that all processes share: Redis or Valkey."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from cache import value
from cache.errands import Errand, Errands
from cache.errors import Away, Damaged
from cache.interface import Entry, TierStatistics
from cache.link import Answer, RedisLink
from cache.tending import own_task, tell

_READERS = 4
# Digests in one MGET: some 4 MB of clips. More would hold up everybody else's commands at the server, and on an
# ordinary line take longer than the time-out, which would look like an outage.
_WINDOW = 64


@dataclass(frozen=True, slots=True)
class _Look:
    digests: list[str]
    found: asyncio.Future[list[Entry | None]]


class RedisTier:
    """Entries in Redis, each under one key with the server's own lifetime.

    Look-ups of callers that come together go out together, each digest once, as one MGET: 1,000 callers of
    one clip cost one read and one check. `now` gives seconds since the epoch.
    """

    def __init__(
        self, link: RedisLink, errands: Errands | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        """`errands` are taken along: of the same link, where it leads to one server only."""
        self._link = link
        self._errands = errands
        self._now = now
        self._looks: deque[_Look] = deque()
        self._readers: set[asyncio.Task[None]] = set()
        self._hits = 0
        self._misses = 0
        self._damaged = 0

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """One entry or None for each digest, in order; an MGET for each 64, all together. None while Redis is away."""
        if len(digests) <= _WINDOW:
            found = await self._look(digests)
        else:
            parts = (digests[start : start + _WINDOW] for start in range(0, len(digests), _WINDOW))
            found = [*itertools.chain.from_iterable(await asyncio.gather(*map(self._look, parts)))]
        hits = sum(entry is not None for entry in found)
        self._hits += hits
        self._misses += len(found) - hits
        return found

    async def has_all(self, digests: list[str]) -> bool:
        """Whether these digests, no two alike, are all there, damaged or not. False while Redis is away."""
        keys = [self._link.keys.of("clip", digest) for digest in digests]
        try:
            count = await self._link.call(lambda: self._link.client.exists(*keys))
        except Away:
            return False
        return bool(count == len(keys))

    async def lacking(self, digests: list[str]) -> list[str]:
        """Those of the digests that are not there, damaged or not; all of them while Redis is away."""
        if await self.has_all(digests):
            return []

        async def ask() -> list[int]:
            pipeline = self._link.client.pipeline(transaction=False)
            for digest in digests:
                pipeline.exists(self._link.keys.of("clip", digest))
            return await pipeline.execute()

        try:
            there = await self._link.call(ask)
        except Away:
            return digests
        return [digest for digest, count in zip(digests, there, strict=True) if not count]

    async def _look(self, digests: list[str]) -> list[Entry | None]:
        if self._link.outage.open:
            return [None] * len(digests)
        look = _Look(digests, asyncio.get_running_loop().create_future())
        self._looks.append(look)
        if len(self._readers) < _READERS:
            self._readers.add(asyncio.create_task(self._read_on(), name="redis-reader"))
        return await look.found

    async def put(self, digest: str, entry: Entry) -> None:
        """Store; replaces. Nothing while Redis is away."""
        await self._set(digest, entry)

    async def put_briefly(self, digest: str, entry: Entry, seconds: float) -> None:
        """As `put`, for so long; but what is there keeps its lifetime: it may be somebody else's, too."""
        milliseconds = int(min(seconds, entry.left(self._now())) * 1000)
        if milliseconds <= 0:
            return
        key, encoded = self._link.keys.of("clip", digest), value.encode(entry)
        pipe = self._link.client.pipeline(transaction=False)
        pipe.set(key, encoded, xx=True, keepttl=True)
        pipe.set(key, encoded, nx=True, px=milliseconds)
        with suppress(Away):
            await self._link.call(pipe.execute)

    async def promote(self, digest: str, entry: Entry) -> bool:
        """Store what was found further down, unless there is something by now: that is newer. Whether it was."""
        return await self._set(digest, entry, only="NX")

    async def renew(self, digest: str, entry: Entry) -> bool:
        """Store in place of what is there; False: there is nothing, or it could not be stored."""
        return await self._set(digest, entry, only="XX")

    async def has(self, digest: str, checksum: str, made_at: float) -> bool:
        """Whether this very entry is there."""
        (entry,) = await self.get_many([digest])
        return entry is not None and (entry.checksum, entry.made_at) == (checksum, made_at)

    async def _set(self, digest: str, entry: Entry, *, only: Literal["NX", "XX"] | None = None) -> bool:
        milliseconds = int(entry.left(self._now()) * 1000)
        if milliseconds <= 0:
            return False
        key, encoded = self._link.keys.of("clip", digest), value.encode(entry)
        try:
            stored = await self._link.call(
                lambda: self._link.client.set(key, encoded, px=milliseconds, nx=only == "NX", xx=only == "XX")
            )
        except Away:
            return False
        return bool(stored)

    async def delete(self, digest: str) -> bool:
        """Forget; True if it was there, False also while Redis is away."""
        key = self._link.keys.of("clip", digest)
        try:
            return bool(await self._link.call(lambda: self._link.client.delete(key)))
        except Away:
            return False

    async def take(self, digest: str, encoded: bytes) -> Entry | None:
        """The entry in what Redis gave. What is damaged, or has expired by our clock, is deleted: None."""
        try:
            entry = value.decode(encoded)
        except Damaged:
            self._damaged += 1
        else:
            if entry.left(self._now()) > 0:
                return entry
        # A good value written in between would be deleted too: that costs one synthesis and no more.
        await self.delete(digest)
        return None

    def statistics(self) -> TierStatistics:
        """What happened so far; `errors` counts everything that failed on the way to Redis."""
        return TierStatistics(self._hits, self._misses, errors=self._link.errors, damaged=self._damaged)

    async def aclose(self) -> None:
        """End the readers; who still waits finds nothing. The link is closed by whoever made it."""
        for reader in self._readers:
            reader.cancel()
        if self._readers:
            await asyncio.wait(self._readers)
        while self._looks:
            _answer(self._looks.popleft(), {})

    async def _read_on(self) -> None:
        try:
            await self._read()
        finally:
            # In the very step in which it found nobody waiting, not by a callback a step later: who comes in between
            # would be left to four readers that have ended.
            self._readers.discard(own_task())

    async def _read(self) -> None:
        """Read for everybody who waits, until nobody does."""
        while self._looks:
            looks = self._together()
            entries: dict[str, Entry | None] = {}
            try:
                entries = await self._entries(list({d: None for look in looks for d in look.digests}))
            except Exception as error:  # noqa: BLE001 - whoever has come meanwhile would wait for ever
                self._link.errors += 1
                tell("a reading of Redis", error)
            finally:  # also when cancelled: nobody is left waiting
                for look in looks:
                    _answer(look, entries)

    def _together(self) -> list[_Look]:
        """The next look-ups that share one command."""
        looks = [self._looks.popleft()]
        size = len(looks[0].digests)
        while self._looks and size + len(self._looks[0].digests) <= _WINDOW:
            looks.append(self._looks.popleft())
            size += len(looks[-1].digests)
        return looks

    async def _entries(self, digests: list[str]) -> dict[str, Entry | None]:
        keys = [self._link.keys.of("clip", digest) for digest in digests]
        errands = self._errands.take() if self._errands is not None else []
        try:
            if errands and self._errands is not None:
                values = await self._along(keys, self._errands, errands)
            else:
                values = await self._link.call(lambda: self._link.client.mget(keys))
        except Away:
            return {}
        return {
            digest: await self.take(digest, encoded)
            for digest, encoded in zip(digests, values, strict=True)
            if isinstance(encoded, bytes)
        }

    async def _along(self, keys: list[str], errands: Errands, taken: list[Errand]) -> list[Answer]:
        """What the keys have, and in the same trip the errands.

        Raises:
            Away: as `RedisLink.call`, or the look-up itself came to an error.
        """

        async def send() -> list[Answer]:
            pipe = self._link.client.pipeline(transaction=False)
            pipe.mget(keys)
            for errand in taken:
                errand.queue(pipe)
            return await pipe.execute(raise_on_error=False)

        came: list[Answer] | Away = Away("cancelled")
        try:
            came = await self._link.call(send)
        except Away as error:
            came = error
            raise
        finally:  # also when cancelled: nobody is left waiting
            errands.bring(taken, came if isinstance(came, Away) else came[1:])
        if isinstance(came[0], Exception):
            self._link.errors += 1
            raise Away(type(came[0]).__name__)
        values: list[Answer] = came[0]
        return values


def _answer(look: _Look, entries: dict[str, Entry | None]) -> None:
    if not look.found.done():  # its caller may have been cancelled
        look.found.set_result([entries.get(digest) for digest in look.digests])

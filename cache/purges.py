"""What is forgotten is forgotten in every process: a short log in Redis that each of them reads once a second.

Notices by pub/sub get lost; who reads a log knows whether he has missed something. A process that cannot be sure
(the log has gone, or has been cut beyond what it read last) forgets all that it has in memory: that costs reads.
While Redis is away a process goes on with what it has in memory, and catches up when Redis is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cache.errors import Away
from cache.link import Answer, RedisLink
from cache.memory import MemoryTier

LOOK_SECONDS = 1.0
_NAMED = 128
"""Digests that one record names; of more it says "everything", so that looking at the last one stays cheap."""
_RECORDS = 128
_LIFETIME_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is to go from memory: these digests, or everything."""

    digests: tuple[str, ...] = ()
    everything: bool = False


_EVERYTHING = Forgotten(everything=True)


class Purges:
    """Deletes in Redis, tells all processes, and listens for what they tell.

    `pause` is the time between two looks, in seconds.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        pause: float = LOOK_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._link = link
        self._pause = pause
        self._sleep = sleep
        self._last: bytes | None = None
        self._watching: asyncio.Task[None] | None = None

    async def delete(self, digests: Sequence[str]) -> list[bool]:
        """Delete in Redis and tell all processes, in one pipeline: whoever dies meanwhile has done both or neither.

        For each digest, whether it was there. A thousand at the most.

        Raises:
            Away: Redis does not answer; some may have been deleted.
        """
        pipe = self._link.client.pipeline(transaction=False)
        for digest in digests:  # one by one, as in a cluster each is in a slot of its own
            pipe.execute_command("UNLINK", self._link.keys.of("clip", digest))
        self._record(pipe, digests)
        answers = await self._link.call(pipe.execute)
        return [bool(answer) for answer in answers[: len(digests)]]

    async def announce(self, digests: Sequence[str]) -> None:
        """Have all processes read these anew. Nothing while Redis is away."""
        pipe = self._link.client.pipeline(transaction=False)
        self._record(pipe, digests)
        try:
            await self._link.call(pipe.execute)
        except Away:
            return

    async def announce_everything(self) -> None:
        """Have all processes empty their memory.

        Raises:
            Away: Redis does not answer.
        """
        pipe = self._link.client.pipeline(transaction=False)
        self._record(pipe, ())
        await self._link.call(pipe.execute)

    def watch(self, memory: MemoryTier) -> None:
        """Begin to take out of this process' memory what anybody has forgotten."""
        self._watching = asyncio.create_task(self._watch(memory), name="purge-watch")

    async def aclose(self) -> None:
        """End the watching. Idempotent."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    @property
    def _key(self) -> str:
        return self._link.keys.of("purges", "")

    def _record(self, pipe: Any, digests: Sequence[str]) -> None:
        named = b"".join(map(bytes.fromhex, digests)) if len(digests) <= _NAMED else b""
        pipe.xadd(self._key, {b"digests": named}, maxlen=_RECORDS, approximate=True)
        pipe.expire(self._key, _LIFETIME_SECONDS)

    async def _watch(self, memory: MemoryTier) -> None:
        before: list[Forgotten] = []
        while True:
            try:
                new = await self._look()
            except Away:
                new = []
            except Exception:  # noqa: BLE001 - a watch that has died would let purged sound be served for ever
                new = [_EVERYTHING]
            # Each twice: a reading that was under way at the first time may have put the old back into memory. At
            # the second it has ended, since it takes no longer than a command may.
            for forgotten in before + new:
                _forget(memory, forgotten)
            before = new
            await self._sleep(self._pause)

    async def _look(self) -> list[Forgotten]:
        """What is new in the log.

        Raises:
            Away: Redis does not answer.
        """
        last = self._last
        records: Answer = await self._link.call(
            lambda: self._link.client.xrange(self._key, min="-" if last is None else last)
        )
        self._last = records[-1][0] if records else None
        if last is None:  # what came before the first record, nobody knows
            return [_EVERYTHING] if records else []
        if not records or records[0][0] != last:
            return [_EVERYTHING]
        return [_read(fields) for _, fields in records[1:]]


def _read(fields: dict[bytes, bytes]) -> Forgotten:
    named = fields.get(b"digests", b"").hex()
    if not named:
        return _EVERYTHING
    return Forgotten(tuple(named[start : start + 40] for start in range(0, len(named), 40)))


def _forget(memory: MemoryTier, forgotten: Forgotten) -> None:
    if forgotten.everything:
        memory.clear()
    for digest in forgotten.digests:
        memory.discard(digest)

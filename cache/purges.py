"""What is forgotten is forgotten in every process: a short log in Redis that each of them reads once a second.

Notices by pub/sub get lost; who reads a log knows whether he has missed something. A process that cannot be sure
(the log has gone, or has been cut beyond what it read last) forgets all that it has in memory: that costs reads.
While Redis is away a process goes on with what it has in memory, and catches up when Redis is back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from cache.errors import Away
from cache.link import Answer, RedisLink
from cache.memory import MemoryTier
from cache.server import full
from cache.tending import tell_of

LOOK_SECONDS = 1.0
_NAMED = 128
"""Digests that one record names, so that looking at the last one stays cheap; of more there are more records."""
_RECORDS = 512
"""That the log has at the least: who forgets 65,000 in a second may well empty everybody's memory."""
_AT_ONCE = 64
"""Records in one answer, some 170 kB: more could take longer than its time-out, and look like an outage."""
_LIFETIME_SECONDS = 86_400
_AGAIN = 2
"""Looks at which a record is heeded once more."""
_UNTOLD = 4_096
_LOOKS_A_RENEWAL = 3_600
"""Looks after which the log is made to live on for `_LIFETIME_SECONDS`."""

Mark = bytes
"""A place in the log: what stands behind it was forgotten later. An id of Redis', which no other record has."""
START: Final[Mark] = b"0-0"
"""Before the first record."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten: these digests; or `everything`: nobody knows what, or more than is in any index.

    `renewed` were not: they were made anew, and are to be read again.
    """

    digests: tuple[str, ...] = ()
    everything: bool = False
    renewed: tuple[str, ...] = ()


_EVERYTHING = Forgotten(everything=True)
Record = dict[bytes, bytes]
_ALL: Final[Record] = {b"digests": b""}
_OPENED: Final[Record] = {b"opened": b""}


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
        self._mark = START
        self._looks = 0
        self._untold: deque[str] = deque(maxlen=_UNTOLD)
        self._watching: asyncio.Task[None] | None = None
        self._after: asyncio.Task[None] | None = None

    @property
    def mark(self) -> Mark:
        """How far the log has been heeded in this process: what is read from now on knows of all before it."""
        return self._mark

    async def now(self) -> Mark:
        """Where the log ends at this moment.

        Raises:
            Away: Redis does not answer.
        """
        newest: Answer = await self._link.call(lambda: self._link.client.xrevrange(self._key, count=1))
        return newest[0][0] if newest else START

    async def since(self, mark: Mark) -> list[Forgotten]:
        """What was forgotten behind a place in the log.

        Raises:
            Away: Redis does not answer.
        """
        return (await self._read(mark))[0]

    async def delete(self, digests: Sequence[str]) -> list[bool]:
        """Delete in Redis and tell all processes, in one pipeline: whoever dies meanwhile has done both or neither.

        For each digest, whether it was there. A thousand at the most.

        Raises:
            Away: Redis does not answer; some may have been deleted.
        """
        pipe = self._link.client.pipeline(transaction=False)
        for digest in digests:  # one by one, as in a cluster each is in a slot of its own
            pipe.execute_command("UNLINK", self._link.keys.of("clip", digest))
        return [bool(answer) for answer in (await self._tell(pipe, [*_records(digests)]))[: len(digests)]]

    async def announce(self, digests: Sequence[str]) -> None:
        """Have all processes read these anew; while that cannot be told, as soon as it can."""
        told = False
        with suppress(Away):
            told = await self._added([*_records(digests, b"renewed")])
        if not told:
            self._untold.extend(digests)

    async def announce_everything(self) -> None:
        """Have all processes empty their memory.

        Raises:
            Away: Redis does not answer.
        """
        await self._tell(self._link.client.pipeline(transaction=False), [_ALL])

    def watch(
        self,
        memory: MemoryTier,
        *,
        heed: Callable[[str], object] = lambda _: None,
        then: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Begin to take out of this process' memory what anybody has forgotten.

        `heed` is called with each digest that was forgotten by name, `then` after each look, unless it still runs;
        neither raises.
        """

        def forget(forgotten: Forgotten) -> None:
            if forgotten.everything:
                memory.clear()
            for digest in (*forgotten.digests, *forgotten.renewed):
                memory.discard(digest)
            for digest in forgotten.digests:
                heed(digest)

        self._watching = asyncio.create_task(self._watch(forget, then), name="purge-watch")

    async def aclose(self) -> None:
        """End the watching. Idempotent."""
        for task in (self._watching, self._after):  # in this order: the first begins the second
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    @property
    def _key(self) -> str:
        return self._link.keys.of("purges", "")

    async def _tell(self, pipe: Any, records: Sequence[Record]) -> list[Answer]:
        """Send what is in the pipeline, and behind it these records."""
        own = len(pipe.command_stack)
        self._add(pipe, records)

        async def send() -> list[Answer]:
            answers: list[Answer] = await pipe.execute(raise_on_error=False)
            for at, answer in enumerate(answers):
                if isinstance(answer, Exception) and not (at >= own and full(answer)):
                    raise answer
            return answers

        answers = await self._link.call(send)
        if any(isinstance(answer, Exception) for answer in answers):
            await self._tell_when_full(records)
        return answers

    def _add(self, pipe: Any, records: Sequence[Record]) -> None:
        for record in records:
            pipe.xadd(self._key, record, maxlen=_RECORDS, approximate=True)
        pipe.expire(self._key, _LIFETIME_SECONDS)

    async def _tell_when_full(self, records: Sequence[Record]) -> None:
        """Out of memory, a record cannot be added; what was unlinked before it may have made room by now.

        If not, the log itself goes: whoever finds that it has gone forgets everything, again and again until there is
        one.
        """
        if not await self._added(records):
            await self._link.call(lambda: self._link.client.unlink(self._key))

    async def _added(self, records: Sequence[Record]) -> bool:
        """Whether the log has them now; False: there is no room.

        Raises:
            Away: Redis does not answer.
        """
        pipe = self._link.client.pipeline(transaction=False)
        self._add(pipe, records)
        try:
            await self._link.call(pipe.execute)
        except Away as error:
            if full(error.__cause__):
                return False
            raise
        return True

    async def _watch(
        self, forget: Callable[[Forgotten], None], then: Callable[[], Awaitable[object]] | None
    ) -> None:
        recent: deque[list[Forgotten]] = deque(maxlen=_AGAIN)
        while True:
            looked = True
            try:
                new = await self._look()
            except Away:
                new, looked = [], False
            except Exception:  # noqa: BLE001 - a watch that has died would let purged sound be served for ever
                new = [_EVERYTHING]
            # Each again and again: a reading that was under way at the first time may have put the old back into
            # memory. At the last it has ended, since it takes no longer than a command may, and the archive a second.
            # Nothing is awaited since the mark moved: who takes it from here on is rid of all before it.
            for forgotten in [one for few in (*recent, new) for one in few]:
                forget(forgotten)
            if looked:
                recent.append(new)
                # In a task of its own: after an outage it may have thousands of late writes to look for, and what is
                # forgotten meanwhile must not wait for that.
                if self._after is None or self._after.done():
                    self._after = asyncio.create_task(self._then(then), name="purge-watch-after")
                    self._after.add_done_callback(tell_of("heeding what was forgotten"))
            await self._sleep(self._pause)

    async def _then(self, then: Callable[[], Awaitable[object]] | None) -> None:
        await self._tell_late()
        if then is not None:
            await then()

    async def _look(self) -> list[Forgotten]:
        """What is new in the log, which is begun if there is none.

        Raises:
            Away: Redis does not answer.
        """
        first, unknown = not self._looks, self._mark == START
        if self._looks % _LOOKS_A_RENEWAL == 0:  # all who read it would miss it
            with suppress(Away):
                await self._link.call(lambda: self._link.client.expire(self._key, _LIFETIME_SECONDS))
        self._looks += 1
        new, self._mark = await self._read(self._mark)
        if unknown and not first:
            # There was none at the last look, and one may have come and gone since. While Redis is full none can be
            # begun, and so nobody be told of anything.
            new.append(_EVERYTHING)
        if self._mark == START and await self._added([_OPENED]):
            # Only of a log that is there can it be seen that it has gone.
            more, self._mark = await self._read(START)
            new += more
        return new

    async def _tell_late(self) -> None:
        if self._untold:
            digests = [*self._untold]
            self._untold.clear()
            await self.announce(digests)

    async def _read(self, mark: Mark) -> tuple[list[Forgotten], Mark]:
        """What stands behind a place in the log, and where it ends."""
        found: list[Forgotten] = []
        at, count = mark, 0
        while True:
            page = await self._page(at)
            if at != START and not (page and page[0][0] == at):
                found.append(_EVERYTHING)  # it was cut behind that place, or is a new one
            fresh = page[1:] if page and page[0][0] == at else page
            found += [_read(record) for _, record in fresh if record != _OPENED]
            count += len(page)
            at = page[-1][0] if page else START
            if len(page) < _AT_ONCE:
                break
        if mark == START and count >= _RECORDS:
            found.append(_EVERYTHING)  # it may have been cut before anybody looked
        return found, at

    async def _page(self, at: Mark) -> list[tuple[Mark, Record]]:
        """Some records, from the one at this place on."""
        client, first = self._link.client, "-" if at == START else at
        records: Answer = await self._link.call(lambda: client.xrange(self._key, min=first, count=_AT_ONCE))
        return list(records)


def _records(digests: Sequence[str], what: bytes = b"digests") -> Iterator[Record]:
    for start in range(0, len(digests), _NAMED):
        yield {what: b"".join(map(bytes.fromhex, digests[start : start + _NAMED]))}


def _read(record: Record) -> Forgotten:
    if named := record.get(b"renewed"):
        return Forgotten(renewed=_named(named))
    named = record.get(b"digests", b"")
    return Forgotten(_named(named)) if named else _EVERYTHING


def _named(digests: bytes) -> tuple[str, ...]:
    named = digests.hex()
    return tuple(named[start : start + 40] for start in range(0, len(named), 40))

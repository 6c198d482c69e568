"""Waiting for others without asking all the time: one listening connection for the whole process.

A notice carries nothing and promises nothing: pub/sub loses messages. It only wakes a waiter, who then reads
the state again, and who never waits without a time-out.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Connection
from redis.exceptions import RedisError

from cache.errors import Away
from cache.link import RedisLink
from cache.tending import tell, tell_of

_REST_SECONDS = 1.0
"""After a defect. Until then nothing is heard, and who waits looks when its time is over."""


@dataclass(slots=True)
class _Channel:
    """Who listens to one channel here, and whether the server has acknowledged what was sent for them."""

    ears: "set[Ear]" = field(default_factory=set)
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)


class Ear:
    """One waiter on one channel. Use: `listen`, read the state, `wait`; and again."""

    def __init__(self, notices: "Notices", channel: str) -> None:
        self._notices = notices
        self._channel = channel
        self._heard = asyncio.Event()

    async def listen(self) -> None:
        """From here on, what is published is heard; it is forgotten what was heard before.

        When the server cannot be had this returns all the same: `wait` then sleeps its whole time.
        """
        self._heard.clear()
        await self._notices.subscribe(self._channel)

    async def wait(self, seconds: float) -> None:
        """Until a notice came since `listen`, the connection broke, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return

    def wake(self) -> None:
        """Let `wait` return."""
        self._heard.set()


class Notices:
    """All the ears of this process, on one connection. `clock` is monotonic, in seconds."""

    def __init__(self, link: RedisLink, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock
        self._rests_until = 0.0
        self._channels: dict[str, _Channel] = {}
        self._connection: Connection | None = None
        # Sent on this connection and not acknowledged yet, by channel: the server acknowledges each, in order.
        self._owed: Counter[str] = Counter()
        self._connecting = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def ear(self, channel: str) -> AsyncIterator[Ear]:
        """An ear for the channel; with the last one the channel is given up."""
        ear = Ear(self, channel)
        self._channels.setdefault(channel, _Channel()).ears.add(ear)
        try:
            yield ear
        finally:
            ears = self._channels[channel].ears
            ears.discard(ear)
            if not ears:
                del self._channels[channel]
                farewell = asyncio.create_task(self._unsubscribe(channel))
                self._farewells.add(farewell)
                farewell.add_done_callback(self._farewells.discard)
                farewell.add_done_callback(tell_of("listening to Redis"))

    async def subscribe(self, channel: str) -> None:
        """Have the server acknowledge the channel, if it can be had."""
        acknowledged = self._channels[channel].acknowledged
        if acknowledged.is_set() or self._clock() < self._rests_until:
            return
        try:
            await self._link.call(lambda: self._subscribed(channel, acknowledged))
        except Away:
            # Perhaps the connection hangs: whatever state it is in, the next one starts anew.
            await self._drop()

    async def _subscribed(self, channel: str, acknowledged: asyncio.Event) -> None:
        async with self._connecting:  # two that come together must not make two connections
            if self._connection is None:
                connection = self._link.connection()
                try:
                    await connection.connect()  # type: ignore[no-untyped-call]
                except BaseException:  # cancelled too: a half-open socket must not stay behind
                    await connection.disconnect(nowait=True)
                    raise
                self._connection = connection
                self._listener = asyncio.create_task(self._listen(connection), name="redis-listener")
            connection = self._connection
        self._owed[channel] += 1
        await connection.send_command("SUBSCRIBE", channel)
        await acknowledged.wait()

    async def _unsubscribe(self, channel: str) -> None:
        # Looked at again, since this runs later: somebody may have come to the channel in between. Nothing is
        # awaited between this look and the write, so a SUBSCRIBE of theirs cannot be overtaken.
        if channel in self._channels or self._connection is None:
            return
        try:
            await self._connection.send_command("UNSUBSCRIBE", channel)
        except (RedisError, OSError):
            return  # the listener will find the connection broken

    async def _listen(self, connection: Connection) -> None:
        try:
            while True:
                self._hear(await connection.read_response())
        except (RedisError, OSError):
            await self._lose(connection)
        except Exception as error:  # noqa: BLE001 - nobody would be heard on this connection any more
            tell("listening to Redis", error)
            # All who wait look again at once, and would have the next connection made, and lost, without end.
            self._rests_until = self._clock() + _REST_SECONDS
            await self._lose(connection)

    async def _lose(self, connection: Connection) -> None:
        self._forget(connection)
        await connection.disconnect(nowait=True)

    def _hear(self, message: object) -> None:
        match message:
            case [b"subscribe", bytes(name), *_]:
                self._acknowledge(name.decode())
            case [b"message", bytes(name), *_]:
                if (channel := self._channels.get(name.decode())) is not None:
                    for ear in channel.ears:
                        ear.wake()

    def _acknowledge(self, name: str) -> None:
        self._owed[name] -= 1
        if self._owed[name] > 0:
            # Perhaps that was for ears that have been left since: behind it the channel was given up, and what is
            # published before the server comes to the next one is heard by nobody.
            return
        del self._owed[name]
        if (channel := self._channels.get(name)) is not None:
            channel.acknowledged.set()

    def _forget(self, connection: Connection) -> None:
        """The connection is lost, and so may be notices: everybody looks for himself."""
        if self._connection is not connection:
            return
        self._connection = None
        self._owed.clear()
        for channel in self._channels.values():
            # Who waits for an acknowledgement goes on, too: it will not come, and would count as an outage.
            channel.acknowledged.set()
            channel.acknowledged.clear()
            for ear in channel.ears:
                ear.wake()

    async def _drop(self) -> None:
        connection, listener = self._connection, self._listener
        if connection is None or listener is None:
            return
        self._forget(connection)
        listener.cancel()
        await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        """Close the connection; ears wake."""
        await self._drop()
        tasks = [*self._farewells, *([self._listener] if self._listener else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

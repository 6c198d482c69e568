"""The master that sentinels name: found, watched, and followed through fail-overs."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from weakref import WeakSet

from redis.asyncio import Connection, ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from cache.address import Address, Host
from cache.errors import Away
from cache.outage import Outage
from cache.server import Answer, Server, unreachable
from cache.tending import keep_on

_LOOK = 1.0  # seconds between two looks at who is master


class Sentinel:
    """The master of one service. Its sentinels are asked at first use, every second, and after each trouble.

    Every second, because a master that was deposed behind a broken line goes on taking writes from those who
    are on its side of it, and no error ever tells them. `timeout` is in seconds.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        probe_key: str,
        what: str = "Redis",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._probe_key = probe_key
        self._what = what
        self._sleep = sleep
        # Half the time: a sentinel that hangs must not use up a whole call's.
        self._sentinels = [
            Server(host, address.sentinel_options, timeout=timeout / 2, probe_key=probe_key, what=what)
            for host in address.hosts
        ]
        self.client: Redis = Redis(connection_pool=ConnectionPool())  # to nowhere, until a master is found
        self.outage = Outage(self._probe, what=what)
        self._master: Server | None = None
        self._looking = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._lent: WeakSet[Connection] = WeakSet()

    async def ready(self) -> None:
        """Find the master, the first time.

        Raises:
            ConnectionError: no sentinel answers, or none knows a master.
        """
        if self._master is not None:
            return
        async with self._looking:
            if self._master is None:
                try:
                    await self._look()
                except Away as error:
                    raise RedisConnectionError("no master") from error
                self._watching = asyncio.create_task(
                    keep_on("watching the sentinels", self._watch), name="redis-sentinel"
                )

    def connection(self) -> Connection:
        """To the master. It is cut when another becomes master: what is published there is not heard here.

        Raises:
            ConnectionError: no master is known.
        """
        if self._master is None:
            raise RedisConnectionError("no master")
        connection = self._master.connection()
        self._lent.add(connection)
        return connection

    def known(self) -> list[Server]:
        """The master, if one was found."""
        return [] if self._master is None else [self._master]

    def failed(self, error: Exception) -> None:
        """Silence, or a master that has become a replica: both call for another look."""
        if unreachable(error) or isinstance(error, ReadOnlyError):
            self.outage.trip()

    async def aclose(self) -> None:
        """End the watching, close everything."""
        await self.outage.aclose()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await asyncio.gather(*self._farewells)
        for server in (*self._sentinels, *([self._master] if self._master else [])):
            await server.aclose()

    async def _probe(self) -> None:
        await self._look()
        assert self._master is not None
        await self._master.beat(writable=True)

    async def _watch(self) -> None:
        while True:
            await self._sleep(_LOOK)
            with suppress(Away):
                await self._look()

    async def _look(self) -> None:
        """Ask all sentinels; the one that knows of the latest fail-over is right."""
        named = [name for name in await asyncio.gather(*map(self._named, self._sentinels)) if name]
        if not named:
            raise Away("no sentinel names a master")
        # Nothing is awaited from here on: whoever asks for a connection gets one to the old or to the new master.
        _, host = max(named)
        old = self._master
        if old is not None and old.host == host:
            return
        self._master = Server(
            host, self._address.options, timeout=self._timeout, probe_key=self._probe_key, what=self._what
        )
        self.client.connection_pool = self._master.pool
        if old is not None:
            self._leave(old)

    async def _named(self, sentinel: Server) -> tuple[int, Host] | None:
        """The number of the last fail-over, and the master since."""
        try:
            answer: Answer = await sentinel.ask(
                lambda: sentinel.client.execute_command(  # type: ignore[no-untyped-call]
                    "SENTINEL", "MASTER", self._address.service
                )
            )
            state = dict(zip(answer[::2], answer[1::2], strict=True))
            return int(state[b"config-epoch"]), (state[b"ip"].decode(), int(state[b"port"]))
        except (Away, RedisError, KeyError, TypeError, ValueError):
            return None

    def _leave(self, old: Server) -> None:
        """Close what goes to the old master, that which listens too: whoever waits there looks again."""
        lent, self._lent = list(self._lent), WeakSet()
        farewell = asyncio.create_task(_farewell(old, lent))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)


async def _farewell(old: Server, lent: list[Connection]) -> None:
    for connection in lent:
        await connection.disconnect(nowait=True)
    await old.aclose()

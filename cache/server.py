"""One Redis or Valkey server: its connections, its circuit; and what a link wants of one or of many."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cache.address import Host, Options
from cache.errors import Away
from cache.outage import Outage
from cache.patience import patient_timeout
from cache.tending import tell_of

T = TypeVar("T")

CONNECTIONS = 16
"""To each server; and as many calls at once, so that no pool is ever found exhausted (it would fail at once)."""

_FAREWELL = 1.0  # seconds

Answer = Any  # what Redis answers: checked where it is taken apart


def unreachable(error: BaseException) -> bool:
    """Whether this is silence rather than an answer, however bad."""
    return isinstance(error, TimeoutError | OSError | RedisConnectionError | RedisTimeoutError)


def full(error: BaseException | None) -> bool:
    """Whether this is a server's refusal to write, as it has no memory left and throws nothing out."""
    return isinstance(error, OutOfMemoryError)


class Circuit(Protocol):
    """Whether a server, or all of them, are to be left alone."""

    @property
    def open(self) -> bool:
        """True: whatever is sent now would fail or wait."""
        ...


class Servers(Protocol):
    """Where commands go: the one server, the master of the day, or the nodes of a cluster.

    `client` stays the same whatever happens to the servers behind it.
    """

    client: Redis

    @property
    def outage(self) -> Circuit:
        """Open when none can be had."""
        ...

    async def ready(self) -> None:
        """Before each call: find the servers, if it is not known yet where they are.

        Raises:
            ConnectionError: they cannot be found.
        """
        ...

    def connection(self) -> Connection:
        """A connection of one's own, not yet connected, to a server where notices are heard.

        Raises:
            ConnectionError: none can be had.
        """
        ...

    def known(self) -> "list[Server]":
        """Those that hold keys, as far as they have been found."""
        ...

    def failed(self, error: Exception) -> None:
        """A call failed in the task that asks: open what circuits have to be."""
        ...

    async def aclose(self) -> None:
        """Give back everything. Idempotent."""
        ...


class Server:
    """The connections to one server, and the circuit around it.

    `beat` is what the circuit's probe does; left out, one small write. `what` is what the log calls it.
    Nothing here retries. redis-py's own time-outs are off: they would count the stalls of a busy event loop against the
    server.
    """

    def __init__(
        self,
        host: Host | None,
        options: Options,
        *,
        timeout: float,
        probe_key: str,
        beat: Callable[[], Awaitable[None]] | None = None,
        what: str = "Redis",
    ) -> None:
        self.host = host
        self._options = options
        self._timeout = timeout
        self._probe_key = probe_key
        self.pool = self._connections()
        self.client: Redis = Redis(connection_pool=self.pool)
        self.outage = Outage(beat or self.beat, what=what)

    def _connections(self) -> ConnectionPool:
        place: Options = {} if self.host is None else {"host": self.host[0], "port": self.host[1]}
        # RESP2, no client info: a new connection costs no extra round trip.
        return ConnectionPool(
            **self._options,
            **place,
            max_connections=CONNECTIONS,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )

    def connection(self) -> Connection:
        """A connection beside the pool, not yet connected."""
        connection: Connection = self.pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def beat(self, *, writable: bool = False) -> None:
        """A write, since a paused or fenced server may still answer reads; any answer will do, but for `writable`.

        Raises:
            Away: there is none, or (`writable`) it is a replica's.
        """
        try:
            await self.ask(lambda: self.client.set(self._probe_key, "", px=1000))
        except ReadOnlyError as error:
            if writable:
                raise Away("ReadOnlyError") from error
        except RedisError:
            return

    async def ask(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Ask outside of any call, as probes do.

        Raises:
            Away: no answer in time.
            RedisError: a bad answer.
        """
        try:
            async with patient_timeout(self._timeout):
                return await operation()
        except Exception as error:
            if unreachable(error):
                raise Away(type(error).__name__) from error
            raise

    async def renew(self) -> None:
        """Connect anew from here on: behind the name there may be another server by now."""
        old, self.pool = self.pool, self._connections()
        self.client.connection_pool = self.pool
        # Nobody takes any from the old pool now; those that are in use are closed when they are given back.
        await old.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        await old.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self.outage.aclose()
        with suppress(RedisError, OSError):  # TimeoutError too: TLS waits for a farewell that may never come
            async with asyncio.timeout(_FAREWELL):
                await self.pool.disconnect()


class Single:
    """The one server of an address."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._renewing: asyncio.Task[None] | None = None
        self.client = server.client
        self.outage = server.outage

    async def ready(self) -> None:
        """Nothing is to be found out."""

    def connection(self) -> Connection:
        """To that server."""
        return self._server.connection()

    def known(self) -> list[Server]:
        """That server."""
        return [self._server]

    def failed(self, error: Exception) -> None:
        """An answer, if a bad one (out of memory, read-only, a wrong type), opens nothing: others may be good.

        Read-only: perhaps its name is another server's by now, and only our connections still lead to the old one.
        """
        if unreachable(error):
            self.outage.trip()
        elif isinstance(error, ReadOnlyError) and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.create_task(self._server.renew(), name="redis-renewal")
            self._renewing.add_done_callback(tell_of("connecting to Redis anew"))

    async def aclose(self) -> None:
        """Close its connections."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await self._server.aclose()

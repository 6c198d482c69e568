"""The way to Redis or Valkey: short time-outs, no hidden retries, one circuit; keys; scripts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cache.digest import LAYOUT
from cache.errors import Away
from cache.outage import Outage

T = TypeVar("T")

_SCRIPTS = Path(__file__).parent / "scripts"
_CONNECTIONS = 16
_PASSES = (
    16  # of the loop after the time is up: a reading takes one to arrive, one to wake, one for each part
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The names in Redis that belong to one digest. The braces put them in one slot of a cluster."""

    prefix: str = "refrain"

    def of(self, thing: str, digest: str) -> str:
        """The key (or channel) of a thing (`clip`, `lease`, `failure`, `notice`) of this digest."""
        return f"{self.prefix}:{LAYOUT}:{thing}:{{{digest}}}"


class RedisLink:
    """One server for a process: every command goes through `call`. Never raises anything but `Away`.

    `timeout` (seconds) bounds a command with its connecting. Waiting for a free connection is not counted in
    it, yet is bounded too: a command that fails opens the circuit, and then nobody waits any more. So what a
    hung server adds to all that wait, together, is one time-out.
    """

    def __init__(self, url: str, *, keys: Keys | None = None, timeout: float = 0.1) -> None:
        self.keys = keys or Keys()
        self.timeout = timeout
        self.errors = 0
        # RESP2, no client info: a new connection costs no extra round trip. The time-outs are ours (`call`):
        # redis-py's own would count the stalls of a busy event loop against the server.
        self._pool: ConnectionPool = ConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self.client: Redis = Redis(connection_pool=self._pool)
        # As many as there are connections, so that the pool is never found exhausted (it would fail at once).
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self.outage = Outage(self._probe)

    def script(self, name: str) -> AsyncScript:
        """The script in `scripts/NAME.lua`; loaded again by itself when the server has forgotten it."""
        return self.client.register_script((_SCRIPTS / f"{name}.lua").read_text())

    def connection(self) -> Connection:
        """A connection of one's own, not yet connected, beside the pool: for what listens."""
        connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run one command.

        Raises:
            Away: the circuit is open, the server did not answer in time, or it answered with an error.
        """
        if self.outage.open:
            raise Away("circuit open")
        async with self._slots:
            if self.outage.open:  # opened while we waited for our turn
                raise Away("circuit open")
            try:
                async with patient_timeout(self.timeout):
                    return await operation()
            except (TimeoutError, OSError, RedisConnectionError, RedisTimeoutError) as error:
                self.errors += 1
                self.outage.trip()
                raise Away(type(error).__name__) from error
            except RedisError as error:
                # An answer, if a bad one (out of memory, read-only, a wrong type): the server is there, and
                # other commands may well work. The circuit stays closed.
                self.errors += 1
                raise Away(type(error).__name__) from error

    async def _probe(self) -> None:
        """A write, since a paused or fenced server may still answer reads; any answer at all will do."""
        try:
            async with patient_timeout(self.timeout):
                await self.client.set(self.keys.of("probe", ""), int(time.time()), px=1000)
        except (TimeoutError, OSError, RedisConnectionError, RedisTimeoutError) as error:
            raise Away(type(error).__name__) from error
        except RedisError:
            return

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self.outage.aclose()
        await self.client.aclose()
        await self._pool.disconnect()


@asynccontextmanager
async def patient_timeout(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, but a stall of the event loop alone does not count as the other side's silence.

    When the loop was busy past the deadline, the answer may be lying in the socket, unread, while the timer is
    already due. So the loop is given some more passes to read it: microseconds where it is idle, and as long
    as they take where it is not.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        waiting: asyncio.Handle

        def due(passes: int) -> None:
            nonlocal waiting
            if passes:
                waiting = loop.call_soon(due, passes - 1)
            else:
                limit.reschedule(loop.time())

        waiting = loop.call_later(seconds, due, _PASSES)
        try:
            yield
        finally:
            waiting.cancel()


Answer = Any  # what a script answers: checked where it is taken apart

"""The way to Redis or Valkey: short time-outs, no hidden retries, circuits; keys; scripts."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from redis.asyncio import Connection, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError, RedisError, TryAgainError

from cache.address import parse
from cache.cluster import Cluster
from cache.digest import LAYOUT
from cache.errors import Away
from cache.patience import patient_timeout
from cache.sentinel import Sentinel
from cache.server import CONNECTIONS, Answer, Circuit, Server, Servers, Single

__all__ = ["Answer", "Keys", "RedisLink", "Script"]

T = TypeVar("T")

_SCRIPTS = Path(__file__).parent / "scripts"

MOVING: Final = 0.15
"""Seconds for which a slot that moves from node to node is waited for. Most have few keys, and take less."""
_PAUSES: Final = (0.01, 0.02, 0.04)
"""Seconds between two looks whether it has arrived; the last one again and again."""
_IN_A_HURRY: Final = 1.0
"""Seconds for which no slot is waited for after one that did not arrive in time: one request waits once at the most."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The names in Redis that belong to one digest. The braces put them in one slot of a cluster."""

    prefix: str = "refrain"

    def of(self, thing: str, digest: str) -> str:
        """The key (or channel) of a thing (`clip`, `lease`, `failure`, `notice`) of this digest."""
        return f"{self.prefix}:{LAYOUT}:{thing}:{{{digest}}}"


class Script:
    """One of `scripts/*.lua`: all its keys belong to one digest, and so to one slot of a cluster."""

    def __init__(self, client: Redis, source: str) -> None:
        self._client = client
        self._source = source
        self._digest = hashlib.sha1(
            source.encode(), usedforsecurity=False
        ).hexdigest()  # Redis' own name for it

    async def __call__(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Answer:
        """What it answers. A server that has forgotten it, or never knew it, is sent it whole, once.

        Raises:
            RedisError: as any command.
        """
        try:
            return await self._client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self._client.eval(self._source, len(keys), *keys, *arguments)

    def queue(self, pipe: Pipeline, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> None:
        """Into a pipeline, where it comes to NoScriptError at a server that does not know it."""
        pipe.evalsha(self._digest, len(keys), *keys, *arguments)


class RedisLink:
    """One Redis for a process, of whatever kind: every command goes through `call`, which raises only `Away`.

    `timeout` (seconds) bounds a call with its connecting. Waiting for a free connection is not counted in it,
    yet is bounded too: a call that gets no answer opens a circuit, and then nobody waits any more. So what a
    hung server adds to all that wait, together, is one time-out. In a cluster each node has its own circuit.
    """

    def __init__(
        self,
        url: str,
        *,
        keys: Keys | None = None,
        timeout: float = 0.1,
        what: str = "Redis",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`url` as in `redis.url`: see `cache.address`. `clock` is monotonic; it and `sleep` are in seconds.

        `what` is what the log calls it.

        Raises:
            ValueError: it is none.
        """
        self.keys = keys or Keys()
        self.timeout = timeout
        self.errors = 0
        self.servers = _servers(url, timeout, self.keys.of("probe", ""), what)
        self.client: Redis = self.servers.client
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._clock = clock
        self._sleep = sleep
        self._hurried_until = 0.0

    @property
    def outage(self) -> Circuit:
        """Open while nothing can be had; a cluster of which some nodes are away is not."""
        return self.servers.outage

    def script(self, name: str, folder: Path = _SCRIPTS) -> Script:
        """The script in `NAME.lua`."""
        return Script(self.client, (folder / f"{name}.lua").read_text())

    def connection(self) -> Connection:
        """A connection of one's own, not yet connected, beside the pool: for what listens. Only within a call.

        Raises:
            Away: it is not known where to.
        """
        return self.servers.connection()

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run one operation: a command, a script, a pipeline.

        What a cluster refuses for now, since its keys are between two nodes, is tried again for `MOVING` at the most.

        Raises:
            Away: a circuit is open, a server did not answer in time, or it answered with an error.
        """
        end, number = self._clock() + MOVING, 0
        while True:
            try:
                return await self._run(operation)
            except TryAgainError as error:
                now, pause = self._clock(), _PAUSES[min(number, len(_PAUSES) - 1)]
                if now + pause > end:
                    self._hurried_until = now + _IN_A_HURRY
                if now < self._hurried_until:
                    self.errors += 1
                    raise Away(type(error).__name__) from error
            # Without a turn: a slot that takes its time must not keep others from theirs.
            await self._sleep(pause)
            number += 1

    async def _run(self, operation: Callable[[], Awaitable[T]]) -> T:
        if self.outage.open:
            raise Away("circuit open")
        async with self._slots:
            if self.outage.open:  # opened while we waited for our turn
                raise Away("circuit open")
            try:
                async with patient_timeout(self.timeout):
                    await self.servers.ready()
                    return await operation()
            except TryAgainError:
                raise
            except (TimeoutError, OSError, RedisError) as error:
                # A bad answer (out of memory, read-only, a wrong type) is an answer all the same: whether a circuit
                # opens is for those to say who know the servers.
                self.errors += 1
                self.servers.failed(error)
                raise Away(type(error).__name__) from error

    async def masters(self) -> list[Redis]:
        """A client of each server that holds keys, as they are now: for what has no key (SCAN, DBSIZE, INFO).

        One, unless it is a cluster. To be used within `call`; a server that fails there opens no circuit, unless it
        is the only one. In a cluster no other command may be sent by them: it would not follow a slot that moves.

        Raises:
            Away: it is not known where they are.
        """

        async def known() -> list[Redis]:
            return [server.client for server in self.servers.known()]

        return await self.call(known)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self.servers.aclose()


def _servers(url: str, timeout: float, probe_key: str, what: str) -> Servers:
    address = parse(url)
    match address.kind:
        case "server":
            host = address.hosts[0] if address.hosts else None
            return Single(Server(host, address.options, timeout=timeout, probe_key=probe_key, what=what))
        case "sentinel":
            return Sentinel(address, timeout=timeout, probe_key=probe_key, what=what)
        case "cluster":
            return Cluster(address, timeout=timeout, probe_key=probe_key, what=what)

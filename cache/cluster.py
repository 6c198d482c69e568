"""The nodes of a cluster: which of them has a key, and a client that sends each command there.

Ours rather than redis-py's: that one asks for the whole map again after any node's failure, from any node, so
that one that hangs holds up what goes to all the others. Here each node has a circuit of its own; what lies on
a node that is away is a miss, and the rest goes on.
"""

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass

from redis.asyncio import Connection, Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from cache.address import Address, Host
from cache.errors import Away
from cache.outage import Outage
from cache.routed import Command, Routed, key_of, send
from cache.server import Answer, Server, unreachable

_ASKED = 8  # nodes that are asked for the map at once; one answer will do
_HOPS = 3  # a slot that moves is found after one; more only while it moves again

# The nodes that this task's call waits for. When its time is up, they are the ones that did not answer.
_waiting: ContextVar[set[Server]] = ContextVar("waiting")


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a command is to be sent; `asking`: its slot is on the move to there."""

    node: Server
    asking: bool = False


class Cluster:
    """The masters of a cluster. `timeout` is in seconds.

    The map of slots is learnt at first use, after each redirection, and while any node is away, so that the
    replica that takes over is found without any request waiting for it.
    """

    def __init__(self, address: Address, *, timeout: float, probe_key: str, what: str = "Redis") -> None:
        self._address = address
        self._timeout = timeout
        self._probe_key = probe_key
        self._what = what
        self._nodes: dict[Host, Server] = {}
        self._slots: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._learning: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._lost = Outage(self._learn, what=what)
        self.client: Redis = Routed(self.run)

    @property
    def outage(self) -> "Cluster":
        """All nodes together."""
        return self

    @property
    def open(self) -> bool:
        """Whether all of them are away."""
        return self._lost.open or (bool(self._nodes) and all(n.outage.open for n in self._nodes.values()))

    @property
    def covered(self) -> int:
        """How many slots have a master."""
        return sum(node is not None for node in self._slots)

    async def ready(self) -> None:
        """Learn the map, the first time.

        Raises:
            ConnectionError: no node gives it.
        """
        _waiting.set(set())
        if not self._nodes:
            try:
                await self._learn()
            except Away as error:
                raise RedisConnectionError("no node gives the map") from error

    def connection(self) -> Connection:
        """To any node that is well: in a cluster, what is published anywhere is heard everywhere.

        Raises:
            ConnectionError: none is.
        """
        well = [node for node in self._nodes.values() if not node.outage.open]
        if not well:
            raise RedisConnectionError("no node")
        node = secrets.choice(well)
        _waiting.get().add(node)
        return node.connection()

    def known(self) -> list[Server]:
        """The masters that have slots."""
        return list(self._nodes.values())

    def failed(self, error: Exception) -> None:
        """Open the circuits of the nodes that were waited for, or that of all when none is known."""
        if not self._nodes:
            self._lost.trip()
        elif unreachable(error):
            for node in _waiting.get():
                node.outage.trip()

    async def run(self, commands: list[Command], *, transaction: bool = False) -> list[Answer]:
        """Send each command to the node of its key, one trip to each node, all at once; follow redirections.

        Gives what each came to, in order: an answer, or the exception. Never raises one.
        """
        ways: dict[int, _Way] = {}
        came: list[Answer] = [Away("no node has the slot")] * len(commands)
        for place, (words, _) in enumerate(commands):
            if (node := self._node(words)) is not None:
                ways[place] = _Way(node)
        for _ in range(_HOPS):
            groups: dict[_Way, list[int]] = {}
            for place, way in ways.items():
                groups.setdefault(way, []).append(place)
            sent = [
                self._send(way, [commands[n] for n in places], transaction=transaction)
                for way, places in groups.items()
            ]
            for places, results in zip(groups.values(), await asyncio.gather(*sent), strict=True):
                for place, result in zip(places, results, strict=True):
                    came[place] = result
            ways = {
                place: self._redirected(came[place], way)
                for place, way in ways.items()
                if isinstance(came[place], AskError)
            }
            if not ways:
                break
        return came

    async def aclose(self) -> None:
        """Close everything."""
        await self._lost.aclose()
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning])
        await asyncio.gather(*self._farewells)
        await asyncio.gather(*(node.aclose() for node in self._nodes.values()))

    def _node(self, words: tuple[Answer, ...]) -> Server | None:
        key = key_of(words)
        if key is None:
            well = [node for node in self._nodes.values() if not node.outage.open]
            return secrets.choice(well) if well else None
        return self._slots[key_slot(key)]

    async def _send(self, way: _Way, commands: list[Command], *, transaction: bool) -> list[Answer]:
        node = way.node
        if node.outage.open:
            return [Away("circuit open")] * len(commands)
        waiting = _waiting.get()
        waiting.add(node)
        try:
            came = await send(node.client, commands, asking=way.asking, transaction=transaction)
        except (RedisError, OSError) as error:
            # Cancelled, the node stays among those that are waited for: `failed` looks there.
            if unreachable(error):
                node.outage.trip()
            came = [error] * len(commands)
        waiting.discard(node)
        return came

    def _redirected(self, redirection: AskError, way: _Way) -> _Way:
        host = (redirection.host or (way.node.host or ("", 0))[0], redirection.port)
        node = self._nodes.get(host) or self._known(host)
        if not isinstance(redirection, MovedError):
            return _Way(node, asking=True)
        self._slots[redirection.slot_id] = node
        self._learn_soon()
        return _Way(node)

    def _known(self, host: Host) -> Server:
        async def beat() -> None:
            # First the map: another may have taken over, and then this one is no longer ours to wait for.
            with suppress(Away):
                await self._learn()
            if self._nodes.get(host) is node:
                await node.beat()

        node = Server(
            host,
            self._address.options,
            timeout=self._timeout,
            probe_key=self._probe_key,
            beat=beat,
            what=self._what,
        )
        self._nodes[host] = node
        return node

    async def _learn(self) -> None:
        """The map anew; all who want it at the same time share one asking.

        Raises:
            Away: no node gives it.
        """
        await asyncio.shield(self._learn_soon())

    def _learn_soon(self) -> "asyncio.Task[None]":
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(self._ask_around(), name="redis-cluster-map")
            self._learning.add_done_callback(_retrieved)
        return self._learning

    async def _ask_around(self) -> None:
        """Ask several nodes and take the first answer: one that hangs holds up nobody."""
        hosts = dict.fromkeys((*self._address.hosts, *self._nodes))
        best = sorted(hosts, key=lambda host: host in self._nodes and self._nodes[host].outage.open)[:_ASKED]
        asking = [asyncio.create_task(self._ask(host)) for host in best]
        try:
            for answer in asyncio.as_completed(asking):
                with suppress(Away):
                    self._adopt(await answer)
                    return
        finally:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
        raise Away("no node gives the map")

    async def _ask(self, host: Host) -> list[tuple[int, int, Host]]:
        """Which slots, from and to, belong to which master, as this node sees it.

        Raises:
            Away: it does not answer, or not as a node of a cluster with slots.
        """
        node = self._nodes.get(host)
        asked = node or Server(host, self._address.options, timeout=self._timeout, probe_key=self._probe_key)
        try:
            answer: Answer = await asked.ask(
                lambda: asked.client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
            )
            # A node that does not know its own name leaves it out: it is the one that we asked.
            ranges = [
                (int(first), int(last), ((name or b"").decode() or host[0], int(port)))
                for first, last, (name, port, *_), *_ in answer
            ]
        except (RedisError, TypeError, ValueError) as error:
            raise Away(type(error).__name__) from error
        finally:
            if node is None:
                await asked.aclose()
        if not ranges:
            raise Away("no slots")
        return ranges

    def _adopt(self, ranges: Iterable[tuple[int, int, Host]]) -> None:
        slots: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        masters = {}
        for first, last, host in ranges:
            masters[host] = self._nodes.get(host) or self._known(host)
            slots[first : last + 1] = [masters[host]] * (last + 1 - first)
        gone = [node for host, node in self._nodes.items() if host not in masters]
        self._nodes, self._slots = masters, slots
        for node in gone:
            farewell = asyncio.create_task(node.aclose())
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)


def _retrieved(task: "asyncio.Task[None]") -> None:
    """Nobody may be waiting for it; then its exception is nobody's."""
    if not task.cancelled():
        task.exception()

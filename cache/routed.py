"""A client of a cluster: each command is sent to the node of its key."""

from collections.abc import Awaitable
from typing import Any, Protocol

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline

from cache.server import Answer

Command = tuple[tuple[Any, ...], dict[str, Any]]
"""Words and options, as redis-py's clients pass them on."""


class Run(Protocol):
    """Sends each command where it belongs; gives what each came to, in order, also where that is an exception."""

    def __call__(self, commands: list[Command], *, transaction: bool = False) -> Awaitable[list[Answer]]:
        """See `cache.cluster.Cluster.run`."""
        ...


async def send(client: Redis, commands: list[Command], *, asking: bool, transaction: bool) -> list[Answer]:
    """The commands to one node; what each came to. `asking`: their slots are on the move to it.

    Raises:
        RedisError: silence, or of a single command a bad answer.
    """
    if len(commands) == 1 and not asking:
        words, options = commands[0]
        return [await client.execute_command(*words, **options)]  # type: ignore[no-untyped-call]
    pipeline = client.pipeline(transaction=transaction)
    for words, options in commands:
        if asking:
            pipeline.execute_command("ASKING")
        pipeline.execute_command(*words, **options)
    came: list[Answer] = await pipeline.execute(raise_on_error=False)
    return came[1::2] if asking else came


_SCRIPTS = {"EVAL", "EVALSHA"}
_ANYWHERE = {"PING", "INFO", "TIME"}
_EVERYWHERE = {"KEYS", "SCAN", "DBSIZE", "FLUSHALL", "FLUSHDB", "SCRIPT FLUSH", "SCRIPT LOAD", "CONFIG SET"}


def key_of(words: tuple[Answer, ...]) -> bytes | None:
    """The key that says which node a command is for; None: any will do.

    Raises:
        NotImplementedError: it would have to go to all of them, or has no key.
    """
    if words[0] in _ANYWHERE:
        return None
    place = 3 if words[0] in _SCRIPTS else 1
    if words[0] in _EVERYWHERE or len(words) <= place:
        raise NotImplementedError(f"{words[0]} has no key, and a cluster no node for it")
    key = words[place]
    return key if isinstance(key, bytes) else str(key).encode()


class Routed(Redis):
    """A client whose every command goes to the node of its key. MGET, EXISTS and DEL may be of many slots."""

    def __init__(self, run: Run) -> None:
        super().__init__(connection_pool=ConnectionPool(protocol=2))  # to nowhere, and never used
        self._run = run

    async def execute_command(self, *words: Answer, **options: Answer) -> Answer:
        """The answer.

        Raises:
            Away: the circuit of the key's node is open.
            RedisError: as redis-py's.
        """
        name, *keys = words
        if name == "MGET":
            came = await self._each("GET", keys)
            return [None if isinstance(one, Exception) else one for one in came]
        if name in {"EXISTS", "DEL", "UNLINK"} and len(keys) > 1:
            return sum(one for one in await self._each(name, keys) if not isinstance(one, Exception))
        (answer,) = await self._run([(words, options)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: ARG002, FBT001, FBT002
        """Commands that leave together; `transaction` wants all keys in one slot."""
        return RoutedPipeline(self._run, self, transaction)

    async def _each(self, name: str, keys: list[Answer]) -> list[Answer]:
        """One command for each key. What lies on a node that is away comes to an exception; not so all of them."""
        came = await self._run([((name, key), {}) for key in keys])
        if came and all(isinstance(one, Exception) for one in came):
            raise came[0]
        return came


class RoutedPipeline(Pipeline):
    """Gathers commands, and sends each to the node of its key."""

    def __init__(self, run: Run, client: Redis, transaction: bool) -> None:  # noqa: FBT001
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._run = run

    async def execute(self, raise_on_error: bool = True) -> list[Answer]:  # noqa: FBT001, FBT002
        """What the commands came to, in order.

        Raises:
            RedisError: the first of those, if `raise_on_error`.
        """
        commands = [(words, dict(options)) for words, options in self.command_stack]
        self.command_stack = []
        came = await self._run(commands, transaction=self.is_transaction)
        error = next((one for one in came if isinstance(one, Exception)), None)
        if raise_on_error and error is not None:
            raise error
        return came

"""A look at Redis for its operator: what is there, what is wrong with it, and what to do about that."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

from cache.cluster import Cluster
from cache.errors import Away
from cache.link import RedisLink
from cache.sentinel import Sentinel
from cache.server import Answer, Server, unreachable

_RIGHTS = "docs/cache.md has the line that gives it what it needs"


@dataclass(frozen=True, slots=True)
class Remark:
    """`no`: the cache cannot be used like this. `but`: it can, and something is likely to be meant otherwise."""

    verdict: Literal["ok", "but", "no"]
    text: str


async def check_up(
    url: str,
    *,
    key: str = "redis.url",
    patience: float = 1.0,
    also: Sequence[tuple[str, str]] = (),
    lasting: bool = False,
) -> list[Remark]:
    """What there is to say of the Redis at this address, the main thing first. `patience`: seconds for each look.

    `key`: where the configuration has the address.

    `also`: what else is stored there, and a key such as it has: of other names than the cache's. `lasting`: that
    may not be lost.

    Raises:
        ValueError: it is no address.
    """
    link = RedisLink(url, timeout=patience)
    try:
        try:
            await link.call(lambda: _reach(link))
        except Away as away:
            return [Remark("no", _why(away, link, key))]
        used = [remark async for remark in _uses(link, also)]
        kept = [remark for server in link.servers.known() for remark in await _memory(server)]
        if lasting:
            kept += [remark for server in link.servers.known() for remark in await _lasting(server, also)]
        return [_found(link), *used, *dict.fromkeys(kept)]
    finally:
        await link.aclose()


async def _reach(link: RedisLink) -> None:
    """Of a cluster it is enough that some node gives the map: the others are looked at one by one."""
    if not isinstance(link.servers, Cluster):
        await link.client.ping()


def _found(link: RedisLink) -> Remark:
    match link.servers:
        case Sentinel() as sentinel:
            (master,) = (_name(server) for server in sentinel.known())
            return Remark("ok", f"answers; the sentinels name {master} as master")
        case Cluster() as cluster:
            missing = REDIS_CLUSTER_HASH_SLOTS - cluster.covered
            text = f"answers; a cluster with {len(cluster.known())} masters"
            if missing:
                return Remark("no", f"{text}, and {missing} slots that none of them has: assign them")
            return Remark("ok", text)
        case _:
            return Remark("ok", "answers")


def _why(away: Away, link: RedisLink, key: str) -> str:
    """From the exception that it comes from, whatever redis-py has wrapped around it."""
    chain = list(_causes(away))
    if any(isinstance(error, AuthenticationError | NoPermissionError) for error in chain):
        return f"refuses user or password, or gives them too few rights; {_RIGHTS}"
    if any(isinstance(error, ssl.SSLError) for error in chain):
        return f"is not trusted over TLS; name its authority by ?ssl_ca_certs=PATH in {key}"
    match link.servers:
        case Sentinel():
            return f"has no sentinel that answers and knows the service; check hosts and service in {key}"
        case Cluster():
            return f"has no node that answers as one of a cluster; check the hosts in {key}"
        case _:
            return f"does not answer; is it running, and is {key} its address?"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def _uses(link: RedisLink, also: Sequence[tuple[str, str]]) -> AsyncIterator[Remark]:
    """What is done with it day by day, once."""
    key = link.keys.of("probe", "")
    ways: list[tuple[str, Callable[[], Awaitable[Answer]]]] = [
        ("store", lambda: link.client.set(key, "", px=1000)),
        ("run scripts", lambda: link.client.eval("return redis.call('GET', KEYS[1])", 1, key)),
        ("listen", lambda: _listen(link)),
        *((f"store {what}", partial(link.client.set, other, "", px=1000)) for what, other in also),
    ]
    for way, operation in ways:
        try:
            await link.call(operation)
        except Away as away:
            # Silence is told of by server.
            if away.__cause__ is not None and not unreachable(away.__cause__):
                yield Remark("no", f"does not let us {way}: {_refusal(away.__cause__)}")


def _refusal(error: BaseException | None) -> str:
    match error:
        case ReadOnlyError():
            return "it is a replica; give the master's address, or that of its sentinels"
        case NoPermissionError():
            return f"the user may not; {_RIGHTS}"
        case OutOfMemoryError():
            return "it is full; set maxmemory-policy to volatile-lfu, or maxmemory higher"
        case _:
            return f"{type(error).__name__}; look into its log"


async def _listen(link: RedisLink) -> None:
    connection = link.connection()
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command("SUBSCRIBE", link.keys.of("notice", ""))
        await connection.read_response()
    finally:
        await connection.disconnect(nowait=True)


async def _memory(server: Server) -> list[Remark]:
    """What it throws out when it is full. Nothing, if the user may not ask."""
    state: dict[str, Answer] = {}
    try:
        state = await server.ask(lambda: server.client.info("memory"))
    except Away:
        return [Remark("no", f"{_name(server)} does not answer any more; what lies there is made again")]
    except RedisError:
        return []
    policy, bound = str(state.get("maxmemory_policy", "")), int(state.get("maxmemory", 0))
    if not bound:
        return [Remark("but", "has no bound in memory; set maxmemory, and maxmemory-policy to volatile-lfu")]
    if policy == "noeviction":
        return [Remark("but", "stores nothing new once it is full; set maxmemory-policy to volatile-lfu")]
    if policy.startswith("allkeys"):
        advice = "throws out anything when it is full, also what has no lifetime; set maxmemory-policy to volatile-lfu"
        return [Remark("but", advice)]
    return []


async def _lasting(server: Server, also: Sequence[tuple[str, str]]) -> list[Remark]:
    """Whether a crash takes away what is no cache. Nothing, if the user may not ask."""
    state: dict[str, Answer] = {}
    with suppress(Away, RedisError):
        state = await server.ask(lambda: server.client.info("persistence"))
    if str(state.get("aof_enabled", "1")) != "0":
        return []
    what = " and ".join(name for name, _ in also)
    return [
        Remark("but", f"loses what came after its last save ({what}) when it crashes; set appendonly to yes")
    ]


def _name(server: Server) -> str:
    return "{}:{}".format(*server.host) if server.host else "on the socket"

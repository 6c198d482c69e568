"""What a key and limits add to the time of a hit: four servers side by side, asked in turns."""

import asyncio
import http.client
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from app.users.keys import Keys
from app.users.store import Secret
from benchmarks import asking, load
from benchmarks.figures import Figure
from benchmarks.hits import SENTENCE
from benchmarks.servers import Server, serving
from cache.link import RedisLink

_RUNS: Final = 5
_FIRST: Final = 0.8
_BETWEEN: Final = 0.4
_STEADY: Final = 1.2
_CROWD: Final = 64
_MUCH: Final = str(10**12)
_KEYS: Final = {"AUTH__MODE": "keys"}
_LIMITS: Final = {
    "LIMITS__DEFAULT__REQUESTS_PER_MINUTE": _MUCH,
    "LIMITS__DEFAULT__CHARACTERS_PER_MINUTE": _MUCH,
    "LIMITS__DEFAULT__CHARACTERS_PER_DAY": _MUCH,
    "LIMITS__DEFAULT__CONCURRENT_REQUESTS": _MUCH,
    "LIMITS__DEFAULT__SPEND_PER_MONTH": "1000000",
}
_UNLIMITED: Final = dict.fromkeys(_LIMITS, "off")
_SMALL: Final = _LIMITS | {"LIMITS__DEFAULT__REQUESTS_PER_MINUTE": "5000"}
"""No run has as many, and each has a user of its own."""
_SHORT: Final = 0.4
_ROUNDS: Final = 12
_PAUSE: Final = 0.25
"""Seconds between two requests of a user who has nothing paid for ahead: each of them is counted by itself."""


def measure() -> Iterator[Figure]:
    """Through Redis, where the limits ride along with the look-up, and from memory, where they need a trip."""
    for tier, memory in (("Redis only", {"CACHE__MEMORY": "0B"}), ("memory", {})):
        with (
            serving(settings=memory) as bare,
            serving(settings=memory | _KEYS | _UNLIMITED) as keyed,
            serving(settings=memory | _KEYS | _LIMITS) as limited,
            serving(settings=memory | _KEYS | _SMALL) as small,
        ):
            yield from _compared(tier, bare, {"a key": keyed, "a key and limits": limited}, small)


def _compared(tier: str, bare: Server, others: dict[str, Server], small: Server) -> Iterator[Figure]:
    body = asking.body(SENTENCE)
    _say(bare, body, {})
    requests = {"": (bare, load.post("/v1/audio/speech", body))}
    for name, server in others.items():
        key = asyncio.run(_key(server))
        who = {"Authorization": f"Bearer {key}"}
        requests[name] = (server, load.post("/v1/audio/speech", body, **who))
        _say(server, body, who)
    for connections in (1, _CROWD):
        first: dict[str, list[float]] = {name: [] for name in requests}
        steady: dict[str, list[float]] = {name: [] for name in requests}
        short: dict[str, list[float]] = {"": [], "small": []}
        for run in range(_RUNS + 1):
            newcomer = _asking_as_somebody_new(small, body)
            for name, (server, request) in {"": requests[""], "small": (small, newcomer)}.items():
                took = _each(server, request, connections, _SHORT)
                if run:
                    short[name].append(took)
            for name, (server, request) in requests.items():
                of_first = _each(server, request, connections, _FIRST)
                _each(server, request, connections, _BETWEEN)
                of_steady = _each(server, request, connections, _STEADY)
                if run:  # the first one warms up
                    first[name].append(of_first)
                    steady[name].append(of_steady)
        what = f"Hit, {tier}, {connections} connection{'s' if connections > 1 else ''}"
        yield Figure(f"{what}: time for each", "ms", tuple(steady[""]))
        yield _added(f"{what}: a key adds", steady, "a key")
        yield _added(f"{what}: a key and limits add", steady, "a key and limits")
        yield _added(f"{what}: the same in a user's first second", first, "a key and limits")
        yield _added(f"{what}: the same of 5,000 a minute, in a user's first half second", short, "small")
    yield Figure(
        f"Hit, {tier}: a key and limits add, four requests a second",
        "ms",
        tuple(_paced(bare, others["a key and limits"], body, who)),
    )


def _asking_as_somebody_new(server: Server, body: bytes) -> bytes:
    """A request by a key of a user who has asked for nothing yet."""
    who = {"Authorization": f"Bearer {asyncio.run(_key(server, secrets.token_hex(4)))}"}
    _say(server, body, who)
    return load.post("/v1/audio/speech", body, **who)


def _each(server: Server, request: bytes, connections: int, seconds: float) -> float:
    """Milliseconds for each answer."""
    came = load.hammer(server.port, request, connections=connections, seconds=seconds)
    return 1e3 * came.seconds / len(came.waits)


def _paced(bare: Server, limited: Server, body: bytes, who: dict[str, str]) -> Iterator[float]:
    """Milliseconds that a key and limits add to the wait of who asks now and then, in turns with who has none."""
    with closing(_connected(bare)) as one, closing(_connected(limited)) as another:
        for run in range(_RUNS + 1):
            waits: tuple[list[float], list[float]] = [], []
            for _ in range(_ROUNDS):
                for mine, (connection, headers) in zip(waits, ((one, {}), (another, who)), strict=True):
                    time.sleep(_PAUSE / 2)  # before each: the first to wake a machine is slower
                    mine.append(_wait(connection, body, headers))
            if run:
                yield 1e3 * (statistics.median(waits[1]) - statistics.median(waits[0]))


def _connected(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("localhost", server.port, timeout=60)


def _wait(connection: http.client.HTTPConnection, body: bytes, who: dict[str, str]) -> float:
    """Seconds until all of the answer is there."""
    began = time.perf_counter()
    connection.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json", **who})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == http.client.OK
    return time.perf_counter() - began


def _added(what: str, times: dict[str, list[float]], name: str) -> Figure:
    added = [100 * (mine / bare - 1) for mine, bare in zip(times[name], times[""], strict=True)]
    return Figure(what, "%", tuple(added), "15 or less")


def _say(server: Server, body: bytes, who: dict[str, str]) -> None:
    """So that it is there."""
    with closing(_connected(server)) as connection:
        _wait(connection, body, who)


async def _key(server: Server, name: str = "bench") -> str:
    path = server.valkey().connection_pool.connection_kwargs["path"]
    link = RedisLink(f"unix://{path}", timeout=5)
    try:
        _, presented = await Keys(link, Secret(link)).create(name)
    finally:
        await link.aclose()
    return presented

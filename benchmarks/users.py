"""What a key and limits add to the time of a hit: two servers side by side, asked in turns."""

import asyncio
import http.client
from collections.abc import Iterator
from statistics import median
from typing import Final

from app.users.keys import Keys
from app.users.store import Secret
from benchmarks import asking, load
from benchmarks.figures import Figure
from benchmarks.hits import SENTENCE
from benchmarks.servers import Server, serving
from cache.link import RedisLink

_RUNS: Final = 7
_SECONDS: Final = 1.5
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


def measure() -> Iterator[Figure]:
    """Through Redis, where the limits ride along with the look-up, and from memory, where they need a trip."""
    for tier, memory in (("Redis only", {"CACHE__MEMORY": "0B"}), ("memory", {})):
        with (
            serving(settings=memory) as bare,
            serving(settings=memory | _KEYS | _UNLIMITED) as keyed,
            serving(settings=memory | _KEYS | _LIMITS) as limited,
        ):
            yield from _compared(tier, bare, {"a key": keyed, "a key and limits": limited})


def _compared(tier: str, bare: Server, others: dict[str, Server]) -> Iterator[Figure]:
    body = asking.body(SENTENCE)
    _say(bare, body, {})
    requests = {"": (bare, load.post("/v1/audio/speech", body))}
    for name, server in others.items():
        key = asyncio.run(_key(server))
        who = {"Authorization": f"Bearer {key}"}
        requests[name] = (server, load.post("/v1/audio/speech", body, **who))
        _say(server, body, who)
    for connections in (1, _CROWD):
        times: dict[str, list[float]] = {name: [] for name in requests}
        for run in range(_RUNS + 1):
            for name, (server, request) in requests.items():
                came = load.hammer(server.port, request, connections=connections, seconds=_SECONDS)
                if run:  # the first one warms up
                    times[name].append(1e3 * came.seconds / len(came.waits))
        what = f"Hit, {tier}, {connections} connection{'s' if connections > 1 else ''}"
        yield Figure(f"{what}: time for each", "ms", tuple(times[""]))
        for name in others:
            added = [100 * (mine / base - 1) for mine, base in zip(times[name], times[""], strict=True)]
            yield Figure(f"{what}: {name} adds", "%", tuple(added), "15 or less")
            yield Figure(f"{what}: {name} adds, medians", "ms", (median(times[name]) - median(times[""]),))


def _say(server: Server, body: bytes, who: dict[str, str]) -> None:
    """So that it is there."""
    connection = http.client.HTTPConnection("localhost", server.port, timeout=60)
    connection.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json", **who})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == http.client.OK
    connection.close()


async def _key(server: Server) -> str:
    path = server.valkey().connection_pool.connection_kwargs["path"]
    link = RedisLink(f"unix://{path}", timeout=5)
    try:
        _, presented = await Keys(link, Secret(link)).create("bench")
    finally:
        await link.aclose()
    return presented

"""What was said before: latency, throughput and round trips."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from benchmarks import asking, load
from benchmarks.figures import Figure, percentile
from benchmarks.servers import ROOT, Server, serving

SENTENCE = "What was said once is there at once, and it costs nobody anything to hear it again."
_RUNS = 5
_SECONDS = 2.0
_CONNECTIONS = 64


def measure() -> Iterator[Figure]:
    """From memory, from Redis only, and what the client itself could do."""
    request = load.post("/v1/audio/speech", asking.body(SENTENCE))
    with serving() as server:
        size = asking.ask(server.port, SENTENCE).size
        yield from _alone("memory", server, request)
        yield _crowd("memory", server.port, request)
    with serving(settings={"CACHE__MEMORY": "0B"}) as server:
        asking.ask(server.port, SENTENCE)
        yield from _alone("Redis only", server, request)
        yield from _round_trips(server, request)
        yield _crowd("Redis only", server.port, request)
    with _constant(size) as port:
        yield _crowd("the client's own ceiling: a constant answer", port, request)


def _alone(tier: str, server: Server, request: bytes) -> Iterator[Figure]:
    runs = [load.hammer(server.port, request, connections=1, seconds=_SECONDS) for _ in range(_RUNS)]
    what = f"Cached sentence, {tier}, one connection"
    yield Figure(f"{what}, at the server", "ms", tuple(median(run.server) for run in runs), "< 5 ms")
    yield Figure(
        f"{what}, at the server, 99th percentile", "ms", tuple(percentile(r.server, 0.99) for r in runs)
    )
    yield Figure(f"{what}, at the client", "ms", tuple(1e3 * median(run.waits) for run in runs))


def _crowd(tier: str, port: int, request: bytes) -> Figure:
    load.hammer(port, request, connections=_CONNECTIONS, seconds=0.5)
    runs = [load.hammer(port, request, connections=_CONNECTIONS, seconds=_SECONDS) for _ in range(_RUNS)]
    what = f"Cached sentence, {tier}, {_CONNECTIONS} connections, one worker"
    return Figure(what, "requests/s", tuple(run.per_second for run in runs))


def _round_trips(server: Server, request: bytes) -> Iterator[Figure]:
    """Commands that Valkey counted, per answer: alone, and where look-ups that come together share one."""
    for connections in (1, _CONNECTIONS):
        commands, lookups = [], []
        for _ in range(_RUNS):
            with server.valkey() as valkey:
                valkey.config_resetstat()
                answers = len(load.hammer(server.port, request, connections=connections, seconds=0.5).waits)
                counted = valkey.info("commandstats")
            calls = {name: row["calls"] for name, row in counted.items() if "config" not in name}
            commands.append(sum(calls.values()) / answers)
            lookups.append(calls.get("cmdstat_mget", 0) / answers)
        yield Figure(f"Redis only, MGETs for a hit, {connections} connections", "calls", tuple(lookups))
        yield Figure(
            f"Redis only, all commands for a hit, {connections} connections", "calls", tuple(commands)
        )


@contextmanager
def _constant(size: int) -> Iterator[int]:
    """A server that answers anything with the same bytes at once: what is left is the client and the kernel."""
    command = [sys.executable, "-m", "benchmarks.constant", str(size)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()

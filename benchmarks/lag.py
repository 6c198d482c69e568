"""How late the event loop is while the default engine speaks."""

import json
import sys
import time
from collections.abc import Iterator

from benchmarks import asking
from benchmarks.figures import Figure, percentile
from benchmarks.servers import Server, serving

Lateness = list[tuple[float, float]]
"""Seconds late, and how many of them the event loop's thread could have run but had no core."""

_RUNS = 5
_IDLE = 2.0


def measure() -> Iterator[Figure]:
    """Idle, then while cold articles are spoken, one at a time."""
    article = asking.ARTICLE.read_text(encoding="utf-8")
    command = (
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.probe:application",
        "--factory",
        "--log-level",
        "error",
    )
    idle, busy = [], []
    with serving(command=command) as server:
        asking.ask(server.port, article)
        for run in range(_RUNS):
            _lateness(server)
            time.sleep(_IDLE)
            idle.append(_lateness(server))
            asking.ask(server.port, article, speed=1.001 + run / 1000)
            busy.append(_lateness(server))
    yield from _figures("idle", idle, "")
    yield from _figures("while an article is spoken", busy, "< 10 ms")


def _figures(when: str, runs: list[Lateness], must: str) -> Iterator[Figure]:
    late = [[1e3 * wall for wall, _ in run] for run in runs]
    ours = tuple(max(1e3 * (wall - queued) for wall, queued in run) for run in runs)
    yield Figure(f"Event loop {when}, late by, worst", "ms", tuple(max(run) for run in late), must)
    yield Figure(f"Event loop {when}, worst but for waiting for a core", "ms", ours)
    yield Figure(
        f"Event loop {when}, late by, 99.9th percentile", "ms", tuple(percentile(r, 0.999) for r in late)
    )
    yield Figure(
        f"Event loop {when}, late by, 99th percentile", "ms", tuple(percentile(r, 0.99) for r in late)
    )


def _lateness(server: Server) -> Lateness:
    """Since the last call."""
    return [(wall, queued) for wall, queued in json.loads(server.get("/lag"))]

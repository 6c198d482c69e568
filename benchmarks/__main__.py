"""Measure, and print Markdown: `python -m benchmarks`, or only some: `python -m benchmarks hits joining`."""

import sys
import time
from collections.abc import Callable, Iterator

from benchmarks import (
    checks,
    crowd,
    failover,
    followers,
    hits,
    joining,
    lag,
    long,
    machine,
    memory,
    planning,
    reuse,
    starting,
    users,
)
from benchmarks.figures import HEAD, Figure

MEASURES: dict[str, Callable[[], Iterator[Figure]]] = {
    "starting": starting.measure,
    "hits": hits.measure,
    "long": long.measure,
    "joining": joining.measure,
    "checks": checks.measure,
    "crowd": crowd.measure,
    "users": users.measure,
    "followers": followers.measure,
    "failover": failover.measure,
    "memory": memory.measure,
    "lag": lag.measure,
    "planning": planning.measure,
    "reuse": reuse.measure,
}


def main(names: list[str]) -> None:
    """Run what is named, or everything, and print each figure as soon as it is there."""
    if unknown := [name for name in names if name not in MEASURES]:
        raise SystemExit(f"No such measurement: {', '.join(unknown)}. There are {', '.join(MEASURES)}.")
    began = time.monotonic()
    for line in (*machine.describe(), machine.load()):
        print(line, flush=True)
    for name in names or MEASURES:
        print(f"\n### {name}\n\n{HEAD}", flush=True)
        for figure in MEASURES[name]():
            print(figure.row(), flush=True)
    print(f"\n{time.monotonic() - began:.0f} s in all. {machine.load()}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Five hundred who want one cold clip, over two processes, against the usual lock with polling."""

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from benchmarks.figures import Figure, percentile
from benchmarks.follower import Seen
from cache.digest import digest
from cache.embedded import start

ASKERS, PROCESSES, RUNS = 500, 2, 7
DESIGNS = {
    "live": "as it is here",
    "whole": "the whole at its end, by notice",
    "polling": "SET NX and polling",
}


def measure() -> Iterator[Figure]:
    """One synthesis of 300 ms; moments are those of listeners in both processes that do not lead."""
    waits: dict[str, float] = {}
    commands: dict[str, float] = {}
    with _valkey() as url:
        for design, what in DESIGNS.items():
            runs = [_run(url, design, run) for run in range(RUNS)]
            late = [1e3 * (percentile(seen.first, 0.5) - seen.made[0]) for seen in runs]
            must = "30 or less" if design == "live" else ""
            yield Figure(f"{what}: followers' first audio behind the maker's, p50", "ms", tuple(late), must)
            for share in (0.5, 0.99):
                beyond = [1e3 * max(0.0, percentile(seen.done, share) - seen.end[0]) for seen in runs]
                waits[f"{design}{share}"] = sorted(beyond)[len(beyond) // 2]
                name = f"{what}: followers' wait beyond the end of the synthesis, p{share * 100:.0f}"
                yield Figure(name, "ms", tuple(beyond))
            counted = tuple(_commands(url, design, run) / ASKERS for run in range(3))
            commands[design] = sorted(counted)[1]
            yield Figure(f"{what}: Redis commands for each asker", "commands", counted)
    for share in (0.5, 0.99):
        ratio = waits[f"live{share}"] / waits[f"polling{share}"]
        name = f"wait beyond the end, p{share * 100:.0f}, here against polling (medians)"
        yield Figure(name, "times", (ratio,), "a third or less")
    fewer = commands["polling"] / commands["live"]
    yield Figure("Redis commands, polling against here (medians)", "times", (fewer,), "10 or more")


@contextmanager
def _valkey() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="refrain-bench-") as home:
        embedded = asyncio.run(start(Path(home)))
        try:
            yield embedded.url
        finally:
            embedded.release()


def _run(url: str, design: str, run: int) -> Seen:
    """What all listeners saw of one synthesis."""
    name = digest("clip", [design, run, id(url)])
    together = Seen()
    workers = [_worker(url, design, name) for _ in range(PROCESSES)]
    for worker in workers:
        _say(worker)
    for worker in workers:
        assert worker.stdout is not None
        first, done, made, end = json.loads(worker.stdout.readline())
        together.first += first
        together.done += done
        together.made += made
        together.end += end
        worker.communicate(timeout=30)
    if len(together.end) != 1:
        raise SystemExit(f"There were {len(together.end)} syntheses for one clip.")
    return together


def _worker(url: str, design: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.follower", design, url, name, str(ASKERS // PROCESSES)]
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert worker.stdout is not None
    worker.stdout.readline()
    return worker


def _say(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


def _commands(url: str, design: str, run: int) -> float:
    """Commands that arrive at the server, those inside of scripts not counted. Watching slows it: no times here."""
    client = redis.Redis.from_url(url)
    count = 0
    over = threading.Event()

    with client.monitor() as monitor:

        def listen() -> None:
            nonlocal count
            for command in monitor.listen():
                count += command["client_type"] != "lua"
                if command["command"] == "ECHO over":
                    over.set()
                    return

        watching = threading.Thread(target=listen)
        watching.start()
        _run(url, design, 1_000 + run)
        client.echo("over")
        over.wait(30)
        watching.join(30)
    client.close()
    return count - 1

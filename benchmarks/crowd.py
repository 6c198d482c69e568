"""Fifty who want the same cold article at once, of one server and of two that share a Valkey."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import asking
from benchmarks.figures import Figure
from benchmarks.servers import Server, serving

_ASKERS = 50
_RUNS = 3


def measure() -> Iterator[Figure]:
    """Provider calls are what the servers' own metrics counted."""
    article = asking.ARTICLE.read_text(encoding="utf-8")
    yield from _crowd(article, replicas=1)
    yield from _crowd(article, replicas=2)


def _crowd(article: str, replicas: int) -> Iterator[Figure]:
    calls, bodies, first, total, chunks = [], [], [], [], 0
    with ExitStack() as stack:
        servers = [stack.enter_context(serving())]
        while len(servers) < replicas:
            servers.append(stack.enter_context(serving(data_dir=servers[0].data_dir)))
        chunks = len(asking.plan(servers[0].port, article)["chunks"])
        ports = [servers[number % replicas].port for number in range(_ASKERS)]
        for run in range(_RUNS):
            before = _calls(servers)
            answers = asking.ask_together(ports, article, speed=1.001 + run / 1000)
            calls.append(_calls(servers) - before)
            bodies.append(float(len({answer.sha256 for answer in answers})))
            first.append(1e3 * max(answer.first for answer in answers))
            total.append(max(answer.total for answer in answers))
    what = f"{_ASKERS} at once, one cold article, {replicas} server{'s' if replicas > 1 else ''}"
    yield Figure(f"{what}: provider calls for {chunks} chunks", "calls", tuple(calls), f"{chunks}")
    yield Figure(f"{what}: different bodies", "bodies", tuple(bodies), "1")
    yield Figure(f"{what}: first audio of the last", "ms", tuple(first))
    yield Figure(f"{what}: all done", "s", tuple(total))


def _calls(servers: list[Server]) -> float:
    return sum(server.counted("refrain_provider_requests_total") for server in servers)

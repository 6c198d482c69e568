"""Two real servers on one Valkey: `"cache": "refresh"` by many at once."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.http.servers import Server, Valkey

TEXT = "A sentence that came out badly, and is to be said once more."
CONFIG = """
[redis]
url = "{url}"
timeout = "2s"
[providers.slow]
kind = "scripted"
delay = 2.0
attempts = 1
[voices.default]
chain = [{{ provider = "slow", voice = "low" }}]
"""


@pytest.fixture
def replicas() -> Iterator[tuple[Server, Server]]:
    """Two servers and what they share."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as running:
        valkey = Valkey(Path(home))
        running.callback(valkey.stop)
        servers = []
        for name in ("one", "two"):
            servers.append(server := Server(Path(home) / name, CONFIG.format(url=valkey.url)))
            running.callback(_end, server)
        yield servers[0], servers[1]


def _end(server: Server) -> None:
    server.client.close()
    server.process.kill()
    server.process.wait()


async def _crowd(servers: tuple[Server, Server], **body: object) -> list[httpx.Response]:
    """Ten at each at the same time."""
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        asking = [
            client.post(f"{server.url}/v1/audio/speech", json={"input": TEXT, **body})
            for server in servers
            for _ in range(10)
        ]
        return await asyncio.gather(*asking)


async def test_twenty_refreshes_at_two_servers_are_one_call(replicas: tuple[Server, Server]):
    """Twenty who press the button for one sentence would pay for it twenty times."""

    def calls() -> float:
        return sum(server.samples("refrain_provider_requests_total") for server in replicas)

    cold = await _crowd(replicas)
    assert calls() == 1
    fresh = await _crowd(replicas, cache="refresh")
    assert calls() == 2
    assert {answer.status_code for answer in cold + fresh} == {200}
    assert len({answer.content for answer in fresh}) == 1
    outcomes = [
        sum(server.samples("refrain_chunks_total", outcome=outcome) for server in replicas)
        for outcome in ("made", "joined")
    ]
    assert outcomes == [2, 38], "who only listens to it is not charged"
    # It is over: who asks now wants another.
    await _crowd(replicas, cache="refresh")
    assert calls() == 3
    again = await _crowd(replicas)
    assert calls() == 3
    assert {answer.content for answer in again} == {fresh[0].content}

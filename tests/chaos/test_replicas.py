"""Two real servers on one Valkey, one of them killed in the middle of an article."""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.http.servers import ARTICLE, UNTRUSTING, Server, Valkey

CONFIG = """
[redis]
url = "{url}"
timeout = "2s"
[providers.slow]
kind = "scripted"
delay = 0.15
[voices.default]
chain = [{{ provider = "slow", voice = "low" }}]
"""

# Half an article is enough to be in the middle of. The format is what costs least: who takes over does not hang on it.
BODY = {"input": ARTICLE[: len(ARTICLE) // 2], "response_format": "ulaw"}


@pytest.fixture
def replicas() -> Iterator[tuple[Server, Server]]:
    """Two servers and what they share."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as running:
        valkey = Valkey(Path(home))
        running.callback(valkey.stop)
        config = CONFIG.format(url=valkey.url)
        servers = []
        for name in ("one", "two"):
            servers.append(server := Server(Path(home) / name, config))
            running.callback(_end, server)
        yield servers[0], servers[1]


def _end(server: Server) -> None:
    server.client.close()
    server.process.kill()
    server.process.wait()


def test_the_others_finish_when_the_leader_is_killed(replicas: tuple[Server, Server]):
    """A crash of one replica would hang, cut or garble the speech of those who listen at another."""
    leader, follower = replicas
    answers: list[httpx.Response] = []

    def lead() -> None:
        with (
            httpx.Client(base_url=leader.url, timeout=60, verify=UNTRUSTING) as client,
            pytest.raises(httpx.TransportError),
        ):
            client.post("/v1/audio/speech", json=BODY)

    leading = threading.Thread(target=lead)
    leading.start()
    while leader.samples("refrain_provider_requests_total", outcome="ok") < 3:
        time.sleep(0.05)
    following = [threading.Thread(target=lambda: answers.append(follower.post(**BODY))) for _ in range(10)]
    for thread in following:
        thread.start()
    finished = leader.samples("refrain_provider_requests_total", outcome="ok")
    leader.process.send_signal(signal.SIGKILL)
    leading.join(30)
    for thread in following:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [200] * 10
    assert len({answer.content for answer in answers}) == 1
    plan = follower.client.post("/v1/speech/plan", json=BODY).json()
    distinct = len({chunk["digest"] for chunk in plan["chunks"]})
    assert finished < distinct  # it was killed in the middle
    # What was stored is not made again: each clip once more at the most, and the leader's finished ones not at all.
    assert follower.samples("refrain_provider_requests_total") <= distinct - finished + 2
    replayed = follower.get(answers[0].headers["content-location"])
    assert replayed.content == answers[0].content

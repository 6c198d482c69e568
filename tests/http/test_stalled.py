"""Promise 24: readers who stop reading are held for little, and not for long; nobody waits for them."""

import json
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from redis import Redis

from tests.http.servers import Server, Valkey

MIB = 2**20
WARM, LIVE = 500, 50
SPEECH = " ".join(
    f"The keeper of the bridge counted {n} boats and wrote their number down before evening."
    for n in range(60)
)
"""As mp3 some 2.6 MB by the scripted voice."""
COLD = SPEECH.replace("boats", "geese")
CONFIG = """
[redis]
url = "{url}"
timeout = "2s"
[providers.quick]
kind = "scripted"
[providers.slow]
kind = "scripted"
pace = 0.005
[voices.default]
chain = [{{ provider = "quick", voice = "low" }}]
[voices.slow]
chain = [{{ provider = "slow", voice = "low" }}]
"""


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    """Starts a server that cuts the stalled after so many seconds; `SPEECH` is warm unless it is not needed."""
    with tempfile.TemporaryDirectory() as path, ExitStack() as running:
        home = Path(path)
        valkey = Valkey(home)
        running.callback(valkey.stop)

        def start(stalled: float, *, warmed: bool = True) -> Server:
            prelude = f"import app.http.wire; app.http.wire.STALLED = {stalled}"
            server = Server(home / "one", CONFIG.format(url=valkey.url), prelude=prelude)
            running.callback(server.stop)
            if warmed:
                warm(server, valkey)
            return server

        yield start


def warm(server: Server, valkey: Valkey) -> None:
    """Copies of one clip for all of the speech, and its manifest."""
    made = server.client.post("/v1/speech/plan", json={"input": SPEECH}).json()["chunks"]
    server.post(input=made[0]["text"]).raise_for_status()
    with Redis(unix_socket_path=valkey.socket) as redis:
        key = "refrain:1:clip:{{{}}}".format
        while (value := redis.get(key(made[0]["digest"]))) is None:
            time.sleep(0.01)
        for chunk in made:
            redis.set(key(chunk["digest"]), value, px=10**8)
    for _ in range(3):
        whole = server.post(input=SPEECH)
        assert (whole.status_code, len(whole.content) > 2 * MIB) == (200, True)
        assert "etag" in whole.headers


def stalled(server: Server, **body: object) -> socket.socket:
    """Somebody who asks, and then reads nothing."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    reader.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    data = json.dumps(body).encode()
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    reader.sendall(head.encode() + data)
    return reader


def answered(server: Server) -> float:
    """Answers begun."""
    return server.samples("refrain_requests_total", route="/v1/audio/speech", status="200")


def reading(server: Server) -> float:
    """Seconds that somebody takes for all of the speech who reads it."""
    began = time.perf_counter()
    assert len(server.post(input=SPEECH).content) > 2 * MIB
    return time.perf_counter() - began


def connections(server: Server) -> int:
    """Of clients, as the kernel knows them."""
    found = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(one.status != psutil.CONN_LISTEN for one in found)


def assert_stalled_readers_are_bearable(server: Server, readers: list[socket.socket]) -> float:
    """MiB by which the process has grown with all of them."""
    process = psutil.Process(server.process.pid)
    alone = statistics.median(reading(server) for _ in range(5))
    before, begun = process.memory_info().rss, answered(server)
    readers += [stalled(server, input=SPEECH) for _ in range(WARM)]
    readers += [stalled(server, input=COLD, voice="slow") for _ in range(LIVE)]
    while answered(server) < begun + WARM + LIVE:
        time.sleep(0.05)
    beside = statistics.median(reading(server) for _ in range(5))
    grown = (process.memory_info().rss - before) / MIB
    assert grown < 100
    assert beside < 10 * alone + 0.5
    return grown


def test_the_stalled_cost_little_and_are_cut(serving: Callable[..., Server]):
    """Five hundred phones in a tunnel would end the process for everybody."""
    server = serving(4.0)
    readers: list[socket.socket] = []
    try:
        assert_stalled_readers_are_bearable(server, readers)
        # All of them, whatever of their answers lay ready: nothing of them stays.
        while connections(server) > 2:
            time.sleep(0.05)
        for reader in readers[:: WARM // 10]:
            assert not whole(reader)
    finally:
        for reader in readers:
            reader.close()


def whole(reader: socket.socket) -> bool:
    """Whether an answer turns out complete, read at last."""
    reader.settimeout(10)
    data = b""
    try:
        while piece := reader.recv(65_536):
            data += piece
    except ConnectionResetError:
        return False
    head, _, body = data.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    return f"content-length: {len(body)}\r\n".encode() in head


def test_the_maker_is_not_slowed_by_the_slowest(serving: Callable[..., Server]):
    """One listener who stops would keep all others of the same speech waiting."""
    server = serving(60.0, warmed=False)
    text = COLD[: len(COLD) // 4]
    with stalled(server, input=text, voice="slow"):
        got = server.post(input=text, voice="slow")
        assert got.status_code == 200
        assert len(got.content) > MIB // 2
        assert connections(server) >= 2, "the other one is there still"


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_the_stalled_are_cut_after_thirty_seconds(serving: Callable[..., Server]):
    """As it is shipped."""
    server = serving(30.0)
    readers: list[socket.socket] = []
    try:
        grown = assert_stalled_readers_are_bearable(server, readers)
        began = time.monotonic()
        while connections(server) > 2:
            time.sleep(0.1)
        assert time.monotonic() - began < 60, f"grown by {grown:.0f} MiB"
    finally:
        for reader in readers:
            reader.close()


def test_who_reads_slowly_is_not_cut(serving: Callable[[float], Server]):
    """A player that reads as it plays takes some kB a second, and would lose the end of every long speech."""
    server = serving(1.0)
    reader = stalled(server, input=SPEECH)
    with reader:
        reader.settimeout(10)
        got = 0
        for _ in range(16):  # four times as long as a stalled reader has; the loop's clock cannot be injected
            time.sleep(0.25)
            got += len(reader.recv(8_000))
        assert got > 16 * 4_000
        assert connections(server) >= 1

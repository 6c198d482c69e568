"""One user floods the cache: what others use stays."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cache.cache import Cache, open_cache
from cache.interface import Entry
from cache.value import new_entry
from tests.cache.conftest import Server

OTHERS = 200
"""Entries that other users ask for again and again, of 20 kB each."""


@pytest.fixture
def small() -> Iterator[Server]:
    """A server that is soon full, with the policy that operators are told to set."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home), "--maxmemory", "12mb", "--maxmemory-policy", "volatile-lfu")
        yield server
        server.stop()


@pytest.fixture
async def cache(small: Server) -> AsyncIterator[Cache]:
    """Memory of 8 MiB, and that server behind it; commands may take their time, the machine is busy."""
    cache = open_cache(memory_bytes=8 * 2**20, redis_url=small.url, timeout=5.0)
    yield cache
    await cache.aclose()


async def flood(cache: Cache, keys: int, often: int) -> float:
    """So many keys put, and after each `often` of them one of the others' asked for. The share that was found."""
    others = [f"{number:040x}" for number in range(OTHERS)]
    for digest in others * 4:
        (found,) = await cache.get_many([digest])
        if found is None:
            await cache.put(digest, _entry(20_000))
    asked = found_again = 0
    stranger = _entry(300)
    for start in range(0, keys, often):
        names = [f"{10**12 + number:040x}" for number in range(start, min(start + often, keys))]
        await asyncio.gather(*(cache.put(name, stranger) for name in names))
        digest = others[asked % OTHERS]
        (found,) = await cache.get_many([digest])
        asked += 1
        found_again += found is not None
        if found is None:
            await cache.put(digest, _entry(20_000))
    return found_again / asked


def _entry(size: int) -> Entry:
    return new_entry(b"{}", bytes(size), made_at=time.time(), ttl=3600.0)


async def test_what_others_use_survives_a_flood(cache: Cache, small: Server):
    """One user's texts, put one after the other, would have everybody else's spoken and paid for again."""
    assert await flood(cache, 40_000, 50) > 0.99
    assert b"evicted_keys:0\r" not in small.command("INFO", "stats")


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_what_others_use_survives_a_million_keys(cache: Cache, small: Server):
    """The same with a million, where everything else has been driven out of both tiers many times over."""
    assert await flood(cache, 1_000_000, 250) > 0.99
    held = cache.statistics().memory
    assert (held.bytes or 0) <= 8 * 2**20

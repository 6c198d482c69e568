"""What every tier must do: one suite over all of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.archive import open_archive
from cache.interface import Tier
from cache.memory import MemoryTier
from cache.shared import Shared
from tests.cache.conftest import sound

A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.fixture(params=["memory", "redis", "directory", "bucket"])
async def tier(request: pytest.FixtureRequest, shared: Shared, tmp_path: Path) -> AsyncIterator[Tier]:
    """Each tier in turn, empty."""
    match request.param:
        case "memory":
            yield MemoryTier(1 << 20)
        case "redis":
            yield shared.tier
        case where:
            url = tmp_path.as_uri() if where == "directory" else "memory:///"
            archive = open_archive(url)
            yield archive
            await archive.aclose()


async def test_entries_come_back_in_the_order_asked(tier: Tier):
    """Clips out of order are sentences out of order."""
    one, other = sound(b"one"), sound(b"other" * 20_000)
    await tier.put(A, one)
    await tier.put(B, other)
    assert await tier.get_many([B, C, A, B]) == [other, None, one, other]


async def test_nothing_asked_is_nothing_found(tier: Tier):
    """A speech without clips must not become an error of the server."""
    assert await tier.get_many([]) == []


async def test_an_empty_payload_is_kept(tier: Tier):
    """A manifest may be all meta."""
    await tier.put(A, sound(b""))
    assert (await tier.get_many([A]))[0] is not None


async def test_putting_again_replaces(tier: Tier):
    """A refreshed clip must not leave the old one behind."""
    await tier.put(A, sound(b"old"))
    await tier.put(A, new := sound(b"new"))
    assert await tier.get_many([A]) == [new]


async def test_deleting_forgets_and_says_whether_it_was_there(tier: Tier):
    """A purge that reports success must have had something to purge."""
    await tier.put(A, sound())
    assert await tier.delete(A)
    assert not await tier.delete(A)
    assert await tier.get_many([A]) == [None]


async def test_what_has_expired_is_not_stored(tier: Tier):
    """A lifetime that is over must not start again in another tier."""
    await tier.put(A, sound(ttl=-1.0))
    assert await tier.get_many([A]) == [None]


async def test_hits_and_misses_are_counted(tier: Tier):
    """Operators size the cache by these figures."""
    await tier.put(A, sound())
    await asyncio.gather(tier.get_many([A, B]), tier.get_many([A]))
    statistics = tier.statistics()
    assert (statistics.hits, statistics.misses) == (2, 1)

"""One user floods the cache: what others use stays."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from cache.asker import asking
from cache.cache import Cache, open_cache
from cache.flight import Made
from cache.interface import Entry
from cache.value import new_entry
from tests.cache.conftest import Server

MEMORY = 8 * 2**20
OTHERS = [f"{number:040x}" for number in range(150)]
"""What other users ask for, of 20 kB each: 3 MB, less than half of either tier."""
BUDGET = 2 * 2**20
Open = Callable[..., Cache]


@pytest.fixture
def small() -> Iterator[Server]:
    """A server that is soon full, with the policy that the embedded one has and operators are told to set."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home), "--maxmemory", "12mb", "--maxmemory-policy", "volatile-lfu")
        yield server
        server.stop()


@pytest.fixture
async def replica(small: Server) -> AsyncIterator[Open]:
    """Makes replicas on that server; commands may take their time, the machine is busy."""
    made: list[Cache] = []

    def more(*, owner_share: float = 0.5, owner_budget: float = BUDGET, brief: float = 0.5) -> Cache:
        made.append(
            open_cache(
                memory_bytes=MEMORY,
                redis_url=small.url,
                timeout=5.0,
                owner_share=owner_share,
                owner_budget=owner_budget,
                brief=brief,
            )
        )
        return made[-1]

    yield more
    for cache in made:
        await cache.aclose()


async def ask(cache: Cache, digest: str, entry: Entry) -> bool:
    """As the service does for one clip: look, and fly for what is not there. Whether it was there."""
    (found,) = await cache.get_many([digest])
    if found is None:

        async def make(_: Callable[[bytes], None]) -> Made:
            return Made(entry.meta, entry.payload, 3600.0)

        async with cache.board(digest, make) as seat:
            await seat.entry()
    return found is not None


async def flood(cache: Cache, keys: int, *, times: int, often: int, at_once: int = 25) -> float:
    """One user asks so many `times` for each of so many keys, others for one of theirs after each `often` of them.

    The share of what the others asked for that was in this process' memory or in Redis.
    """
    theirs, stranger = _entry(20_000), _entry(300)
    with asking("others"):
        for digest in OTHERS * 4:
            await ask(cache, digest, theirs)

    async def replay(number: int) -> None:
        for _ in range(times):
            await ask(cache, f"{10**12 + number:040x}", stranger)

    asked = found = 0
    for start in range(0, keys, at_once):
        with asking("flooder"):
            await asyncio.gather(*map(replay, range(start, start + at_once)))
        for _ in range(max(1, at_once // often) if start % often < at_once else 0):
            with asking("others"):
                found += await ask(cache, OTHERS[asked % len(OTHERS)], theirs)
            asked += 1
    return found / asked


def _entry(size: int) -> Entry:
    return new_entry(b"{}", bytes(size), made_at=time.time(), ttl=3600.0)


def left_in_redis(small: Server) -> float:
    """The share of the others' entries that the server still has."""
    from cache.link import Keys  # noqa: PLC0415

    keys = [Keys().of("clip", digest) for digest in OTHERS]
    return int(small.command("EXISTS", *keys).strip(b":\r\n")) / len(OTHERS)


async def test_what_others_use_survives_who_asks_three_times_for_everything(replica: Open, small: Server):
    """Who has each text spoken and plays it twice would have everybody else's spoken and paid for again."""
    cache = replica()
    assert await flood(cache, 20_000, times=3, often=50) >= 0.95
    assert left_in_redis(small) >= 0.95
    assert cache.statistics().over_budget > 10_000
    assert (cache.statistics().memory.bytes or 0) <= MEMORY

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
from cache.link import Keys
from cache.value import new_entry
from tests.cache.conftest import Server

MEMORY = 4 * 2**20
OTHERS = [f"{number:040x}" for number in range(75)]
"""What other users ask for, of 20 kB each: 1.5 MB, less than half of either tier."""
BUDGET = 2**20
Open = Callable[..., Cache]


@pytest.fixture
def small() -> Iterator[Server]:
    """A server that is soon full, with the policy that the embedded one has and operators are told to set."""
    with tempfile.TemporaryDirectory() as home:
        # With room for what is stored within a tenth of a second, which is how often a server drops what has expired.
        server = Server(Path(home), "--maxmemory", "8mb", "--maxmemory-policy", "volatile-lfu")
        yield server
        server.stop()


@pytest.fixture
async def replica(small: Server) -> AsyncIterator[Open]:
    """Makes replicas on that server; commands may take their time, the machine is busy."""
    made: list[Cache] = []

    def more(*, owner_share: float = 0.5, owner_budget: float = BUDGET, brief: float = 0.03) -> Cache:
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


async def flood(cache: Cache, keys: int, *, times: int = 3) -> float:
    """One user asks so many `times` for each of so many keys, others after each 25th for one of theirs.

    The share of what the others asked for that was in this process' memory or in Redis.
    """
    theirs, stranger = _entry(20_000), _entry(5_000)
    with asking("others"):
        for digest in OTHERS * 4:
            await ask(cache, digest, theirs)

    async def replay(number: int) -> None:
        for _ in range(times):
            await ask(cache, f"{10**12 + number:040x}", stranger)

    asked = found = 0
    for start in range(0, keys, 25):
        with asking("flooder"):
            await asyncio.gather(*map(replay, range(start, start + 25)))
        with asking("others"):
            found += await ask(cache, OTHERS[asked % len(OTHERS)], theirs)
        asked += 1
    return found / asked


def _entry(size: int) -> Entry:
    return new_entry(b"{}", bytes(size), made_at=time.time(), ttl=3600.0)


def left_in_redis(small: Server) -> float:
    """The share of the others' entries that the server still has."""
    keys = [Keys().of("clip", digest) for digest in OTHERS]
    return int(small.command("EXISTS", *keys).strip(b":\r\n")) / len(OTHERS)


async def flooded(cache: Cache, small: Server, keys: int) -> None:
    """What must hold after the flood."""
    assert await flood(cache, keys) >= 0.95
    here = await cache.has_all(OTHERS)
    assert here
    assert left_in_redis(small) >= 0.95
    statistics = cache.statistics()
    assert statistics.over_budget > 0.9 * keys
    assert (statistics.memory.bytes or 0) <= MEMORY


async def test_what_others_use_survives_who_asks_three_times_for_everything(replica: Open, small: Server):
    """Who has each text spoken and plays it twice would have everybody else's spoken and paid for again."""
    # Were he not held to his budget, 4 % of theirs would be left in Redis by now.
    await flooded(replica(), small, 5_000)


async def test_who_is_alone_may_have_all_of_it(replica: Open):
    """The one user of an installation of his own would have half a cache."""
    cache = replica(owner_budget=10_000)
    with asking("alone"):
        for digest in OTHERS * 3:
            await ask(cache, digest, _entry(50_000))
        # 3.75 MB of 4 MiB.
        assert all([await ask(cache, digest, _entry(50_000)) for digest in OTHERS])
    assert cache.statistics().memory.entries == len(OTHERS)
    assert cache.statistics().over_budget == 0


async def test_a_flood_on_another_replica_is_counted_too(replica: Open, small: Server):
    """With each replica behind the balancer a user would get another budget."""
    one, other = replica(), replica()
    with asking("others"):
        await ask(other, OTHERS[0], _entry(100))
    with asking("flooder"):
        for number in range(60):
            await ask(one, f"{10**12 + number:040x}", _entry(20_000))
        assert one.statistics().over_budget > 0
        key = Keys().of("stored", str(int(time.time() // 86400)))
        while b"flooder" not in small.command("HKEYS", key):  # noqa: ASYNC110 - told within a second
            await asyncio.sleep(0.01)
        number = 0
        while not other.statistics().over_budget:
            assert number < 40, "a second budget"
            await ask(other, f"{10**13 + number:040x}", _entry(20_000))
            number += 1
            await asyncio.sleep(0.1)


async def test_who_is_over_his_budget_shortens_no_life_of_what_is_there(replica: Open, small: Server):
    """A flooder who puts another tag on everybody's speech would have it gone a moment later."""
    cache = replica(owner_budget=0)
    with asking("others"):
        await cache.get_many([OTHERS[0]])
    await cache.put(OTHERS[1], _entry(100))
    with asking("flooder"):
        await cache.put(OTHERS[1], _entry(200))
        await cache.put(OTHERS[2], _entry(200))
    there, brief = (
        int(small.command("PTTL", Keys().of("clip", digest)).strip(b":\r\n")) for digest in OTHERS[1:3]
    )
    assert there > 3_000_000
    assert brief <= 30
    assert int(small.command("STRLEN", Keys().of("clip", OTHERS[1])).strip(b":\r\n")) > 200


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_what_others_use_survives_a_million_keys(replica: Open, small: Server):
    """The same with a million, where everything else would have been driven out of both tiers many times over."""
    # On a busy machine bursts of what is there for a moment are longer.
    small.command("CONFIG", "SET", "maxmemory", "16mb")
    await flooded(replica(), small, 1_000_000)

"""Scripts that ride along: one trip for look-up and errand, whatever Redis does."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.errands import Errands
from cache.errors import Away
from cache.interface import Entry
from cache.link import Answer, Keys, RedisLink, Script
from cache.redis import RedisTier
from cache.value import new_entry
from tests.cache.conftest import Server
from tests.http.servers import until

ONE = "a" * 40


@pytest.fixture
async def link(valkey: Server, keys: Keys) -> AsyncIterator[RedisLink]:
    """To the common server."""
    link = RedisLink(valkey.url, keys=keys, timeout=5)
    yield link
    await link.aclose()


@pytest.fixture
def errands(link: RedisLink) -> Errands:
    """To the common server."""
    return Errands(link)


def adding(link: RedisLink) -> Script:
    """Adds its argument to its key."""
    return Script(link.client, "return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def calls(link: RedisLink, command: str) -> int:
    """How often the server has run it."""
    told = await link.client.info("commandstats")
    return int(told.get(f"cmdstat_{command}", {}).get("calls", 0))


class Counted(RedisLink):
    """How many trips there were."""

    trips = 0

    async def call(self, operation):  # noqa: ANN001 - as the original
        """As it does."""
        self.trips += 1
        return await super().call(operation)


@pytest.fixture
async def counted(valkey: Server, keys: Keys) -> AsyncIterator[Counted]:
    """To the common server."""
    link = Counted(valkey.url, keys=keys, timeout=5)
    yield link
    await link.aclose()


async def test_an_errand_goes_with_the_look_up(counted: Counted):
    """Each hit of a limited user would be two trips."""
    errands = Errands(counted)
    tier = RedisTier(counted, errands)
    script, key = adding(counted), counted.keys.of("sum", ONE)
    await errands.run(script, [key], [1])  # the server knows the script now
    await tier.put(ONE, new_entry(b"{}", b"sound", made_at=2e9, ttl=60))
    before = counted.trips
    errand = errands.run(script, [key], [2])
    (entry,) = await tier.get_many([ONE])
    assert entry is not None
    assert entry.payload == b"sound"
    assert await errand == 3
    assert counted.trips == before + 1


async def test_errands_of_one_turn_go_together(counted: Counted):
    """A crowd would be as many trips."""
    errands = Errands(counted)
    script, key = adding(counted), counted.keys.of("sum", ONE)
    await errands.run(script, [key], [0])
    before = counted.trips
    came = await asyncio.gather(*(errands.run(script, [key], [1]) for _ in range(50)))
    assert sorted(came) == list(range(1, 51))
    assert counted.trips == before + 1


@pytest.mark.parametrize("along", [True, False])
async def test_a_server_that_has_forgotten_a_script_is_sent_it(link: RedisLink, *, along: bool):
    """A restart of Redis would end all limits; none may run twice either."""
    errands = Errands(link)
    tier = RedisTier(link, errands)
    script, key = adding(link), link.keys.of("sum", ONE)
    await link.client.script_flush()
    errand = errands.run(script, [key], [5])
    if along:
        await tier.get_many([ONE])
    assert await errand == 5
    await errands.aclose()


@pytest.mark.parametrize("along", [True, False])
async def test_an_error_of_one_errand_is_its_own(link: RedisLink, *, along: bool):
    """One script's mistake would be everybody's outage."""
    errands = Errands(link)
    tier = RedisTier(link, errands)
    script, key = adding(link), link.keys.of("sum", ONE)
    await errands.run(script, [key], [1])
    await tier.put(ONE, new_entry(b"{}", b"sound", made_at=2e9, ttl=60))
    bad, good = errands.run(script, [key], ["no number"]), errands.run(script, [key], [1])
    if along:
        (entry,) = await tier.get_many([ONE])
        assert entry is not None
    assert isinstance(await bad, Away)
    assert await good == 2
    assert not link.outage.open


async def test_what_is_asked_for_at_the_end_is_done_and_behind_it_is_not(valkey: Server, keys: Keys):
    """A connection opened behind the closing stays for ever, and what was spoken last would be on nobody's bill."""
    link = RedisLink(valkey.url, keys=keys, timeout=5)
    errands, script = Errands(link), adding(link)
    key = keys.of("errand", ONE)
    first = errands.run(script, [key], [1])
    second: list[asyncio.Future[Answer | Away]] = []
    first.add_done_callback(lambda _: second.append(errands.run(script, [key], [10])))
    await errands.aclose()
    assert (first.result(), second[0].result()) == (1, 11)
    await link.aclose()
    assert isinstance(await errands.run(script, [key], [100]), Away)
    assert not any(one.is_connected for one in link.client.connection_pool._available_connections)
    assert valkey.command("GET", key) == b"$2\r\n11\r\n"


@pytest.mark.parametrize("along", [True, False])
async def test_a_server_that_hangs_is_away(victim: Server, keys: Keys, *, along: bool):
    """Whoever waits for an errand would wait for ever, or raise where nobody listens."""
    link = RedisLink(victim.url, keys=keys, timeout=0.1)
    errands = Errands(link)
    tier = RedisTier(link, errands)
    await tier.get_many([ONE])
    victim.send(signal.SIGSTOP)
    errand = errands.run(adding(link), [keys.of("sum", ONE)], [1])
    if along:
        assert await tier.get_many([ONE]) == [None]
    assert isinstance(await errand, Away)
    assert isinstance(await errands.run(adding(link), [keys.of("sum", ONE)], [1]), Away), "and now at once"
    victim.send(signal.SIGCONT)
    await errands.aclose()
    await link.aclose()


async def test_a_reader_that_is_ended_leaves_nobody_waiting(victim: Server, keys: Keys):
    """A process that ends would hang with those whose errand had been taken along."""
    link = RedisLink(victim.url, keys=keys, timeout=10)
    errands = Errands(link)
    tier = RedisTier(link, errands)
    await tier.get_many([ONE])
    victim.send(signal.SIGSTOP)
    asked: list[asyncio.Future[Answer | Away]] = []

    async def look() -> list[Entry | None]:
        """In one turn with it, as requests do: else it would go by itself."""
        asked.append(errands.run(adding(link), [keys.of("sum", ONE)], [1]))
        return await tier.get_many([ONE])

    looking = asyncio.create_task(look())
    await until(lambda: bool(asked) and not errands._waiting)
    await tier.aclose()
    assert await looking == [None]
    assert asked[0].done(), "and not only when Redis has not answered for so long"
    assert isinstance(await asked[0], Away)
    victim.send(signal.SIGCONT)
    await errands.aclose()
    await link.aclose()


async def test_in_a_cluster_each_goes_to_its_own_node(nodes: object, keys: Keys, tmp_path: Path):
    """Limits would be an error where Redis is a cluster."""
    link = RedisLink(nodes.url, keys=keys, timeout=5)  # type: ignore[attr-defined]
    errands = Errands(link)
    names = [link.keys.of("sum", f"{number:040x}") for number in range(20)]
    came = await asyncio.gather(*(errands.run(adding(link), [name], [7]) for name in names))
    assert came == [7] * 20
    again = await asyncio.gather(*(errands.run(adding(link), [name], [1]) for name in names))
    assert again == [8] * 20
    await errands.aclose()
    await link.aclose()

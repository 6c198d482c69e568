"""A line to Redis on which things are lost, late or swallowed; and a server that refuses. Nobody waits long."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from cache.cache import Cache, open_cache
from cache.errors import Away
from cache.flight import Made
from cache.lease import Alone, Found, Lead
from cache.link import Keys
from cache.purges import START
from cache.shared import Shared
from tests.cache.conftest import Server, sound, until
from tests.cache.proxy import Mode, Proxy, proxied

A = "a" * 40


@pytest.fixture
async def proxy(valkey: Server) -> AsyncIterator[Proxy]:
    """A line to the common server."""
    async with proxied(valkey.socket) as proxy:
        yield proxy


@pytest.fixture
async def shared(proxy: Proxy, open_shared: Callable[..., Shared]) -> Shared:
    """One process' share, over that line."""
    return open_shared(proxy)


@pytest.fixture
async def cache(proxy: Proxy, keys: Keys) -> AsyncIterator[Cache]:
    """A whole cache over that line."""
    cache = open_cache(memory_bytes=2**20, redis_url=proxy.url, keys=keys)
    yield cache
    await cache.aclose()


class Maker:
    """A synthesis that counts, and takes no time."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, _emit: Callable[[bytes], None]) -> Made:
        """The sound."""
        self.calls += 1
        await asyncio.sleep(0)
        return Made(b"{}", b"sound", 60.0)


async def speak(cache: Cache, digest: str, make: Maker) -> bytes:
    """One request as the service makes it: look up, then board."""
    (entry,) = await cache.get_many([digest])
    if entry is None:
        async with cache.board(digest, make) as seat:
            entry = await seat.entry()
    return entry.payload


async def settled(cache: Cache) -> None:
    """Until what was made is stored."""
    await until(lambda: cache.statistics().flights.under_way == 0)


async def read_the_log(cache: Cache) -> None:
    """Until it has seen for the first time what was purged: that is asked beside all else."""
    shared = cache._shared
    assert shared is not None
    await until(lambda: shared.purges.mark != START)


def also(*modes: Mode) -> list[object]:
    """Further faults, much like those of every run."""
    return [pytest.param(mode, marks=pytest.mark.soak) for mode in modes]


@pytest.mark.parametrize("mode", ["refuse", "lose", "hole", *also("cut", "snap", "delay", "trickle")])
async def test_a_sick_line_costs_one_time_out_and_is_used_again_when_it_is_well(
    proxy: Proxy, cache: Cache, keys: Keys, valkey: Server, mode: Mode
):
    """Each request of each listener would wait, and everybody who wants the same would have it made again."""
    make = Maker()
    await speak(cache, A, make)
    await settled(cache)
    await read_the_log(cache)
    await proxy.switch(mode, seconds={"delay": 1.0, "trickle": 0.05}.get(mode, 0.0))
    began = time.perf_counter()
    for number in range(20):
        await speak(cache, f"{number:040x}", make)
    # Counted in time-outs, not in seconds: the first look-up fails, and from then on nobody asks.
    assert cache.statistics().redis.errors == 1
    assert time.perf_counter() - began < 1.0  # each for itself: 2 s and more
    calls = make.calls
    crowd = await asyncio.gather(*(speak(cache, "c" * 40, make) for _ in range(50)))
    assert (set(crowd), make.calls) == ({b"sound"}, calls + 1)
    assert await speak(cache, A, make) == b"sound"
    assert make.calls == calls + 1
    await proxy.switch("pass")
    await until(lambda: not cache.statistics().redis_away)
    await speak(cache, "d" * 40, make)
    await settled(cache)
    assert valkey.command("EXISTS", keys.of("clip", "d" * 40)) == b":1\r\n"


async def test_a_crowd_at_the_moment_of_the_fault_waits_together(proxy: Proxy, cache: Cache):
    """With sixteen connections and 500 who wait, each would else wait for those before it."""
    make = Maker()
    await speak(cache, A, make)
    await proxy.switch("hole")
    began = time.perf_counter()
    await asyncio.gather(*(speak(cache, f"{number:040x}", make) for number in range(500)))
    assert (
        time.perf_counter() - began < 2.0
    )  # one after the other: 3 s through 16 connections, 50 s through one
    assert make.calls == 501
    assert cache.statistics().redis.errors <= 16


async def test_five_hundred_commands_at_once_find_a_connection(
    proxy: Proxy, open_shared: Callable[..., Shared]
):
    """redis-py's pool fails at once when it is exhausted: 400 of 500."""
    shared = open_shared(proxy, timeout=5.0)
    client, key = shared.link.client, shared.link.keys.of("clip", A)
    await shared.link.call(lambda: client.set(key, b"x", px=60_000))
    answers = await asyncio.gather(*(shared.link.call(lambda: client.get(key)) for _ in range(500)))
    assert answers == [b"x"] * 500
    assert shared.link.errors == 0


@pytest.mark.parametrize("mode", ["lose", *also("snap")])
async def test_what_ran_though_its_reply_was_lost_can_be_said_again(
    proxy: Proxy, shared: Shared, valkey: Server, mode: Mode
):
    """A lease would be held by nobody, or a finished clip be refused to the one who made it."""
    leases, entry = shared.leases, sound()

    async def lost(operation: Callable[[], object], word: bytes) -> object:
        await proxy.switch(mode, when=lambda request: word in request)
        answer = await operation()
        assert proxy.struck.is_set()
        await proxy.switch("pass")
        await until(lambda: not shared.link.outage.open)
        return answer

    # Each script once before: of one that the server does not know, the lost reply would only say so.
    await leases.join("f" * 40, "warm")
    await leases.finish("f" * 40, "other", entry, 60.0)
    await leases.fail("f" * 40, "other")
    assert await lost(lambda: leases.join(A, "one"), A.encode()) == Alone()
    assert valkey.command("EXISTS", shared.link.keys.of("lease", A)) == b":1\r\n"  # it ran
    assert await leases.join(A, "one") == Lead()
    assert await lost(lambda: leases.finish(A, "one", entry, 60.0), A.encode()) == "away"
    assert valkey.command("EXISTS", shared.link.keys.of("lease", A)) == b":0\r\n"
    assert await leases.join(A, "one") == Found(entry)
    assert await leases.finish(A, "one", sound(b"other"), 60.0) == "refused"
    await lost(lambda: shared.tier.put("b" * 40, entry), b"b" * 40)
    await shared.tier.put("b" * 40, entry)
    assert await shared.tier.get_many([A, "b" * 40]) == [entry, entry]
    await leases.join("c" * 40, "one")
    await lost(lambda: leases.fail("c" * 40, "one", "quota", 1.0), b"c" * 40)
    await leases.fail("c" * 40, "one", "quota", 1.0)
    await leases.join("f" * 40, "warm")


async def test_a_cancelled_command_leaves_no_answer_for_the_next(
    proxy: Proxy, open_shared: Callable[..., Shared]
):
    """A client that hangs up would have the next one given its clip."""
    shared = open_shared(proxy, timeout=5.0)
    entries = {f"{number:040x}": sound(b"%d" % number) for number in range(32)}
    for digest, entry in entries.items():
        await shared.tier.put(digest, entry)
    await proxy.switch("delay", seconds=0.03)
    key = shared.link.keys.of
    for digest in entries:
        asking = asyncio.create_task(
            shared.link.call(lambda d=digest: shared.link.client.get(key("clip", d)))
        )
        await asyncio.wait([asking], timeout=0.005)
        asking.cancel()
    await proxy.switch("pass")
    for digest, entry in entries.items():
        assert await shared.tier.get_many([digest]) == [entry]
    assert shared.link.errors == 0


async def test_a_replica_gives_what_it_has_and_is_no_outage(
    victim: Server, open_shared: Callable[..., Shared]
):
    """After a fail-over by hand the cache would be gone for reading too."""
    shared = open_shared(victim)
    await shared.tier.put(A, entry := sound())
    victim.command("CONFIG", "SET", "replica-serve-stale-data", "yes")
    victim.command("REPLICAOF", "127.0.0.1", "1")
    await shared.tier.put("b" * 40, sound())
    assert await shared.leases.join("b" * 40, "one") == Alone()
    assert await shared.tier.get_many([A, "b" * 40]) == [entry, None]
    assert not shared.link.outage.open
    victim.command("REPLICAOF", "NO", "ONE")
    assert await shared.leases.join("b" * 40, "one") == Lead()


async def test_a_name_that_has_become_another_servers_is_followed(
    valkey: Server, victim: Server, open_shared: Callable[..., Shared]
):
    """Managed fail-overs move a name: open connections would go on to the old master, which refuses all writes."""
    async with proxied(victim.socket) as name:
        shared = open_shared(name)
        await shared.tier.put(A, sound())
        name.server = valkey.socket  # whoever connects from now on gets there
        await shared.tier.put("b" * 40, sound())
        assert victim.command("EXISTS", shared.link.keys.of("clip", "b" * 40)) == b":1\r\n"
        victim.command("REPLICAOF", "127.0.0.1", "1")
        while valkey.command("EXISTS", shared.link.keys.of("clip", "c" * 40)) == b":0\r\n":
            await shared.tier.put("c" * 40, sound())
        assert not shared.link.outage.open


async def test_a_server_that_takes_no_more_clients_is_an_outage_that_ends(
    victim: Server, open_shared: Callable[..., Shared]
):
    """Others have used up its connections: nobody may get an error for it, and it must pass."""
    shared = open_shared(victim)
    victim.command("CONFIG", "SET", "maxclients", "1")
    _, other = await asyncio.open_unix_connection(victim.socket)
    assert await shared.tier.get_many([A]) == [None]
    assert shared.link.outage.open
    with pytest.raises(Away):
        await shared.link.call(shared.link.client.ping)
    other.close()
    await until(lambda: not shared.link.outage.open)
    await shared.tier.put(A, entry := sound())
    assert await shared.tier.get_many([A]) == [entry]

"""One synthesis over processes: leases against a real server, replicas as separate shares, and real processes."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest

from cache.cache import Cache, open_cache
from cache.errors import FlightFailed
from cache.flight import Made
from cache.lease import Alone, Failed, Follow, Found, Lead
from cache.link import Keys
from cache.shared import Shared
from tests.cache.conftest import Server, sound, until
from tests.cache.leader import leader_process

A = "a" * 40
Replicas = Callable[..., Cache]


@pytest.fixture
async def replica(valkey: Server, keys: Keys) -> AsyncIterator[Replicas]:
    """Makes caches that share a server but no memory, as those of several machines do."""
    made: list[Cache] = []

    def more(**arguments: object) -> Cache:
        # A server that takes its time on a busy machine is no outage, in which more than one would make it.
        settings = {"memory_bytes": 1 << 20, "redis_url": valkey.url, "keys": keys, "timeout": 10.0}
        settings |= arguments
        made.append(open_cache(**settings))
        return made[-1]

    yield more
    for cache in made:
        await cache.aclose()


class Maker:
    """A synthesis that waits for the test's word."""

    def __init__(self, payload: bytes = b"sound", error: Exception | None = None) -> None:
        self.calls = 0
        self.go = asyncio.Event()
        self._payload = payload
        self._error = error

    async def __call__(self, emit: Callable[[bytes], None]) -> Made:
        """Waits for `go`, then gives or raises."""
        self.calls += 1
        await self.go.wait()
        if self._error is not None:
            raise self._error
        return Made(b"{}", self._payload, 60.0)


async def listen(cache: Cache, make: Maker) -> tuple[bytes, str | None]:
    """A listener who stays to the end."""
    async with cache.board(A, make) as seat:
        return (await seat.entry()).payload, seat.outcome


async def test_joining_tells_each_where_it_stands(shared: Shared):
    """Leader, follower, finder: whoever mistakes his part makes the sound twice, or waits for nobody."""
    leases = shared.leases
    assert await leases.join(A, "one") == Lead()
    assert await leases.join(A, "one") == Lead()  # the first answer may have been lost
    standing = await leases.join(A, "two")
    assert isinstance(standing, Follow)
    assert 0 < standing.left <= leases.length
    entry = sound()
    assert await leases.finish(A, "one", entry, 60.0) == "stored"
    assert await leases.join(A, "two") == Found(entry)


async def test_only_the_holder_renews(shared: Shared):
    """A leader that lost its lease must get to know it."""
    await shared.leases.join(A, "one")
    assert await shared.leases.renew(A, "one")
    assert not await shared.leases.renew(A, "two")


async def test_a_late_write_is_refused_a_hundred_times_of_a_hundred(shared: Shared):
    """The bytes that others are reading must not be replaced under them."""
    key = shared.link.keys.of("lease", A)
    for number in range(100):
        await shared.tier.delete(A)
        await shared.leases.join(A, f"old-{number}")
        await shared.link.client.delete(key)  # lost: run out, evicted, or gone in a fail-over
        if number % 2:
            await shared.leases.join(A, f"new-{number}")
        assert await shared.leases.finish(A, f"old-{number}", sound(b"late"), 60.0) == "refused"
        assert await shared.tier.get_many([A]) == [None]
        await shared.link.client.delete(key)


async def test_an_old_token_ends_nothing(shared: Shared):
    """A leader that comes back from a long pause must not take the lease from its successor."""
    await shared.leases.join(A, "new")
    await shared.leases.fail(A, "old", "unavailable", 2.0)
    assert isinstance(await shared.leases.join(A, "third"), Follow)


async def test_a_failure_is_told_for_as_long_as_it_is_remembered(shared: Shared):
    """Replicas must not try a failing provider one after the other; nor must they never try again."""
    await shared.leases.join(A, "one")
    await shared.leases.fail(A, "one", "quota", 0.5)
    assert await shared.leases.join(A, "two") == Failed("quota")
    await asyncio.sleep(0.51)  # Redis' own clock counts: it cannot be injected
    assert await shared.leases.join(A, "two") == Lead()


async def test_a_damaged_value_makes_the_asker_lead(shared: Shared):
    """Otherwise all would find the damaged value again and again, and nobody would replace it."""
    await shared.link.client.set(shared.link.keys.of("clip", A), b"RFRN, but not really")
    assert await shared.leases.join(A, "one") == Lead()


async def test_a_full_server_still_tells_who_leads(victim: Server, open_shared: Callable[..., Shared]):
    """All who wait for it elsewhere would have the same made once more each, and pay for it."""
    leases = open_shared(victim).leases
    await leases.join(A, "one")
    await leases.publish(A, "one", 0, [b"sound"])
    victim.command("CONFIG", "SET", "maxmemory", "1")
    standing = await leases.join(A, "two")
    assert isinstance(standing, Follow)
    assert standing.pieces == (b"sound",)
    assert await leases.renew(A, "one")


async def test_a_full_server_stores_nothing_but_lets_the_others_go_on(
    victim: Server, open_shared: Callable[..., Shared]
):
    """Out of memory, followers must not wait until the lease has run out."""
    leases = open_shared(victim).leases
    await leases.join(A, "one")
    victim.command("CONFIG", "SET", "maxmemory", "1")
    assert await leases.finish(A, "one", sound(b"x" * 100_000), 60.0) == "full"
    victim.command("CONFIG", "SET", "maxmemory", "0")
    assert await leases.join(A, "two") == Lead()


async def test_without_redis_everybody_is_alone(victim: Server, open_shared: Callable[..., Shared]):
    """A lease that cannot be asked for must not stop anybody."""
    leases = open_shared(victim).leases
    victim.send(signal.SIGKILL)
    assert await leases.join(A, "one") == Alone()
    assert await leases.finish(A, "one", sound(), 60.0) == "away"


async def test_two_replicas_and_a_thousand_askers_make_it_once(replica: Replicas):
    """What is paid for once must be paid for once over all replicas."""
    one, other, maker = replica(lease=100.0), replica(lease=100.0), Maker()
    crowd = [asyncio.create_task(listen(cache, maker)) for cache in (one, other) for _ in range(500)]
    await until(lambda: maker.calls == 1)
    maker.go.set()
    heard = await asyncio.gather(*crowd)
    assert {payload for payload, _ in heard} == {b"sound"}
    assert [outcome for _, outcome in heard].count("made") == 1
    assert maker.calls == 1
    assert one.statistics().flights.led + other.statistics().flights.led == 1


async def test_a_follower_is_woken_and_does_not_poll(replica: Replicas, valkey: Server):
    """A follower that waits for the lease to run out is late by a second; one that polls is a load."""
    # A lease that outlives the test: nothing but the notice can wake the follower in time.
    leader, follower, maker = replica(lease=100.0), replica(lease=100.0), Maker()
    leading = asyncio.create_task(listen(leader, maker))
    await until(lambda: maker.calls == 1)
    following = asyncio.create_task(listen(follower, Maker()))
    await until(lambda: _subscribers(valkey) == 1)
    maker.go.set()
    assert await following == (b"sound", "joined")
    assert (await leading)[1] == "made"
    await until(lambda: _subscribers(valkey) == 0)


def _subscribers(server: Server) -> int:
    """How many channels anybody listens to."""
    return int(server.command("PUBSUB", "CHANNELS").split(b"\r\n")[0][1:])


async def test_a_lost_notice_costs_no_more_than_the_lease(replica: Replicas, valkey: Server):
    """Pub/sub loses messages: a follower that trusted them would wait for ever."""
    leader, follower, maker = replica(lease=0.3), replica(lease=0.3), Maker()
    leading = asyncio.create_task(listen(leader, maker))
    await until(lambda: maker.calls == 1)
    following = asyncio.create_task(listen(follower, Maker()))
    await until(lambda: _subscribers(valkey) == 1)
    valkey.command("CLIENT", "KILL", "TYPE", "pubsub")
    maker.go.set()
    assert await following == (b"sound", "joined")
    await leading


async def test_the_leaders_failure_reaches_the_other_replica_with_its_code(replica: Replicas):
    """A follower must neither hang nor call the failing provider itself."""
    error = FlightFailed("quota")
    settings = {"remember": lambda _: 2.0, "lease": 100.0}
    leader, follower = replica(**settings), replica(**settings)
    failing, spare = Maker(error=error), Maker()
    leading = asyncio.create_task(listen(leader, failing))
    await until(lambda: failing.calls == 1)
    following = asyncio.create_task(listen(follower, spare))
    await until(lambda: follower.statistics().flights.under_way == 1)
    failing.go.set()
    for task in (leading, following):
        with pytest.raises(FlightFailed, match="quota"):
            await task
    assert spare.calls == 0


async def test_everybody_at_the_leaders_leaves_and_it_goes_on_for_the_follower(replica: Replicas):
    """A closed browser tab at one replica would cut who listens at another, or have it paid for twice."""
    leader, follower = replica(lease=100.0), replica(lease=100.0)
    maker, spare = Maker(), Maker()
    leading = asyncio.create_task(listen(leader, maker))
    await until(lambda: maker.calls == 1)
    following = asyncio.create_task(listen(follower, spare))
    await until(lambda: _joined(follower))
    leading.cancel()
    await until(leading.done)
    await asyncio.sleep(0.3)  # as long as three looks at whether anybody follows
    maker.go.set()
    assert await following == (b"sound", "joined")
    assert (maker.calls, spare.calls) == (1, 0)


def _joined(cache: Cache) -> bool:
    """Whether it has heard that another leads."""
    passage = cache._flights._passages.get(A)
    return passage is not None and passage.outcome == "joined"


async def test_when_the_follower_leaves_too_nobody_goes_on(replica: Replicas):
    """Sound that nobody hears would be paid for, until the note of a follower lapses."""
    leader, follower = replica(lease=100.0), replica(lease=100.0)
    maker = Maker()
    leading = asyncio.create_task(listen(leader, maker))
    await until(lambda: maker.calls == 1)
    following = asyncio.create_task(listen(follower, Maker()))
    await until(lambda: _joined(follower))
    leading.cancel()
    await until(leading.done)
    await until(lambda: leader._flights._passages[A].lingering)
    following.cancel()
    await until(lambda: leader.statistics().flights.abandoned == 1)
    assert leader.statistics().flights.under_way == 0


async def test_a_replica_that_shuts_down_hands_over_at_once(replica: Replicas):
    """At every rolling restart the listeners of other replicas would wait for a lease that nobody serves."""
    leader, follower = replica(lease=100.0), replica(lease=100.0)
    cut, taken = Maker(), Maker()
    leading = asyncio.create_task(listen(leader, cut))
    await until(lambda: cut.calls == 1)
    following = asyncio.create_task(listen(follower, taken))
    await until(lambda: follower.statistics().flights.under_way == 1)
    await leader.aclose()
    with pytest.raises(FlightFailed, match="closed"):
        await leading
    taken.go.set()
    assert await following == (b"sound", "made")


async def test_a_lease_lost_in_the_middle_mixes_nothing(replica: Replicas, shared: Shared):
    """Two may work, but only one's bytes are stored, and each listener hears one maker from start to end."""
    slow, quick = replica(lease=100.0), replica(lease=100.0)
    first, second = Maker(b"first " * 1000), Maker(b"second" * 1000)
    early = asyncio.create_task(listen(slow, first))
    await until(lambda: first.calls == 1)
    await shared.link.client.delete(shared.link.keys.of("lease", A))
    late = asyncio.create_task(listen(quick, second))
    second.go.set()
    assert (await late)[0] == b"second" * 1000
    await until(lambda: quick.statistics().flights.under_way == 0)
    first.go.set()
    assert (await early)[0] == b"first " * 1000
    await until(lambda: slow.statistics().flights.under_way == 0)
    assert slow.statistics().flights.refused == 1
    # From here on every replica replays the same bytes.
    for cache in (slow, quick):
        (entry,) = await cache.get_many([A])
        assert entry is not None
        assert entry.payload == b"second" * 1000


async def test_a_long_synthesis_keeps_its_lease(replica: Replicas):
    """A synthesis longer than the lease must not be started again on every replica."""
    leader, follower = replica(lease=1.0), replica(lease=1.0)
    slow, spare = Maker(), Maker()
    leading = asyncio.create_task(listen(leader, slow))
    await until(lambda: slow.calls == 1)
    following = asyncio.create_task(listen(follower, spare))
    await asyncio.sleep(2.1)  # two leases; Redis' own clock counts: it cannot be injected
    slow.go.set()
    assert (await leading, await following) == ((b"sound", "made"), (b"sound", "joined"))
    assert spare.calls == 0


async def test_redis_restarts_in_the_middle_of_a_synthesis(replica: Replicas, victim: Server):
    """The lease is gone with the old server; the listener must notice nothing, and the clip must be kept."""
    cache, maker = replica(redis_url=victim.url, lease=0.3), Maker()
    listening = asyncio.create_task(listen(cache, maker))
    await until(lambda: maker.calls == 1)
    victim.send(signal.SIGKILL)
    await until(lambda: cache.statistics().redis_away)
    victim.start()
    await until(lambda: not cache.statistics().redis_away)
    maker.go.set()
    assert await listening == (b"sound", "made")
    await until(lambda: cache.statistics().flights.under_way == 0)
    assert maker.calls == 1
    assert b"clip" in victim.command("KEYS", f"*{A}*")


async def test_the_leading_process_is_killed_and_another_takes_over(
    replica: Replicas, valkey: Server, keys: Keys
):
    """SIGKILL of a replica: its followers elsewhere wait for the lease to run out, and no longer."""
    process = await leader_process(valkey.url, keys, A)
    follower, maker = replica(), Maker()
    maker.go.set()
    following = asyncio.create_task(listen(follower, maker))
    await until(lambda: follower.statistics().flights.under_way == 1)
    process.kill()
    killed = time.monotonic()
    await process.wait()
    assert await following == (b"sound", "made")
    # Promised: the lease (1 s) and one second more.
    assert time.monotonic() - killed < 2.0
    assert maker.calls == 1

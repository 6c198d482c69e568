"""Refreshes that overlap in time are one flight, over processes too, and end with the new in the old one's place."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from cache.cache import Cache, Shared, open_cache
from cache.errors import FlightFailed
from cache.flight import Made
from cache.lease import Follow, Found, Lead
from cache.link import Keys
from tests.cache.conftest import Server, sound, until

A = "a" * 40
Replicas = Callable[..., Cache]


@pytest.fixture
async def replica(valkey: Server, keys: Keys) -> AsyncIterator[Replicas]:
    """Makes caches that share a server but no memory."""
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
    """Says another thing each time: "new 1", "new 2", ..., its end when the test lets it."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = asyncio.Event()

    async def __call__(self, emit: Callable[[bytes], None]) -> Made:
        """Emits at once, ends when it may."""
        self.calls += 1
        said = f"new {self.calls}".encode()
        emit(said)
        await self.go.wait()
        return Made(b"{}", said, 60.0)


class Asker:
    """Somebody who wants it, anew or not, in a task of his own; what he has heard."""

    def __init__(self, cache: Cache, make: Maker, *, anew: bool = True) -> None:
        self.heard = b""
        self.task = asyncio.create_task(self._ask(cache, make, anew=anew))

    async def _ask(self, cache: Cache, make: Maker, *, anew: bool) -> bytes:
        async with cache.board(A, make, anew=anew) as seat:
            async with aclosing(seat.pieces()) as pieces:
                async for piece in pieces:
                    self.heard += piece
            return (await seat.entry()).payload


async def there(cache: Cache) -> bytes | None:
    """What the cache has."""
    (entry,) = await cache.get_many([A])
    return entry and entry.payload


async def redis_has(shared: Shared) -> bytes | None:
    """What Redis has."""
    (entry,) = await shared.tier.get_many([A])
    return entry and entry.payload


async def test_ten_at_each_of_two_replicas_are_one(replica: Replicas, shared: Shared):
    """Ten editors who press the button at once would pay for ten, and each would hear another."""
    one, two, make = replica(), replica(), Maker()
    await one.put(A, sound(b"old"))
    assert [await there(cache) for cache in (one, two)] == [b"old", b"old"]
    askers = [Asker(cache, make) for cache in (one, two) for _ in range(10)]
    await until(lambda: all(asker.heard for asker in askers))
    assert await redis_has(shared) == b"old"
    make.go.set()
    assert {await asker.task for asker in askers} == {b"new 1"}
    assert {asker.heard for asker in askers} == {b"new 1"}
    assert make.calls == 1
    assert [await there(cache) for cache in (one, two)] == [b"new 1", b"new 1"]
    assert await redis_has(shared) == b"new 1"


async def test_one_that_comes_later_is_another(replica: Replicas, shared: Shared):
    """Who does not like the new sound either could not have it made once more."""
    caches, make = (replica(), replica()), Maker()
    make.go.set()
    for number, cache in enumerate((*caches, *caches), 1):
        assert await Asker(cache, make).task == f"new {number}".encode()
        assert await redis_has(shared) == f"new {number}".encode()


async def test_one_that_overlaps_only_its_end_does_not_follow_the_next(replica: Replicas):
    """A replica that asks a moment late would be given the sound from before, or pay for a third."""
    one, two, make = replica(), replica(), Maker()
    first = Asker(one, make)
    await until(lambda: first.heard != b"")
    follower = Asker(two, Maker())
    await until(lambda: follower.heard == b"new 1")
    make.go.set()
    assert await first.task == b"new 1"
    next_one = Asker(one, make)
    assert await next_one.task == b"new 2"
    assert await follower.task == b"new 1"


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_is_being_made_for_the_first_time_is_new(replica: Replicas, elsewhere: bool):
    """A refresh would be a second call for what nobody has heard yet."""
    cache, make, spare = replica(), Maker(), Maker()
    cold = Asker(cache, make, anew=False)
    await until(lambda: cold.heard != b"")
    refreshing = Asker(replica() if elsewhere else cache, spare)
    await until(lambda: refreshing.heard == b"new 1")
    make.go.set()
    assert [await cold.task, await refreshing.task] == [b"new 1", b"new 1"]
    assert (make.calls, spare.calls) == (1, 0)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_who_lacks_it_joins_a_refresh(replica: Replicas, elsewhere: bool):
    """A clip that memory has lost meanwhile would be made a second time beside the refresh."""
    cache, make, spare = replica(), Maker(), Maker()
    refreshing = Asker(cache, make)
    await until(lambda: refreshing.heard != b"")
    cold = Asker(replica() if elsewhere else cache, spare, anew=False)
    await until(lambda: cold.heard == b"new 1")
    make.go.set()
    assert [await cold.task, await refreshing.task] == [b"new 1", b"new 1"]
    assert spare.calls == 0


async def test_a_flight_that_finds_the_old_is_not_joined(replica: Replicas):
    """Whoever comes while another is looking would be given the old, and take it for new."""
    cache, make = replica(), Maker()
    await replica().put(A, sound(b"old"))
    make.go.set()
    looking, refreshing = Asker(cache, make, anew=False), Asker(cache, make)
    assert [await looking.task, await refreshing.task] == [b"old", b"new 1"]


async def test_the_archives_old_is_not_taken(replica: Replicas, tmp_path: Path):
    """What is kept longest would come back for ever, whoever asks for another."""
    url = f"file://{tmp_path}"
    filling = replica(redis_url=None, archive_url=url)
    await filling.put(A, sound(b"old"))
    await filling.aclose()
    make = Maker()
    make.go.set()
    assert await Asker(replica(archive_url=url), make).task == b"new 1"


async def test_what_a_leader_only_found_is_not_its_making(shared: Shared):
    """The marks that tell new from old: who made it, and only if he made it."""
    leases = shared.leases
    for made, expected in ((False, Lead()), (True, Found(sound(b"value")))):
        await leases.join(A, f"leader {made}", anew=True)
        assert isinstance(await leases.join(A, "follower", anew=True), Follow)
        entry = expected.entry if isinstance(expected, Found) else sound(b"value")
        assert await leases.finish(A, f"leader {made}", entry, 60.0, made=made) == "stored"
        assert await leases.join(A, "follower", leader=f"leader {made}", anew=True) == expected
        await leases.fail(A, "follower")
    # Who has followed nobody does not have it by that either.
    assert await leases.join(A, "late", anew=True) == Lead()


async def test_the_next_makes_it_when_its_maker_is_lost(replica: Replicas, shared: Shared):
    """The old would come back to who waits at another replica, or nothing at all."""
    make = Maker()
    await replica().put(A, sound(b"old"))
    await shared.leases.join(A, "gone", anew=True)  # a process that was killed
    refreshing = Asker(replica(), make)
    make.go.set()
    assert await refreshing.task == b"new 1"


async def test_a_failure_is_everybodys_and_the_old_stays(replica: Replicas, shared: Shared):
    """A crowd would call a vendor that is down one by one, or lose the sound that there is."""
    one, two = replica(remember=lambda _: 1.0), replica(remember=lambda _: 1.0)
    await one.put(A, sound(b"old"))
    calls = []

    class Failing(Maker):
        async def __call__(self, emit: Callable[[bytes], None]) -> Made:
            calls.append(1)
            await self.go.wait()
            raise OSError

    make = Failing()
    askers = [Asker(cache, make) for cache in (one, two) for _ in range(3)]
    await until(lambda: one.statistics().flights.under_way + two.statistics().flights.under_way == 2)
    make.go.set()
    outcomes = await asyncio.gather(*(asker.task for asker in askers), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {OSError, FlightFailed}
    assert len(calls) == 1
    assert await redis_has(shared) == b"old"


async def test_without_redis_it_is_one_in_each_process(replica: Replicas):
    """An outage would make ten calls of ten clicks again."""
    cache, make = replica(redis_url="unix:///nowhere/v.sock"), Maker()
    await cache.put(A, sound(b"old"))
    askers = [Asker(cache, make) for _ in range(10)]
    await until(lambda: all(asker.heard for asker in askers))
    make.go.set()
    assert {await asker.task for asker in askers} == {b"new 1"}
    assert await there(cache) == b"new 1"


async def test_one_who_leaves_ends_nobody_elses_and_the_last_ends_it(replica: Replicas, shared: Shared):
    """A closed tab would cut the others' refresh; or nobody's be paid for to its end."""
    one, two, make = replica(), replica(), Maker()
    askers = [Asker(one, make), Asker(one, make), Asker(two, make)]
    await until(lambda: all(asker.heard for asker in askers))
    for asker in askers[:2]:
        asker.task.cancel()
    await asyncio.wait([asker.task for asker in askers[:2]])
    passage = one._flights._renewals[A]
    await until(lambda: passage.lingering)  # it is being found out whether others follow
    assert not passage.over
    askers[2].task.cancel()
    await until(lambda: one.statistics().flights.under_way == 0)
    assert not await shared.link.client.exists(shared.link.keys.of("lease", A))
    assert await redis_has(shared) is None


async def test_a_brief_one_keeps_the_lifetime_of_what_it_replaces(shared: Shared):
    """Somebody over his budget would have a clip that others use forgotten in seconds by refreshing it."""
    await shared.tier.put(A, sound(b"old", ttl=3600.0))
    await shared.leases.join(A, "one", anew=True)
    assert await shared.leases.finish(A, "one", sound(b"new", ttl=3600.0), 10.0) == "stored"
    assert await redis_has(shared) == b"new"
    assert await shared.link.client.pttl(shared.link.keys.of("clip", A)) > 3_000_000


async def test_others_give_up_the_old_in_memory(replica: Replicas):
    """A replica whose listeners nobody told would go on with the old until it expires."""
    one, two, make = replica(), replica(), Maker()
    await one.put(A, sound(b"old"))
    assert await there(two) == b"old"
    make.go.set()
    await Asker(one, make).task
    while await there(two) != b"new 1":  # noqa: ASYNC110 - what another process is told has no event here
        await asyncio.sleep(0.01)

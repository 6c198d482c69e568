"""What is written late gives way to what other processes have forgotten meanwhile; several processes, one bucket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cache import value
from cache.archive import Archive, path_of
from cache.cache import Cache
from cache.flight import Flights, Made
from cache.labels import BATCH
from cache.link import Keys
from cache.memory import MemoryTier
from cache.purges import START
from cache.shared import share
from cache.storing import Storing
from tests.cache.bucket import Bucket
from tests.cache.conftest import Server, sound, until
from tests.cache.proxy import proxied

A, B, C = "a" * 40, "b" * 40, "c" * 40
Replica = Callable[..., Awaitable[Cache]]


@pytest.fixture
def bucket() -> Bucket:
    """The archive of all replicas."""
    return Bucket()


@pytest.fixture
async def replica(valkey: Server, keys: Keys, bucket: Bucket) -> AsyncIterator[Replica]:
    """Makes caches over the bucket, as processes have them, which know where the log ends.

    `deaf` ones look into it no more: as if the purge came right behind their last look.
    """
    made: list[Cache] = []

    async def more(url: str = valkey.url, *, deaf: bool = True) -> Cache:
        shared = share(url, keys=keys, timeout=10.0)  # not what is tested here
        shared.purges._pause = 0.01  # before its first look: nothing has been awaited
        memory, archive = MemoryTier(1 << 20), Archive(bucket)
        storing = Storing(memory, shared.leases, archive=archive, index=shared.labels, late=shared.late)
        flights = Flights(memory, shared.leases, archive=archive, storing=storing)
        made.append(cache := Cache(memory, flights, shared, archive))
        await until(lambda: shared.purges.mark != START)
        if deaf:
            await shared.purges.aclose()
        return cache

    yield more
    for one in made:
        await one.aclose()


class Gate:
    """Holds whoever comes until it is opened."""

    def __init__(self) -> None:
        self.held = 0
        self._open = asyncio.Event()

    async def __call__(self) -> None:
        """Waits."""
        self.held += 1
        await self._open.wait()

    def open(self) -> None:
        """For good."""
        self._open.set()


def idle(cache: Cache) -> bool:
    """Whether nothing waits to be written."""
    assert cache._archive is not None
    assert cache._promotions is not None
    return not cache._archive._behind._writers and not cache._promotions._writers


async def test_what_is_being_archived_while_it_is_purged_elsewhere_is_taken_back(
    replica: Replica, bucket: Bucket
):
    """It would be in the archive seconds after it was withdrawn, and come back from there for a month."""
    one, two = await replica(), await replica()
    bucket.before_write = gate = Gate()
    await one.put(A, sound())
    await until(lambda: gate.held == 1)
    assert await two.delete_many([A]) == 1
    gate.open()
    await until(lambda: idle(one))
    assert bucket.writes == [path_of(A)]
    assert not bucket.objects
    assert await two.get_many([A]) == [None]


async def test_what_waits_to_be_archived_while_it_is_purged_elsewhere_is_not_written(
    replica: Replica, bucket: Bucket
):
    """Behind a slow archive some thousands wait, for seconds."""
    one, two = await replica(), await replica()
    bucket.before_write = gate = Gate()
    others = [f"{number:040x}" for number in range(4)]
    for digest in [*others, A]:
        await one.put(digest, sound())
    await until(lambda: gate.held == 4)
    await two.delete_many([A])
    gate.open()
    await until(lambda: idle(one))
    assert sorted(bucket.objects) == sorted(map(path_of, others))
    assert path_of(A) not in bucket.writes


async def test_who_heard_of_the_purge_gives_out_no_more_of_what_waits(replica: Replica, bucket: Bucket):
    """Its memory is rid of it, and what waits for a slow archive would be found all the same."""
    one, two = await replica(deaf=False), await replica()
    bucket.before_write = gate = Gate()
    await one.put(A, sound())
    await until(lambda: gate.held == 1)
    await two.delete_many([A])
    await until(lambda: one._memory.peek(A) is None)
    assert await one.get_many([A]) == [None]
    gate.open()


@pytest.mark.parametrize("before", [True, False])
async def test_what_was_purged_between_archive_and_redis_does_not_come_back(
    replica: Replica, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, before: bool
):
    """A reading of the archive would put into Redis what was withdrawn a moment ago, for as long as it had to live."""
    one, two = await replica(), await replica()
    assert one._shared is not None
    bucket.objects[path_of(A)] = value.encode(old := sound())
    tier, gate = one._shared.tier, Gate()
    promote = tier.promote

    async def slowly(*what: object) -> bool:
        if before:
            await gate()
            return await promote(*what)
        stored = await promote(*what)
        await gate()
        return stored

    monkeypatch.setattr(tier, "promote", slowly)
    assert await one.get_many([A]) == [old]
    await until(lambda: gate.held == 1)
    await two.delete_many([A])
    gate.open()
    await until(lambda: idle(one))
    assert await tier.get_many([A]) == [None]
    assert await two.get_many([A]) == [None]
    assert one._memory.peek(A) is None


async def test_a_flight_that_found_it_in_the_archive_does_not_bring_back_what_was_purged(
    replica: Replica, bucket: Bucket
):
    """The same, where the first listener of a sentence looks for it before it is made."""
    one, two = await replica(), await replica()
    bucket.objects[path_of(A)] = value.encode(sound())
    held, go, read = asyncio.Event(), asyncio.Event(), bucket.read

    async def slowly(path: str) -> bytes | None:
        found = await read(path)
        held.set()
        await go.wait()
        return found

    bucket.read = slowly  # type: ignore[method-assign]

    async def listen() -> None:
        async with one.board(A, never) as seat:
            await seat.entry()

    listening = asyncio.create_task(listen())
    await held.wait()
    await two.delete_many([A])
    go.set()
    await listening
    await until(lambda: one._flights._passages.get(A) is None)
    assert await two.get_many([A]) == [None]


async def never(_emit: Callable[[bytes], None]) -> Made:
    """Must not be called."""
    raise AssertionError


async def test_what_was_archived_while_redis_was_unreachable_is_looked_for_afterwards(
    replica: Replica, bucket: Bucket, valkey: Server
):
    """A replica behind a broken line would not know that what it archives was purged by the others."""
    async with proxied(valkey.socket) as proxy:
        one, two = await replica(proxy.url, deaf=False), await replica()
        assert one._shared is not None
        await proxy.switch("refuse")
        await until(lambda: one.statistics().redis_away)
        bucket.before_write = gate = Gate()
        await one.put(A, sound())
        await one.put(B, sound())
        await until(lambda: gate.held == 2)
        await two.delete_many([A])
        gate.open()
        await until(lambda: idle(one))
        assert path_of(A) in bucket.objects
        await proxy.switch("pass")
        await until(lambda: path_of(A) not in bucket.objects)
        await until(lambda: not one._shared.late._unsure)
        assert path_of(B) in bucket.objects
        assert one._memory.peek(A) is None


async def test_where_the_log_was_cut_only_what_redis_has_is_archived(
    replica: Replica, bucket: Bucket, valkey: Server, keys: Keys
):
    """With many purges at once a slow archive's writer would not find the one that was meant for it."""
    one, two = await replica(), await replica()
    bucket.before_write = gate = Gate()
    await one.put(A, sound())
    await one.put(B, sound())
    await until(lambda: gate.held == 2)
    await two.delete_many([A])
    await two.delete_many([C])
    valkey.command("XTRIM", keys.of("purges", ""), "MAXLEN", "1")
    gate.open()
    await until(lambda: idle(one))
    assert [*bucket.objects] == [path_of(B)]


async def test_a_large_purge_leaves_others_in_memory(replica: Replica, valkey: Server, keys: Keys):
    """Whoever withdraws a book would have every replica read all of its memory from Redis again."""
    one, two = await replica(), await replica(deaf=False)
    await two.put(A, sound())
    digests = [f"{number:040x}" for number in range(40 * BATCH)]
    for digest in (digests[0], digests[BATCH // 2], digests[-1]):
        await two.put(digest, sound())
    assert await one.delete_many(digests) == 3
    await until(lambda: all(two._memory.peek(digest) is None for digest in digests))
    assert two._memory.peek(A) is not None
    records = int(valkey.command("XLEN", keys.of("purges", ""))[1:])
    assert records >= len(digests) / 128


async def test_all_who_make_what_is_deleted_find_out(replica: Replica):
    """Of two replicas that make the same speech only one tells of it in Redis; the other would keep it."""
    one, two, three = await replica(), await replica(), await replica()
    with one.drafts.open(A, b"head") as first, two.drafts.open(A, b"head") as second:
        for draft in (first, second):
            await draft.announced()
        await three.delete_many([A])
        await three.drafts.withdraw(A)
        assert await one.drafts.withdrawals.is_withdrawn(A, first)
        assert await two.drafts.withdrawals.is_withdrawn(A, second)
        with two.drafts.open(A, b"head") as third:
            await third.announced()
            assert not await two.drafts.withdrawals.is_withdrawn(A, third), "it was asked for behind that"

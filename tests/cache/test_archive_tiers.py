"""The archive behind Redis and memory: what survives, what is deleted, and who keeps the lease."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cache import value
from cache.archive import Archive, path_of
from cache.cache import Cache, open_cache
from cache.errors import Away, Unreachable
from cache.flight import Flights, Made
from cache.labels import Label
from cache.link import Keys
from cache.memory import MemoryTier
from cache.shared import share
from cache.storing import Storing
from tests.cache.bucket import A, B, Bucket, stored_in
from tests.cache.conftest import Server, sound, until


async def make(_emit: Callable[[bytes], None]) -> Made:
    """A synthesis that takes no time."""
    return Made(b"{}", b"made", 60.0)


async def never(_emit: Callable[[bytes], None]) -> Made:
    """A synthesis that must not be asked for."""
    raise AssertionError("made once more")


async def fly(cache: Cache, digest: str, maker: Callable[..., Awaitable[Made]]) -> tuple[bytes, str | None]:
    """What a flight brings, and how it was come by."""
    async with cache.board(digest, maker) as seat:
        return (await seat.entry()).payload, seat.outcome


@pytest.fixture
async def open_all(valkey: Server, keys: Keys, tmp_path: Path) -> AsyncIterator[Callable[[], Cache]]:
    """Makes caches with all three tiers, as replicas with a common archive would have."""
    made: list[Cache] = []

    def more() -> Cache:
        made.append(
            open_cache(memory_bytes=1 << 20, redis_url=valkey.url, keys=keys, archive_url=tmp_path.as_uri())
        )
        return made[-1]

    yield more
    for cache in made:
        await cache.aclose()


async def empty(valkey: Server, keys: Keys) -> None:
    """What FLUSHALL would do, without hurting the other tests."""
    found = valkey.command("KEYS", f"{keys.prefix}:*").split(b"\r\n")
    for key in found:
        if key.startswith(keys.prefix.encode()):
            valkey.command("DEL", key.decode())


async def test_what_was_made_and_put_survives_an_empty_redis(
    open_all: Callable[[], Cache], valkey: Server, keys: Keys
):
    """A lost Redis must not cost everything that was ever paid for."""
    before = open_all()
    await fly(before, A, make)
    await before.put(B, manifest := sound(b""))
    await before.aclose()
    await empty(valkey, keys)
    after = open_all()
    assert await after.has_all([A, B])
    assert await fly(after, A, never) == (b"made", "hit")
    assert await after.get_many([B]) == [manifest]
    await after.aclose()
    # It has been brought back to Redis on the way.
    other = open_cache(memory_bytes=1 << 20, redis_url=valkey.url, keys=keys)
    assert None not in await other.get_many([A, B])
    await other.aclose()


async def test_a_flight_finds_in_the_archive_for_all_replicas(
    open_all: Callable[[], Cache], valkey: Server, keys: Keys
):
    """Whoever waits on another replica for what the leader finds must get it, and nobody makes it."""
    before = open_all()
    await fly(before, A, make)
    await before.aclose()
    await empty(valkey, keys)
    replicas = [open_all() for _ in range(3)]
    brought = await asyncio.gather(*(fly(cache, A, never) for cache in replicas for _ in range(10)))
    assert {payload for payload, _ in brought} == {b"made"}


async def test_deleting_reaches_every_tier(open_all: Callable[[], Cache], valkey: Server, keys: Keys):
    """What its owner had deleted must not come back from the archive."""
    cache = open_all()
    await fly(cache, A, make)
    await until(lambda: cache.statistics().flights.under_way == 0)
    assert await cache.delete_many([A]) == 1
    assert await cache.delete_many([A]) == 0
    await cache.aclose()
    assert await open_all().get_many([A]) == [None]


@pytest.fixture
async def open_over(
    valkey: Server, keys: Keys, bucket: Bucket
) -> AsyncIterator[Callable[..., tuple[Cache, MemoryTier]]]:
    """Makes caches over the bucket, as replicas have them; with their memory."""
    made: list[Cache] = []

    def more(lease: float = 1.0) -> tuple[Cache, MemoryTier]:
        shared = share(valkey.url, keys=keys, lease=lease)
        memory, archive = MemoryTier(1 << 20), Archive(bucket)
        storing = Storing(memory, shared.leases, archive=archive, index=shared.labels)
        flights = Flights(memory, shared.leases, archive=archive, storing=storing)
        made.append(Cache(memory, flights, shared, archive))
        return made[-1], memory

    yield more
    for cache in made:
        await cache.aclose()


async def test_who_looks_into_a_slow_archive_keeps_the_lease(
    open_over: Callable[..., tuple[Cache, MemoryTier]], bucket: Bucket
):
    """Every replica would take the lease in turn while the last one still looks, and all of them would make it."""
    calls = 0

    async def count(_emit: Callable[[bytes], None]) -> Made:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.3)
        return Made(b"{}", b"made", 60.0)

    async def slowly() -> None:
        await asyncio.sleep(0.4)

    bucket.before_read = slowly
    brought = await asyncio.gather(*(fly(open_over(0.15)[0], A, count) for _ in range(3)))
    assert {payload for payload, _ in brought} == {b"made"}
    assert calls == 1


async def test_a_purge_says_so_when_the_archive_does_not_answer(
    open_over: Callable[..., tuple[Cache, MemoryTier]], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    """An operator would take sound for withdrawn that comes back, and no label would lead to it any more."""
    cache, _ = open_over()
    news = Label("tag", "news")
    await cache.put(A, sound())
    cache.label([news], {A: time.time() + 60})
    await until(lambda: bool(bucket.objects) and cache._shared.labels._writer is None)

    async def away(_path: str) -> bool:
        raise Away("GenericError")

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "delete", away)
        with pytest.raises(Unreachable):
            await cache.purge([news])
        with pytest.raises(Unreachable):
            await cache.delete_many([A])
    assert await cache.purge([news]) == 1
    assert await cache.get_many([A]) == [None]


async def test_what_is_deleted_while_others_are_read_is_not_brought_back(
    open_over: Callable[..., tuple[Cache, MemoryTier]], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    """One slow clip of a speech would have the others put back into Redis long after they were forgotten."""
    cache, memory = open_over()
    bucket.objects[path_of(A)] = value.encode(sound())
    go = asyncio.Event()
    read = bucket.read

    async def slow(path: str) -> bytes | None:
        if path == path_of(B):
            await go.wait()
        return await read(path)

    monkeypatch.setattr(bucket, "read", slow)
    looking = asyncio.create_task(cache.get_many([A, B]))
    await until(lambda: bool(bucket.reads))
    await asyncio.sleep(0)
    assert await cache.delete_many([A]) == 1
    go.set()
    assert await looking == [None, None]
    assert memory.peek(A) is None
    assert cache._promotions.peek(A) is None


async def test_what_lies_partly_in_redis_and_partly_in_the_archive_is_all_there(
    open_all: Callable[[], Cache], valkey: Server, keys: Keys
):
    """Half a speech evicted from Redis would make the whole of it unknown."""
    before = open_all()
    await before.put(A, sound())
    await before.put(B, sound())
    await before.aclose()
    valkey.command("DEL", keys.of("clip", A))
    for path in stored_in(Path(before._archive._objects.root)):
        if path.name == B:
            path.unlink()
    after = open_all()
    assert await after.has_all([A, B])
    assert not await after.has_all([A, B, "c" * 40])
    assert None not in await after.get_many([A, B])


async def test_what_is_newer_in_redis_is_not_replaced_by_what_was_archived(
    open_all: Callable[[], Cache], valkey: Server, keys: Keys
):
    """Sound that was made anew must not turn back into the old one."""
    cache = open_all()
    await cache._shared.tier.put(A, newer := sound(b"newer"))
    await cache._shared.tier.promote(A, sound(b"older"))
    assert await cache._shared.tier.get_many([A]) == [newer]

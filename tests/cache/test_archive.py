"""The archive in a bucket, well and unwell, and what it must never cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cache import value
from cache.archive import Archive, path_of
from cache.errors import NoArchive
from cache.objects import Budget, Objects, open_objects
from tests.cache.bucket import A, B, Bucket, Clock, hang, refuse
from tests.cache.conftest import sound, until


@pytest.fixture
def clock() -> Clock:
    """Monotonic time."""
    return Clock()


@pytest.fixture
async def archive(bucket: Bucket, clock: Clock) -> AsyncIterator[Archive]:
    """An archive in the bucket."""
    archive = Archive(bucket, timeout=0.1, clock=clock)
    yield archive
    await archive.aclose()


async def test_a_thousand_askers_of_one_clip_cost_one_read(archive: Archive, bucket: Bucket):
    """A crowd for one text must not become a crowd at the archive."""
    bucket.objects[path_of(A)] = value.encode(entry := sound())
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    bucket.before_read = wait
    crowd = [asyncio.create_task(archive.get_many([A])) for _ in range(1000)]
    await until(lambda: bool(bucket.reads))
    for one in crowd[::2]:
        one.cancel()  # a client that hangs up takes nobody's answer
    go.set()
    assert [await one for one in crowd[1::2]] == [[entry]] * 500
    assert bucket.reads == [path_of(A)]


async def test_reads_are_concurrent_within_a_bound(archive: Archive, bucket: Bucket):
    """One after the other a speech would take seconds from a bucket; all at once, all of memory."""
    digests = [f"{number:040x}" for number in range(200)]
    bucket.objects = {path_of(digest): value.encode(sound(digest.encode())) for digest in digests}
    under_way = most = 0

    async def count() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(3):
            await asyncio.sleep(0)
        under_way -= 1

    bucket.before_read = count
    assert None not in await archive.get_many(digests)
    assert 8 <= most <= 16


async def test_bytes_in_the_air_have_a_bound():
    """Sixteen books at a time would be gigabytes."""
    budget = Budget(100)
    inside: list[int] = []
    peak = 0

    async def take(size: int) -> None:
        nonlocal peak
        async with budget.of(size):
            inside.append(min(size, 100))
            peak = max(peak, sum(inside))
            await asyncio.sleep(0)
            inside.remove(min(size, 100))

    waiting = [asyncio.create_task(take(size)) for size in (60, 60, 30, 500, 10, 100, 1)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert peak == 100
    async with budget.of(100):  # nothing of it was lost
        pass


async def test_what_was_not_found_is_not_looked_for_again_at_once(
    archive: Archive, bucket: Bucket, clock: Clock
):
    """Each cold sentence asks twice: once with all of its text, and once before it is made."""
    for _ in range(3):
        assert await archive.get_many([A, B]) == [None, None]
    assert len(bucket.reads) == 2
    assert archive.statistics().misses == 2
    clock.now += 6.0
    await archive.get_many([A])
    assert len(bucket.reads) == 3
    await archive.put(A, entry := sound())
    assert await archive.get_many([A]) == [entry]


async def test_what_is_put_while_it_is_read_is_what_is_read(archive: Archive, bucket: Bucket):
    """A sentence that was just made would be taken for missing, and be made twice."""
    bucket.before_read = hang
    looking = asyncio.create_task(archive.get_many([A]))
    await until(lambda: bool(bucket.reads))
    await archive.put(A, entry := sound())
    assert await looking == [entry]


async def test_what_is_deleted_while_it_is_read_or_written_stays_away(archive: Archive, bucket: Bucket):
    """Whoever had a speech deleted must not hear it again."""
    bucket.objects[path_of(A)] = value.encode(sound())
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    bucket.before_read = bucket.before_write = wait
    looking = asyncio.create_task(archive.get_many([A]))
    await archive.put(B, sound())
    await until(lambda: bool(bucket.reads and bucket.writes))
    await archive.put(B, sound(b"newer"))
    deleting = asyncio.gather(archive.delete(A), archive.delete(B))
    await asyncio.sleep(0)
    go.set()
    assert await deleting == [True, True]
    assert await looking == [None]
    assert bucket.objects == {}


async def test_of_many_writes_the_last_remains(archive: Archive, bucket: Bucket):
    """A refreshed clip must not be overtaken by the one it replaces."""
    go = asyncio.Event()
    waits = iter([go.wait, bucket._nothing, bucket._nothing])

    async def slow_first() -> None:
        await next(waits)()

    bucket.before_write = slow_first
    for number in range(5):
        await archive.put(A, sound(str(number).encode()))
        await asyncio.sleep(0)
    (newest,) = await archive.get_many([A])
    assert newest is not None
    assert newest.payload == b"4"
    go.set()
    await archive.aclose()
    assert value.decode(bucket.objects[path_of(A)]).payload == b"4"
    assert len(bucket.writes) == 2


async def test_a_full_queue_drops_and_counts_and_nobody_waits(bucket: Bucket):
    """An archive that cannot keep up must not take the memory of the process, nor the time of a request."""
    archive = Archive(bucket)
    bucket.before_write = hang
    one = sound(bytes(2**20))
    for number in range(100):
        await archive.put(f"{number:040x}", one)
        await asyncio.sleep(0)
    assert archive.statistics().dropped >= 60
    archive._behind._closing = 0.0
    await archive.aclose()
    assert archive.statistics().dropped == 100
    assert bucket.objects == {}


@pytest.mark.parametrize("trouble", [hang, refuse], ids=["hung", "broken"])
async def test_an_archive_that_is_away_costs_one_time_out_and_is_used_again(
    archive: Archive, bucket: Bucket, trouble: Callable[[], Awaitable[None]]
):
    """A dead disk must not slow every sentence."""
    bucket.objects[path_of(A)] = value.encode(entry := sound())
    bucket.before_read = trouble
    began = time.perf_counter()
    crowd = await asyncio.gather(*(archive.get_many([f"{number:040x}", A]) for number in range(200)))
    # 200 look-ups one after the other would take 20 s.
    assert time.perf_counter() - began < 2.0
    assert crowd == [[None, None]] * 200
    assert archive.away
    reads = len(bucket.reads)
    assert await archive.get_many([A]) == [None]
    assert len(bucket.reads) == reads
    bucket.before_read = bucket._nothing
    await until(lambda: not archive.away)
    assert await archive.get_many([A]) == [entry]


async def test_a_slow_archive_gives_what_it_has_in_time(archive: Archive, bucket: Bucket):
    """A hundred clips, each just quick enough, must not add up to ten seconds."""
    digests = [f"{number:040x}" for number in range(640)]
    bucket.objects = {path_of(digest): value.encode(sound(digest.encode())) for digest in digests}

    async def slow() -> None:
        await asyncio.sleep(0.09)

    bucket.before_read = slow
    began = time.perf_counter()
    found = await archive.get_many(digests)
    assert time.perf_counter() - began < 3.0  # promised: 1 s; all of it would take 3.6 s at least
    assert 0 < sum(entry is not None for entry in found) < len(digests)
    assert not archive.away


async def test_a_disk_that_is_full_is_still_read(archive: Archive, bucket: Bucket):
    """What cannot be written is counted; what is there is not given up for that."""
    bucket.objects[path_of(A)] = value.encode(entry := sound())
    bucket.before_write = refuse
    await archive.put(B, sound())
    await until(lambda: archive.statistics().errors == 1)
    assert await archive.get_many([A]) == [entry]
    assert not archive.away


@pytest.mark.parametrize("url", ["az://container/prefix", "s3://", "gopher://x/y"])
def test_a_store_that_cannot_be_opened_is_a_sentence_without_its_secrets(url: str):
    """Likewise for buckets; and what the library says may have the URL's password in it."""
    with pytest.raises(NoArchive, match=r"cache\.archive"):
        open_objects(url)


def test_buckets_are_opened_without_asking_anything(monkeypatch: pytest.MonkeyPatch):
    """A server must start while its bucket cannot be reached."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for url in ("s3://bucket/prefix", "gs://bucket/prefix", "az://container/prefix", "memory:///"):
        assert isinstance(open_objects(url), Objects)

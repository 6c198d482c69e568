"""Making anew behind the listeners' backs: once, few at a time, disturbing nobody."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from app.speech.following import Followed
from app.speech.manifest import ClipLine, Manifest
from app.speech.refreshes import AT_ONCE, REST, WAITING, Refreshes
from cache.cache import Cache, open_cache
from cache.interface import Entry
from cache.value import new_entry
from providers.errors import Unavailable
from tests.http.servers import Valkey, until

CANARY = "xylophone"


def sound(payload: bytes, age: float = 0.0) -> Entry:
    """A clip made so many seconds ago."""
    return new_entry(b"{}", payload, made_at=time.time() - age, ttl=36_000.0)


def is_old(entry: Entry) -> bool:
    """By the test's own measure."""
    return time.time() - entry.made_at > 600


def name(number: int) -> str:
    """A digest."""
    return f"{number:040x}"


@pytest.fixture
async def caches(valkey: Valkey) -> AsyncIterator[list[Cache]]:
    """Two processes' caches on one empty Redis."""
    valkey.command("FLUSHALL")
    made = [open_cache(memory_bytes=1 << 20, redis_url=valkey.url) for _ in range(2)]
    yield made
    for cache in made:
        await cache.aclose()


class Remake:
    """Makes anew when the test says so."""

    def __init__(self, cache: Cache, error: Exception | None = None) -> None:
        self.cache = cache
        self.error = error
        self.begun = 0
        self.stored = True
        self.go = asyncio.Event()

    def of(self, digest: str) -> Callable[[], Awaitable[bool]]:
        """For one clip."""

        async def remake() -> bool:
            self.begun += 1
            await self.go.wait()
            if self.error:
                raise self.error
            await self.cache.renew(digest, sound(b"new"))
            return self.stored

        return remake


async def idle(refreshes: Refreshes) -> None:
    """Until nothing is under way."""
    await until(lambda: not refreshes._under_way)


async def test_a_thousand_hits_make_it_anew_once(caches: list[Cache]):
    """Every listener of an old clip would cost a synthesis."""
    remake = Remake(caches[0])
    await caches[0].put(name(1), sound(b"old", age=3600))
    fleet = [Refreshes(cache) for cache in caches]
    for _ in range(500):
        for refreshes in fleet:
            refreshes.begin(name(1), is_old, remake.of(name(1)))
    await until(lambda: remake.begun == 1)
    remake.go.set()
    for refreshes in fleet:
        await idle(refreshes)
        refreshes.begin(name(1), is_old, remake.of(name(1)))
        await idle(refreshes)
    assert remake.begun == 1
    assert (await caches[0].get_many([name(1)]))[0].payload == b"new"


@pytest.mark.parametrize("stored", [True, False])
async def test_what_could_not_be_stored_rests_for_longer(
    caches: list[Cache], monkeypatch: pytest.MonkeyPatch, stored: bool
):
    """While Redis is full each old clip would be paid for once a minute."""
    rests = []

    async def rest(digest: str, seconds: float) -> None:
        rests.append((digest, seconds))

    monkeypatch.setattr(caches[0], "rest", rest)
    await caches[0].put(name(1), sound(b"old", age=3600))
    refreshes, remake = Refreshes(caches[0]), Remake(caches[0])
    remake.stored = stored
    remake.go.set()
    refreshes.begin(name(1), is_old, remake.of(name(1)))
    await idle(refreshes)
    assert remake.begun == 1
    assert rests == ([] if stored else [(name(1), REST)])


async def test_what_another_replica_has_made_anew_is_taken_over(caches: list[Cache]):
    """Each replica would pay once for the same clip, and the second's sound take the first's place."""
    one, two = caches
    await one.put(name(1), sound(b"old", age=3600))
    assert (await two.get_many([name(1)]))[0].payload == b"old"
    await one.put(name(1), sound(b"new"))  # and two was not told
    refreshes, remake = Refreshes(two), Remake(two)
    refreshes.begin(name(1), is_old, remake.of(name(1)))
    await idle(refreshes)
    assert remake.begun == 0
    assert (await two.get_many([name(1)]))[0].payload == b"new"


async def test_who_follows_a_speech_elsewhere_hears_what_was_made_anew_for_it(caches: list[Cache]):
    """He would be cut, for the second in which his process still has the old clip in memory."""
    one, two = caches
    await one.put(name(1), sound(b"old"))
    assert (await two.get_many([name(1)]))[0].payload == b"old"
    await one.put(name(1), new := sound(b"new"))  # and two was not told yet
    line = ClipLine(name(1), new.checksum, 0, 3, "first", 1, first_choice=True, expires=0.0)
    begun = Manifest("pcm", 24_000, ())

    async def lines() -> AsyncGenerator[bytes]:
        yield msgspec.json.encode(line)

    followed = Followed(name(2), begun, lines(), two)
    assert await followed._entry(line) == new


async def test_a_failure_leaves_the_old_and_is_a_pause(caches: list[Cache], caplog: pytest.LogCaptureFixture):
    """A vendor that is down would be asked with every hit, or the sound that there is be lost."""
    cache = caches[0]
    await cache.put(name(1), sound(b"old", age=3600))
    refreshes = Refreshes(cache)
    for error in (Unavailable(CANARY, provider="first"), KeyError(CANARY)):
        remake = Remake(cache, error)
        remake.go.set()
        digest = name(1 + len(caplog.records))
        await cache.put(digest, sound(b"old", age=3600))
        for _ in range(3):
            refreshes.begin(digest, is_old, remake.of(digest))
            await idle(refreshes)
        assert remake.begun == 1
    assert (await cache.get_many([name(1)]))[0].payload == b"old"
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert CANARY not in caplog.text


async def test_few_at_a_time_and_no_more_wait_than_that(caches: list[Cache]):
    """An old article would take a provider from all who wait for sound, or a crowd of them the memory."""
    refreshes, remake = Refreshes(caches[0]), Remake(caches[0])
    for number in range(2 * WAITING):
        await caches[0].put(name(number), sound(b"old", age=3600))
    for number in range(2 * WAITING):
        refreshes.begin(name(number), is_old, remake.of(name(number)))
    assert len(refreshes._under_way) == WAITING
    await until(lambda: remake.begun == AT_ONCE)
    for _ in range(20):
        await asyncio.sleep(0)
    assert remake.begun == AT_ONCE
    remake.go.set()
    await idle(refreshes)
    assert remake.begun == WAITING
    # What was let be has no pause to wait for.
    refreshes.begin(name(2 * WAITING - 1), is_old, remake.of(name(2 * WAITING - 1)))
    await idle(refreshes)
    assert remake.begun == WAITING + 1


async def test_the_end_does_not_wait_for_them(caches: list[Cache]):
    """A service that is to stop would hang until a slow vendor has spoken."""
    refreshes, remake = Refreshes(caches[0]), Remake(caches[0])
    for number in range(5):
        await caches[0].put(name(number), sound(b"old", age=3600))
    for number in range(5):
        refreshes.begin(name(number), is_old, remake.of(name(number)))
    await until(lambda: remake.begun == AT_ONCE)
    await refreshes.aclose()
    await idle(refreshes)
    refreshes.begin(name(9), is_old, remake.of(name(9)))
    assert not refreshes._under_way

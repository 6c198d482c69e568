"""Forgetting by label, over a real server and several processes' caches."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest

from cache.cache import Cache, open_cache
from cache.errors import Unreachable
from cache.flight import Made
from cache.labels import BATCH, Label, Labels
from cache.link import Keys
from cache.purges import START
from cache.shared import Shared
from tests.cache.conftest import Server, sound, until

A, B, C = "a" * 40, "b" * 40, "c" * 40
NEWS, SPORT, VOICE = Label("tag", "news"), Label("tag", "sport"), Label("voice", "narrator")


@pytest.fixture
async def replica(valkey: Server, keys: Keys) -> AsyncIterator[Callable[[], Cache]]:
    """Makes caches, as processes that share one Redis have them."""
    made: list[Cache] = []

    def more() -> Cache:
        # The time-out is not what is tested here.
        made.append(open_cache(memory_bytes=1 << 20, redis_url=valkey.url, keys=keys, timeout=10.0))
        assert made[-1]._shared is not None
        made[-1]._shared.purges._pause = 0.01  # before its first look: nothing has been awaited
        return made[-1]

    yield more
    for one in made:
        await one.aclose()


async def keep(cache: Cache, digest: str, *labels: Label) -> None:
    """Store and label, and wait until that is written."""
    await cache.put(digest, sound())
    cache.label(labels, {digest: time.time() + 60})
    await written(cache)


async def written(cache: Cache) -> None:
    """Until the index is."""
    assert cache._shared is not None
    labels = cache._shared.labels
    await until(lambda: labels._writer is None)


async def test_a_purge_forgets_what_has_the_label_and_nothing_else(replica: Callable[[], Cache]):
    """Whoever withdraws an article would lose the others, or still have it heard."""
    cache = replica()
    await keep(cache, A, NEWS, VOICE)
    await keep(cache, B, SPORT, VOICE)
    assert await cache.purge([NEWS]) == 1
    assert [entry is not None for entry in await cache.get_many([A, B])] == [False, True]
    assert await cache.purge([NEWS]) == 0
    assert await cache.purge([VOICE]) == 1


async def test_several_labels_narrow(replica: Callable[[], Cache]):
    """`--voice` beside `--tag` would forget all that the voice ever said."""
    cache = replica()
    await keep(cache, A, NEWS, VOICE)
    await keep(cache, B, SPORT, VOICE)
    await keep(cache, C, NEWS)
    assert await cache.purge([NEWS, VOICE]) == 1
    assert [entry is not None for entry in await cache.get_many([A, B, C])] == [False, True, True]


async def test_labels_add_up(replica: Callable[[], Cache]):
    """A clip that two articles share would stay when the second one is withdrawn."""
    cache = replica()
    await keep(cache, A, NEWS)
    await keep(cache, A, SPORT)
    assert await cache.purge([SPORT]) == 1
    assert await cache.get_many([A]) == [None]


async def test_thousands_are_forgotten_in_batches(replica: Callable[[], Cache]):
    """A purge of a voice would time out in one command, and hold up everybody."""
    cache = replica()
    digests = [f"{number:040x}" for number in range(3 * BATCH)]
    await asyncio.gather(*(cache.put(digest, sound()) for digest in digests))
    cache.label([VOICE], dict.fromkeys(digests, time.time() + 60))
    await written(cache)
    assert await cache.purge([VOICE]) == len(digests)
    assert await cache.get_many(digests) == [None] * len(digests)


async def test_other_processes_forget_within_moments(replica: Callable[[], Cache]):
    """Purged sound would be heard at every replica that has it in memory, for a month."""
    one, two = replica(), replica()
    await keep(one, A, NEWS)
    assert None not in await two.get_many([A])
    await one.purge([NEWS])
    await until(lambda: two._memory.peek(A) is None)
    assert await two.get_many([A]) == [None]


async def test_what_is_named_alone_goes_from_memory(replica: Callable[[], Cache]):
    """A client that deletes its speeches one by one would empty every replica's memory with each."""
    one, two = replica(), replica()
    await one.delete_many([C])  # the first record of a log: who reads it cannot know what came before
    await look_twice(two)
    for digest in (A, B):
        await one.put(digest, sound())
    assert None not in await two.get_many([A, B])
    assert await one.delete_many([A]) == 1
    await until(lambda: two._memory.peek(A) is None)
    await look_twice(two)
    assert two._memory.peek(B) is not None


async def look_twice(cache: Cache) -> None:
    """Until the watch has looked into the log twice more."""
    assert cache._shared is not None
    purges, looked = cache._shared.purges, asyncio.Event()
    look, left = purges._look, 3

    async def counted() -> object:
        nonlocal left
        left -= 1
        if not left:
            looked.set()
        return await look()

    purges._look = counted  # type: ignore[method-assign]
    await looked.wait()


async def test_a_reading_that_overtook_the_purge_does_not_bring_it_back(replica: Callable[[], Cache]):
    """What was read a moment before the purge, and put into memory a moment after it, would stay there."""
    one, two = replica(), replica()
    await keep(one, A, NEWS)
    (old,) = await two.get_many([A])
    await one.purge([NEWS])
    await until(lambda: two._memory.peek(A) is None)
    two._memory.add(A, old)
    await until(lambda: two._memory.peek(A) is None)


async def test_who_has_missed_something_forgets_everything(replica: Callable[[], Cache]):
    """A process that was cut off while the log went on would serve what was purged meanwhile."""
    one, two = replica(), replica()
    await one.delete_many([C])
    await look_twice(two)
    await keep(one, A, NEWS)
    await two.get_many([A])
    await one.purge([NEWS])
    assert one._shared is not None
    await one._shared.link.client.delete(one._shared.purges._key)  # evicted, flushed, failed over
    await until(lambda: two._memory.peek(A) is None)


async def test_a_flight_labels_what_it_stores(replica: Callable[[], Cache]):
    """Sound whose listener left before its end would be in the cache, and no purge would find it."""
    cache = replica()

    async def make(_emit: Callable[[bytes], None]) -> Made:
        return Made(b"{}", b"sound", 60.0, (NEWS,))

    async with cache.board(A, make) as seat:
        await seat.entry()
    await until(lambda: cache.statistics().flights.under_way == 0)
    await written(cache)
    assert await cache.purge([NEWS]) == 1


async def test_names_of_keys_tell_nothing_and_name_the_layout(replica: Callable[[], Cache], keys: Keys):
    """Tags are words of their users; keys are seen in logs and by every tool."""
    cache = replica()
    await keep(cache, A, Label("tag", "canary-4711"))
    await cache.delete_many([B])
    await cache.claim(A, 60.0)
    assert cache._shared is not None
    names = [name.decode() for name in await cache._shared.link.client.keys(f"{keys.prefix}:*")]
    assert sorted(name.split(":")[2] for name in names) == ["clip", "label", "purges", "refresh"]
    assert all(name.startswith(f"{keys.prefix}:1:") for name in names)
    assert not any("canary" in name for name in names)


async def test_the_index_ends_with_what_is_in_it(shared: Shared):
    """It would grow for ever, with a set for every tag that a client makes up."""
    client, key = shared.link.client, shared.labels._key(NEWS)
    now = time.time()
    for digest, left in ((A, 1000.0), (B, 100.0)):
        shared.labels.add_soon([NEWS], {digest: now + left})
        await until(lambda: shared.labels._writer is None)
    assert 4_500 < await client.ttl(key) <= 4_600  # the longest that is in it, and an hour
    late = Labels(shared.link, now=lambda: now + 2 * 3600)
    late.add_soon([NEWS], {C: now + 3 * 3600})
    await late.aclose()
    assert [member.hex() for member in await client.zrange(key, 0, -1)] == [C]


async def test_what_waits_is_written_at_the_end(shared: Shared):
    """`refrain warm` ends at once after its last text: that would be in the cache without a label."""
    shared.labels.add_soon([NEWS, VOICE], {A: time.time() + 60})
    await shared.labels.aclose()
    batches = [batch async for batch in shared.labels.walk([VOICE, NEWS])]
    assert batches == [[A]]


@pytest.mark.parametrize("what", ["purge", "delete"])
async def test_a_purge_without_redis_says_so(victim: Server, keys: Keys, what: str):
    """An operator would take sound for withdrawn that everybody still hears."""
    cache = open_cache(memory_bytes=1 << 20, redis_url=victim.url, keys=keys)
    await keep(cache, A, NEWS)
    victim.send(signal.SIGSTOP)
    with pytest.raises(Unreachable):
        await (cache.purge([NEWS]) if what == "purge" else cache.delete_many([A]))
    victim.send(signal.SIGCONT)
    await until(lambda: not cache.statistics().redis_away)
    assert await cache.purge([NEWS]) <= 1
    assert await cache.get_many([A]) == [None]
    await cache.aclose()


async def test_labels_written_while_redis_is_away_hold_up_nobody(victim: Server, keys: Keys):
    """The writer would wait for each batch's time-out, and the process for the writer."""
    cache = open_cache(memory_bytes=1 << 20, redis_url=victim.url, keys=keys)
    await cache.get_many([A])
    victim.send(signal.SIGSTOP)
    errors = cache.statistics().redis.errors
    for number in range(200):
        cache.label([NEWS], {f"{number:040x}": time.time() + 60})
        await asyncio.sleep(0)
    await until(lambda: cache.statistics().redis_away)
    assert cache.statistics().redis.errors <= errors + 5  # the writer's, and the watch's; not one for each
    victim.send(signal.SIGCONT)
    # Nor are they lost: their values may have been stored just before it went.
    await written(cache)
    assert cache._shared is not None
    batches = [batch async for batch in cache._shared.labels.walk([NEWS])]
    assert sum(map(len, batches)) == 200
    await cache.aclose()


async def test_what_was_made_while_redis_was_away_is_purged_too(victim: Server, keys: Keys):
    """It is in one process' memory and in no index: that replica would serve it for a month."""
    cache = open_cache(memory_bytes=1 << 20, redis_url=victim.url, keys=keys)
    operator = open_cache(memory_bytes=0, redis_url=victim.url, keys=keys)
    await operator.put(B, sound())
    assert cache._shared is not None
    cache._shared.purges._pause = 0.01
    await cache.get_many([B])
    # It knows where the log stands: else it would empty its memory as soon as Redis is back.
    await until(lambda: cache._shared is not None and cache._shared.purges.mark != START)
    victim.send(signal.SIGSTOP)
    cache._shared.link.outage.trip()

    async def make(_emit: Callable[[bytes], None]) -> Made:
        return Made(b"{}", b"made alone", 60.0, (NEWS,))

    async with cache.board(A, make) as seat:
        await seat.entry()
    cache._shared.labels._waiting.clear()  # lost, as by a process that ended
    victim.send(signal.SIGCONT)
    await until(lambda: not cache.statistics().redis_away)
    assert cache._memory.peek(A)
    await operator.purge([NEWS])
    await until(lambda: cache._memory.peek(A) is None)
    await cache.aclose()
    await operator.aclose()


async def test_purges_outlive_a_failed_look(shared: Shared, monkeypatch: pytest.MonkeyPatch):
    """After one outage a process would never again hear of a purge."""
    cache = open_cache(memory_bytes=1 << 20)
    looked = asyncio.Event()

    async def passing(_seconds: float) -> None:
        looked.set()
        await asyncio.sleep(0.001)

    shared.purges._sleep = passing
    shared.link.outage.trip()
    shared.purges.watch(cache._memory)
    await looked.wait()
    await until(lambda: not shared.link.outage.open)
    cache._memory.add(A, sound())
    await shared.purges.announce([A])
    await until(lambda: cache._memory.peek(A) is None)
    await shared.purges.aclose()

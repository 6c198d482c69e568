"""A Redis that is full and throws nothing out: what is forgotten there is forgotten everywhere all the same."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from cache.cache import Cache, open_cache
from cache.drafts import DraftCut
from cache.labels import Label
from cache.link import Keys
from cache.purges import START
from tests.cache.conftest import Server, sound, until
from tests.cache.test_labels import look_twice

A, B = "a" * 40, "b" * 40
NEWS = Label("tag", "news")


@pytest.fixture
async def fleet(victim: Server, keys: Keys) -> AsyncIterator[Callable[..., Cache]]:
    """Makes caches, as processes have them."""
    made: list[Cache] = []

    def more() -> Cache:
        # The time-out is not what is tested here.
        made.append(open_cache(memory_bytes=1 << 20, redis_url=victim.url, keys=keys, timeout=10.0))
        assert made[-1]._shared is not None
        made[-1]._shared.purges._pause = 0.01  # before its first look: nothing has been awaited
        return made[-1]

    yield more
    victim.command("CONFIG", "SET", "maxmemory", "0")
    for one in made:
        await one.aclose()


async def ready(*caches: Cache) -> None:
    """Until all of them know where the log ends."""
    for cache in caches:
        assert cache._shared is not None
        purges = cache._shared.purges
        await until(lambda purges=purges: purges.mark != START)


def fill(server: Server) -> None:
    """From now on it refuses whatever takes memory."""
    server.command("CONFIG", "SET", "maxmemory", "1")


@pytest.mark.parametrize("how", ["digest", "label"])
async def test_a_full_redis_forgets(victim: Server, fleet: Callable[[], Cache], how: str):
    """An operator would be told that Redis does not answer, and all would go on serving what he withdrew."""
    one, two = fleet(), fleet()
    await ready(one, two)
    await one.put(A, sound())
    one.label([NEWS], {A: time.time() + 60})
    assert one._shared is not None
    labels = one._shared.labels
    await until(lambda: labels._writer is None)
    assert None not in await two.get_many([A])
    fill(victim)
    assert (await one.purge([NEWS]) if how == "label" else await one.delete_many([A])) == 1
    await until(lambda: two._memory.peek(A) is None)
    assert await two.get_many([A]) == [None]
    assert not two.statistics().redis_away


async def test_a_full_redis_forgets_again_and_again(victim: Server, fleet: Callable[[], Cache], keys: Keys):
    """A second purge would be taken for done, where the first has used up the only way to tell of one."""
    one, two = fleet(), fleet()
    await ready(one, two)
    for digest in (A, B):
        await one.put(digest, sound())
    fill(victim)
    assert await one.delete_many([A]) == 1
    assert victim.command("EXISTS", keys.of("purges", "")) == b":0\r\n"
    # Until what it heard of the first is not heeded again any more.
    await look_twice(two)
    await look_twice(two)
    assert None not in await two.get_many([B])
    assert await one.delete_many([B]) == 1
    await until(lambda: two._memory.peek(B) is None)
    assert await two.get_many([A, B]) == [None, None]
    victim.command("CONFIG", "SET", "maxmemory", "0")
    await ready(one, two)
    await look_twice(two)
    await look_twice(two)
    await two.put(A, sound())
    await look_twice(two)
    assert two._memory.peek(A) is not None, "all is well again"


async def test_what_is_made_anew_in_a_full_redis_is_not_heard_as_it_was(
    victim: Server, fleet: Callable[[], Cache], keys: Keys
):
    """Who had bad sound made anew would hear the new, and all others the old, for a month."""
    one = fleet()
    await ready(one)
    assert one._shared is not None
    await one._shared.tier.put(A, sound(b"old"))
    victim.command("SET", keys.of("lease", A), "mine", "PX", "60000")
    fill(victim)
    assert await one._shared.leases.finish(A, "mine", sound(b"new"), 60.0) == "full"
    assert await one._shared.tier.get_many([A]) == [None]


async def test_what_cannot_be_replaced_stays_as_it_is_everywhere(victim: Server, fleet: Callable[[], Cache]):
    """A clip that was made anew and could not be stored would be one process' own, and differ from all others'."""
    one = fleet()
    await ready(one)
    await one.put(A, old := sound(b"old"))
    fill(victim)
    assert not await one.renew(A, sound(b"new"))
    assert await one.get_many([A]) == [old]


async def test_a_rest_holds_for_all(fleet: Callable[[], Cache], victim: Server, keys: Keys):
    """What was made and could not be stored would be paid for again by the next replica, a minute later."""
    one, two = fleet(), fleet()
    assert await one.claim(A, 60.0)
    await one.rest(A, 3600.0)
    assert one.is_claimed(A)
    assert not await two.claim(A, 60.0)
    assert int(victim.command("TTL", keys.of("refresh", A))[1:]) > 3500


async def test_a_speech_is_withdrawn_in_a_full_redis(victim: Server, fleet: Callable[[], Cache]):
    """What is deleted while it is made would be kept by its maker: no record can name it to him."""
    one, two = fleet(), fleet()
    await ready(one, two)
    await one.put(B, sound())
    with one.drafts.open(A, b"head", [B]) as draft:
        await draft.announced()
        following = await two.drafts.follow(A)
        assert following is not None
        fill(victim)
        await two.delete_many([A])
        await two.withdraw(A)
        with pytest.raises(DraftCut):
            async for _ in following.lines:
                pass
        assert await two.drafts.follow(A) is None
        draft.add(b"line")
    await until(lambda: not one.drafts._tasks)
    assert await one.get_many([B]) == [None], "the maker has what he stored for it forgotten"


async def test_what_is_told_of_a_speech_is_followed_in_a_full_redis(
    victim: Server, fleet: Callable[[], Cache]
):
    """Who listens to what another replica makes would be cut, since that he does cannot be noted."""
    one, two = fleet(), fleet()
    await ready(one, two)
    with one.drafts.open(A, b"head") as draft:
        await draft.announced()
        following = await two.drafts.follow(A)
        assert following is not None
        draft.add(b"line")
        draft.end(whole=True)
        await until(lambda: not one.drafts._tasks)
        fill(victim)
        async with aclosing(following.lines) as lines:
            assert [line async for line in lines] == [b"line"]

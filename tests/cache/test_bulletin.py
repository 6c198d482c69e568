"""What processes tell each other through Redis."""

import asyncio
import signal
from collections.abc import Callable

from cache.bulletin import Bulletin
from cache.shared import Shared
from tests.cache.conftest import Server


async def test_all_read_what_one_posts(open_shared: Callable[..., Shared], valkey: Server):
    """What one process found out would be found out by each of them."""
    one, two = (Bulletin(open_shared(valkey).link) for _ in range(2))
    assert await one.post("first", "unavailable", 60.0)
    assert await two.posted(["first", "second"]) == {"first": "unavailable"}
    assert await two.withdraw("first")
    assert await one.posted(["first", "second"]) == {}


async def test_what_nobody_repeats_runs_out(open_shared: Callable[..., Shared], valkey: Server):
    """A process that died would have said its last word for ever."""
    one = Bulletin(open_shared(valkey).link)
    assert await one.post("first", "unavailable", 0.05)
    async with asyncio.timeout(5):
        while await one.posted(["first"]):  # noqa: ASYNC110 - a key's end has no event
            await asyncio.sleep(0.005)


async def test_claims_of_one_kind_are_no_others(open_shared: Callable[..., Shared], valkey: Server):
    """A probe would keep a clip of that name from being made anew."""
    shared = open_shared(valkey)
    one, two = Bulletin(shared.link), Bulletin(open_shared(valkey).link)
    assert await one.claim("first", 60.0)
    assert not await two.claim("first", 60.0)
    assert not await shared.link.client.exists(shared.link.keys.of("refresh", "first"))


async def test_without_redis_there_are_no_others(open_shared: Callable[..., Shared], victim: Server):
    """Taken for silence, what the others say would be taken back while Redis is away."""
    away = Bulletin(open_shared(victim).link)
    victim.send(signal.SIGSTOP)
    for alone in (away, Bulletin(None)):
        assert await alone.posted(["first"]) is None
        assert not await alone.post("first", "unavailable", 60.0)
        assert not await alone.withdraw("first")
        assert await alone.claim("first", 60.0)
        assert not await alone.claim("first", 60.0)
    victim.send(signal.SIGCONT)

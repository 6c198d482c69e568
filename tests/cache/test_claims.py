"""One in the fleet, once in a while."""

import asyncio
import signal
from collections.abc import Callable

from cache.claims import Claims
from cache.shared import Shared
from tests.cache.conftest import Server

A, B = "a" * 40, "b" * 40


async def test_one_of_the_fleet_is_the_one(open_shared: Callable[..., Shared], valkey: Server):
    """Every replica would make the same sound anew, and pay for it."""
    fleet = [Claims(open_shared(valkey).link) for _ in range(4)]
    taken = await asyncio.gather(*(claims.take(A, 60.0) for claims in fleet for _ in range(25)))
    assert taken.count(True) == 1
    assert await fleet[0].take(B, 60.0)


async def test_a_claim_runs_out(open_shared: Callable[..., Shared], valkey: Server):
    """What failed once would never be tried again; what was tried must not be tried with every listener."""
    now = 0.0
    one, two = (Claims(open_shared(valkey).link, clock=lambda: now) for _ in range(2))
    assert await one.take(A, 0.05)
    assert not await one.take(A, 0.05)
    link = open_shared(valkey).link
    while await link.client.exists(link.keys.of("refresh", A)):  # noqa: ASYNC110 - a key's end has no event
        await asyncio.sleep(0.005)
    assert not await one.take(A, 0.05)  # by its own clock not yet
    assert await two.take(A, 60.0)
    now = 61.0
    assert not await one.take(A, 60.0)


async def test_without_redis_each_process_has_its_own(open_shared: Callable[..., Shared], victim: Server):
    """While Redis is away nothing would be made anew, or everything with every hit."""
    claims = Claims(open_shared(victim).link)
    victim.send(signal.SIGSTOP)
    assert await claims.take(A, 60.0)
    assert not await claims.take(A, 60.0)
    assert await claims.take(B, 60.0)
    victim.send(signal.SIGCONT)
    alone = Claims(None)
    assert [await alone.take(A, 60.0) for _ in range(2)] == [True, False]


async def test_a_hundred_thousand_claims_are_no_leak():
    """A process that serves an archive would grow with every old clip that it ever served."""
    claims = Claims(None)
    for number in range(100_000):
        assert await claims.take(str(number), 60.0)
    assert len(claims._until) <= 4096
    assert not await claims.take("99999", 60.0)

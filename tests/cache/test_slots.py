"""Slots that processes share."""

import asyncio
import signal
from collections.abc import Callable

from cache.shared import Shared
from cache.slots import Slots
from tests.cache.conftest import Server


async def until_taken(slots: Slots, account: str, token: str) -> None:
    """As whoever is at the head of a process' queue asks: again and again."""
    async with asyncio.timeout(5):
        while not await slots.take(account, token, 1):  # noqa: ASYNC110 - Redis' clock has no event
            await asyncio.sleep(0.02)


async def test_never_more_over_all_processes(open_shared: Callable[..., Shared], valkey: Server):
    """An account that has three slots would be asked by six, and refuse half of them."""
    # On a busy machine sixty who ask at once may wait for longer than an outage is waited for.
    fleet = [Slots(open_shared(valkey, timeout=5.0).link) for _ in range(3)]
    now = most = 0

    async def speak(number: int) -> None:
        nonlocal now, most
        slots = fleet[number % 3]
        while not await slots.take("one", str(number), 3):  # noqa: ASYNC110 - as the head of a queue asks
            await asyncio.sleep(0.005)
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        slots.leave("one", str(number))

    await asyncio.gather(*(speak(number) for number in range(60)))
    assert most == 3
    for slots in fleet:
        await slots.aclose()


async def test_who_came_first_is_served_first(open_shared: Callable[..., Shared], valkey: Server):
    """A replica with much to say would starve one with little."""
    one, two = (Slots(open_shared(valkey).link) for _ in range(2))
    assert await one.take("first", "a", 1)
    assert not await two.take("first", "b", 1)
    assert not await one.take("first", "c", 1)
    one.leave("first", "a")
    await one.aclose()
    assert not await one.take("first", "c", 1)  # it is not its turn
    assert await two.take("first", "b", 1)


async def test_who_waits_and_asks_no_more_is_passed_over(open_shared: Callable[..., Shared], valkey: Server):
    """A process that died while it waited would hold up all others for ever."""
    one = Slots(open_shared(valkey).link)
    assert await one.take("gone", "a", 1)
    assert not await one.take("gone", "dead", 1)
    one.leave("gone", "a")
    await until_taken(one, "gone", "b")
    await one.aclose()


async def test_a_dead_process_gives_its_slots_back(open_shared: Callable[..., Shared], valkey: Server):
    """Each crash would cost the account a slot for good."""
    dead = Slots(open_shared(valkey).link, lease=0.3, sleep=lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    assert await dead.take("crash", "a", 1)
    alive = Slots(open_shared(valkey).link, lease=0.3)
    await until_taken(alive, "crash", "b")
    # Who lives keeps it beyond its first lease.
    third = Slots(open_shared(valkey).link, lease=0.3)
    for _ in range(20):
        assert not await third.take("crash", "c", 1)
        await asyncio.sleep(0.03)
    for slots in (dead, alive, third):
        await slots.aclose()


async def test_without_redis_each_process_has_its_own(open_shared: Callable[..., Shared], victim: Server):
    """Nobody would be spoken for while Redis is away."""
    slots = Slots(open_shared(victim).link)
    victim.send(signal.SIGSTOP)
    assert await slots.take("one", "a", 1)
    slots.leave("one", "a")
    victim.send(signal.SIGCONT)
    assert await Slots(None).take("one", "a", 1)
    await slots.aclose()

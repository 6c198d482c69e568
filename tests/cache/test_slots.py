"""Slots that processes share."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import cache.slots
from cache.shared import Shared
from cache.slots import Slots
from tests.cache.conftest import Server


def nothing(found: float | None) -> None:
    """What an account that refuses nobody was found to bear."""
    assert found is None


def process(shared: Shared, **arguments: Any) -> Slots:
    """Another process' share in the slots."""
    return Slots(shared.link, shared.notices, **arguments)


async def until_taken(slots: Slots, account: str, token: str) -> None:
    """As whoever is at the head of a process' queue asks: again and again."""
    async with asyncio.timeout(5):
        while not await slots.take(account, token, 1, nothing):  # noqa: ASYNC110 - Redis' clock has no event
            await asyncio.sleep(0.02)


async def test_never_more_over_all_processes(open_shared: Callable[..., Shared], valkey: Server):
    """An account that has three slots would be asked by six, and refuse half of them."""
    # On a busy machine sixty who ask at once may wait for longer than an outage is waited for.
    fleet = [process(open_shared(valkey, timeout=5.0)) for _ in range(3)]
    now = most = 0

    async def speak(number: int) -> None:
        nonlocal now, most
        slots = fleet[number % 3]
        while not await slots.take("one", str(number), 3, nothing):  # noqa: ASYNC110 - as the head of a queue asks
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
    one, two = (process(open_shared(valkey)) for _ in range(2))
    assert await one.take("first", "a", 1, nothing)
    assert not await two.take("first", "b", 1, nothing)
    assert not await one.take("first", "c", 1, nothing)
    one.leave("first", "a")
    await one.aclose()
    assert not await one.take("first", "c", 1, nothing)  # it is not its turn
    assert await two.take("first", "b", 1, nothing)


async def test_who_waits_and_asks_no_more_is_passed_over(open_shared: Callable[..., Shared], valkey: Server):
    """A process that died while it waited would hold up all others for ever."""
    one = process(open_shared(valkey))
    assert await one.take("gone", "a", 1, nothing)
    assert not await one.take("gone", "dead", 1, nothing)
    one.leave("gone", "a")
    await until_taken(one, "gone", "b")
    await one.aclose()


async def test_a_dead_process_gives_its_slots_back(open_shared: Callable[..., Shared], valkey: Server):
    """Each crash would cost the account a slot for good."""
    dead = process(open_shared(valkey), lease=0.3, sleep=lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    assert await dead.take("crash", "a", 1, nothing)
    alive = process(open_shared(valkey), lease=0.3)
    await until_taken(alive, "crash", "b")
    # Who lives keeps it beyond its first lease.
    third = process(open_shared(valkey), lease=0.3)
    for _ in range(20):
        assert not await third.take("crash", "c", 1, nothing)
        await asyncio.sleep(0.03)
    for slots in (dead, alive, third):
        await slots.aclose()


async def test_without_redis_each_process_has_its_own(open_shared: Callable[..., Shared], victim: Server):
    """Nobody would be spoken for while Redis is away."""
    slots = process(open_shared(victim))
    victim.send(signal.SIGSTOP)
    assert await slots.take("one", "a", 1, nothing)
    slots.leave("one", "a")
    victim.send(signal.SIGCONT)
    await slots.aclose()


async def test_who_waits_hears_of_a_slot_given_back_elsewhere(
    open_shared: Callable[..., Shared], valkey: Server
):
    """A slot would stand empty between two looks, a quarter of the time with a vendor that is quick."""
    one, two = (process(open_shared(valkey)) for _ in range(2))
    assert await one.take("heard", "a", 1, nothing)
    async with two.ear("heard") as ear, asyncio.timeout(10):
        await ear.listen()
        assert not await two.take("heard", "b", 1, nothing)
        waiting = asyncio.create_task(ear.wait(3600))
        one.leave("heard", "a")
        await waiting
        assert await two.take("heard", "b", 1, nothing)
    for slots in (one, two):
        await slots.aclose()


async def test_one_lost_reply_lets_nobody_past_a_full_account(
    open_shared: Callable[..., Shared], victim: Server
):
    """Each hiccup of Redis would send all who wait to the vendor at once, who refuses them."""
    slots = process(open_shared(victim))
    assert await slots.take("full", "a", 1, nothing)
    assert not await slots.take("full", "b", 1, nothing)
    victim.send(signal.SIGSTOP)
    assert not await slots.take("full", "b", 1, nothing)
    assert await slots.take("full", "b", 1, nothing)  # it is away indeed
    victim.send(signal.SIGCONT)
    await slots.aclose()


async def test_who_leaves_while_it_is_asked_leaves_nothing(
    open_shared: Callable[..., Shared], valkey: Server, monkeypatch: pytest.MonkeyPatch
):
    """A slot that was taken behind its asker's back would be held, and lengthened, as long as the process lives."""
    shared = open_shared(valkey)
    slots = process(shared)
    arrived, answer = asyncio.Event(), asyncio.Event()
    call = shared.link.call
    sent: list[asyncio.Task[object]] = []

    async def read(operation: Callable[[], Awaitable[object]]) -> object:
        await answer.wait()
        return await call(operation)

    async def slow(operation: Callable[[], Awaitable[object]]) -> object:
        if sent:
            return await call(operation)
        # The first command is on its way to a server that is slow to read it.
        sent.append(asyncio.create_task(read(operation)))
        arrived.set()
        return await asyncio.shield(sent[0])

    monkeypatch.setattr(shared.link, "call", slow)
    asking = asyncio.create_task(slots.take("slow", "a", 1, nothing))
    await arrived.wait()
    asking.cancel()
    await asyncio.wait([asking])
    slots.leave("slow", "a")
    for _ in range(10):
        await asyncio.sleep(0)
    answer.set()
    await sent[0]
    await slots.aclose()
    assert await process(open_shared(valkey)).take("slow", "b", 1, nothing)


class Found:
    """What a process has heard of an account."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.now: float | None = None
        self.changed = asyncio.Event()

    def __call__(self, found: float | None) -> None:
        """As `Heard`."""
        self.now = found
        self.changed.set()

    async def adapt(self, most: int | None, *, refused: int) -> float | None:
        """What comes of it."""
        self.changed.clear()
        self.slots.adapt("found", most, self, refused=refused)
        await self.changed.wait()
        return self.now


async def test_what_one_process_finds_out_binds_all(
    open_shared: Callable[..., Shared], valkey: Server, monkeypatch: pytest.MonkeyPatch
):
    """An account that bears four would be asked by each replica as if it were alone until each has been refused."""
    monkeypatch.setattr(cache.slots, "PAUSE_SECONDS", 3600.0)
    one, two = (Found(process(open_shared(valkey))) for _ in range(2))
    for number in range(6):
        assert await one.slots.take("found", f"one-{number}", None, one)
    assert await two.slots.take("found", "two", None, two)
    assert two.now is None
    assert await one.adapt(None, refused=1) == 3.5  # of seven under way
    assert await two.adapt(None, refused=1) == 3.5  # the same burst
    # Of what one process had under way some may have been given back before its word arrives.
    assert await one.slots.take("crowd", "last", None, one)
    one.changed.clear()
    one.slots.adapt("crowd", None, one, refused=8)
    await one.changed.wait()
    assert one.now == 4.0
    third = Found(process(open_shared(valkey)))
    # It will not ask again, and is in nobody's way.
    assert not await third.slots.take("found", "third", None, third, waits=False)
    assert third.now == 3.5
    for number in range(4):
        one.slots.leave("found", f"one-{number}")
    await one.slots.aclose()
    assert not await two.slots.take("found", "more", None, two)
    assert not await third.slots.take("found", "behind", None, third)
    two.slots.leave("found", "two")
    await two.slots.aclose()
    assert not await third.slots.take("found", "behind", None, third)  # it is not its turn
    assert await two.slots.take("found", "more", None, two)
    # A round of successes adds one, and with what is known it is over.
    rounds = [await one.adapt(5, refused=0) for _ in range(6)]
    assert (rounds[2] or 0) > 4
    assert (rounds[-1] or 0) < 5
    assert await one.adapt(5, refused=0) is None
    monkeypatch.setattr(cache.slots, "PAUSE_SECONDS", 0.0)
    assert [await two.adapt(8, refused=1) for _ in range(4)] == [4.0, 2.0, 1.0, 1.0]
    for found in (one, two, third):
        await found.slots.aclose()

"""Until when sound is waited for: when a wait for a turn ends, and when nobody is asked again."""

import asyncio
import math
from contextlib import ExitStack

import pytest

from providers import errors
from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.deadline import Deadline, speaking_until
from providers.gate import Gated
from providers.interface import ProviderVoice, Utterance
from providers.retry import Retrying
from providers.scripted import Script, Scripted
from tests.providers.test_composites import Time
from tests.providers.test_gate import Board, until

HELLO = Utterance("Hello there, you.", ProviderVoice("one", "low"))
LONG = 3600.0


async def said(provider: Gated | Retrying, deadline: Deadline | None = None) -> bytes:
    """All the sound, wanted by then."""
    speaking_until.set(deadline)
    async with provider.speak(HELLO) as sound:
        return b"".join([piece async for piece in sound.pieces])


def now() -> float:
    """The loop's."""
    return asyncio.get_running_loop().time()


class Full:
    """A gate with one slot, which somebody has until `leave` is set."""

    def __init__(self, timeout: float) -> None:
        self.leave = asyncio.Event()
        self.board = Board()
        self.circuit = Circuit("one")
        self.double = Scripted("one")
        self.gate = Gated(self.double, Allowance(1), self.circuit, self.board, timeout=timeout)

    async def occupy(self) -> None:
        """Until told otherwise."""
        async with self.gate.speak(HELLO):
            await self.leave.wait()


async def crowded(seconds: float) -> tuple[Full, "asyncio.Task[None]"]:
    """A gate that is full, and who fills it."""
    full = Full(seconds)
    occupying = asyncio.create_task(full.occupy())
    await until(lambda: full.gate.under_way == 1)
    return full, occupying


@pytest.mark.parametrize("bound", ["timeout", "deadline"])
async def test_waiting_at_a_full_gate_ends(bound: str):
    """The next of the chain could have spoken, and the listener hears nothing until his own time is over."""
    full, occupying = await crowded(0.02 if bound == "timeout" else LONG)
    waited = Deadline(now(), now() + (LONG if bound == "timeout" else 0.02))
    for _ in range(6):  # more than would open a circuit
        with pytest.raises(errors.Busy):
            await said(full.gate, waited)
    assert full.circuit.reason is None
    assert full.gate.turns.waiting == 0
    full.leave.set()
    await occupying
    assert await said(full.gate)
    assert not full.board.held


async def test_who_has_not_said_any_deadline_waits_no_longer_than_the_provider_s_own_time():
    """A refresh would wait for ever, and keep others from theirs."""
    full, occupying = await crowded(0.02)
    with pytest.raises(errors.Busy):
        await said(full.gate)
    full.leave.set()
    await occupying


async def test_what_is_made_ahead_waits_until_its_listener_comes_to_it():
    """The sixth sentence of a slow voice would fail while its listener still hears the second."""
    full, occupying = await crowded(0.02)
    ahead = Deadline()
    waiting = asyncio.create_task(said(full.gate, ahead))
    await asyncio.sleep(0.06)
    assert full.gate.turns.waiting == 1
    ahead.begin(now(), now() + LONG)
    with pytest.raises(errors.Busy):
        await waiting
    full.leave.set()
    await occupying


async def test_as_long_as_one_of_them_has_time_nobody_s_is_over():
    """Who joined a synthesis late would be failed by the deadline of whoever began it."""
    full, occupying = await crowded(LONG)
    shared, early, late = Deadline(), Deadline(now(), now() + 0.02), Deadline(now(), now() + LONG)
    with shared.aboard(early):
        waiting = asyncio.create_task(said(full.gate, shared))
        await until(lambda: full.gate.turns.waiting == 1)
        with shared.aboard(late):
            await asyncio.sleep(0.06)
            assert not waiting.done()
        # Only the early one is left, whose time is over.
        with pytest.raises(errors.Busy):
            await waiting
    assert shared.time == (math.inf, math.inf)
    full.leave.set()
    await occupying


async def test_moved_in_the_moment_in_which_it_ended():
    """A listener's next look would fail with an error of ours, and with him all who share the synthesis."""
    deadline = Deadline(now(), now() - 1)

    async def wait() -> None:
        async with deadline.within(LONG):
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                deadline.begin(now(), now() + LONG)
                raise

    with pytest.raises(TimeoutError):
        await wait()


@pytest.mark.parametrize(("left", "calls"), [(4.0, 1), (5.0, 2), (math.inf, 3)])
async def test_nobody_is_asked_again_past_the_deadline(left: float, calls: int):
    """The time of the next in the chain would be spent on pauses, and calls paid for that nobody can hear."""
    time = Time()
    double = Scripted("one", Script(fault="rate_limited", retry_after=4.0))
    provider = Retrying(double, 3, timeout=30.0, sleep=time.sleep, random=lambda: 0.5, clock=time)
    with pytest.raises(errors.RateLimited):
        await said(provider, Deadline(0.0, left))
    assert len(double.calls) == calls


@pytest.mark.parametrize(("left", "calls"), [(9.0, 1), (10.5, 2)])
async def test_who_hung_is_not_asked_again_where_there_is_less_time_than_that(left: float, calls: int):
    """A vendor that hangs for five seconds is asked once more, four seconds before the end, and the next one never."""
    time = Time()
    double = Scripted("one", Script(fault="timeout", delay=5.0), sleep=time.sleep)
    provider = Retrying(double, 3, timeout=30.0, sleep=time.sleep, random=lambda: 0.5, clock=time)
    with pytest.raises(errors.TimedOut):
        await said(provider, Deadline(0.0, left))
    assert len(double.calls) == calls


async def test_the_latest_of_a_crowd_that_comes_moves_and_goes():
    """A deadline that is remembered wrongly fails a listener who has time, or keeps a turn for nobody."""
    shared = Deadline()
    crowd = [Deadline(float(number), float(number)) for number in range(5)]
    with ExitStack() as leaving:
        for one in crowd:
            leaving.enter_context(shared.aboard(one))
            assert shared.until == max(each.until for each in crowd[: crowd.index(one) + 1])
        for one, until_ in ((crowd[0], 9.0), (crowd[4], 7.0), (crowd[0], 1.0), (crowd[2], math.inf)):
            one.begin(0.0, until_)
            assert shared.until == max(each.until for each in crowd)
        with shared.aboard(Deadline(0.0, 3.0)):
            assert shared.until == math.inf
        crowd[2].begin(0.0, 2.0)
        assert shared.until == 7.0
        leaving.pop_all().close()
    assert shared.until == math.inf

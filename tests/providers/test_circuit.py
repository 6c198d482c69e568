"""A provider's circuit: when it opens, for what, and who is let go."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from providers import errors
from providers.allowance import Allowance
from providers.budget import RESERVE, RetryBudget
from providers.circuit import Circuit, Rules
from providers.gate import Gated
from providers.guard import Guarded, Watched, circuit_of
from providers.interface import ProviderSettings, ProviderVoice, Sound, Utterance
from providers.kinds import build, unguarded
from providers.scripted import Script, Scripted
from providers.wrapped import bare

DOWN = errors.Unavailable("down", provider="one")
VOICE = ProviderVoice("one", "low")


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """As the loop's."""
        return self.now


def circuit(**more: object) -> Circuit:
    """A new one."""
    return Circuit("one", **more)  # type: ignore[arg-type]


def test_failures_one_behind_the_other_open_it():
    """Everybody would wait for a provider that is down, one time-out each."""
    one = circuit()
    for _ in range(4):
        one.failed(DOWN)
    one.check()
    one.failed(DOWN)
    with pytest.raises(errors.CircuitOpen) as caught:
        one.check()
    assert caught.value.retry_after == 5
    assert one.reason == "unavailable"


def test_a_success_between_starts_anew():
    """A provider that fails now and then would be given up for good."""
    one = circuit()
    for _ in range(4):
        one.failed(DOWN)
    one.succeeded(0.1)
    for _ in range(4):
        one.failed(DOWN)
    one.check()


def test_every_second_call_is_too_many():
    """It never fails five times running, and half of all listeners still wait in vain."""
    one = circuit()
    for _ in range(5):
        one.check()
        one.succeeded(0.1)
        one.failed(DOWN)
    with pytest.raises(errors.CircuitOpen):
        one.check()


def test_old_failures_are_forgotten():
    """What went wrong an hour ago would open it at the next slip."""
    clock = Clock()
    one = circuit(clock=clock)
    for _ in range(6):
        one.failed(DOWN)
        one.succeeded(0.1)
        clock.now += 10
    one.check()
    assert one.counts()[0] <= 8


@pytest.mark.parametrize("error", [errors.BadCredentials, errors.QuotaExceeded])
def test_an_account_that_is_over_opens_it_at_once(error: type[errors.ProviderError]):
    """Each call would be refused, and some vendors lock accounts that go on trying."""
    one = circuit()
    one.failed(error("no", provider="one"))
    with pytest.raises(error):
        one.check()
    assert one.pause == 60


@pytest.mark.parametrize("error", [errors.BadVoice, errors.BadRequest, errors.TooLong, errors.CircuitOpen])
def test_what_the_caller_did_wrong_counts_for_nothing(error: type[errors.ProviderError]):
    """One user with a wrong parameter would switch the provider off for everybody."""
    one = circuit()
    for _ in range(50):
        one.failed(error("no", provider="one"))
    one.check()
    assert one.counts() == (0, 0)


def test_slow_is_failed():
    """A vendor that answers after eight seconds never fails, and nobody can bear it."""
    one = circuit(slow=2.0)
    for _ in range(5):
        one.succeeded(2.5)
    with pytest.raises(errors.CircuitOpen):
        one.check()
    assert one.reason == "slow"


class Machine(RuleBasedStateMachine):
    """Whatever comes in whatever order: closed, open and what was counted agree."""

    @initialize()
    def begin(self) -> None:
        """A new circuit, and what we know of it."""
        self.clock = Clock()
        self.one = Circuit("one", Rules(), clock=self.clock)
        self.calls: list[tuple[float, bool]] = []
        self.running = 0
        self.is_open = False

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    @rule()
    def succeed(self) -> None:
        """A call ends well (begun before it opened, perhaps)."""
        self.one.succeeded(0.1)
        self.running = 0
        self.calls.append((self.clock.now, False))

    @rule()
    def fail(self) -> None:
        """A call fails."""
        self.one.failed(DOWN)
        self.running += 1
        self.calls.append((self.clock.now, True))
        recent = [failed for at, failed in self.calls if at >= self.clock.now - 30]
        if self.running >= 5 or (len(recent) >= 10 and sum(recent) >= len(recent) / 2):
            self.is_open = True

    @rule()
    def close(self) -> None:
        """A probe has found that it speaks."""
        self.one.close()
        self.is_open, self.running = False, 0
        self.calls.clear()

    @invariant()
    def it_is_what_it_should_be(self) -> None:
        """Open exactly when the rules say so, and it has not been closed since."""
        if hasattr(self, "one"):
            assert (self.one.reason is not None) == self.is_open


TestMachine = Machine.TestCase


def test_retries_are_a_tenth_of_the_traffic():
    """In an outage each request would become two or three: a small one grows into a large one."""
    budget = RetryBudget()
    taken = 0
    for _ in range(1000):
        budget.first()
        taken += budget.take()
    assert 100 <= taken <= 100 + RESERVE
    assert budget.taken == taken


def test_what_is_saved_up_is_bounded():
    """After a quiet day a thousand retries would go out in the first minute of an outage."""
    budget = RetryBudget()
    for _ in range(10_000):
        budget.first()
    assert sum(budget.take() for _ in range(100)) == RESERVE


async def said(provider: object, text: str = "Somebody says a thing.") -> bytes:
    """All the sound."""
    async with provider.speak(Utterance(text, VOICE)) as sound:  # type: ignore[attr-defined]
        return b"".join([piece async for piece in sound.pieces])


async def test_every_attempt_is_seen_and_an_open_one_makes_none():
    """Retries within one request would hide how often a provider fails."""
    settings = ProviderSettings("one", "scripted", attempts=3, options=(("fault", "unavailable"),))
    provider = build(settings, sleep=lambda _: asyncio.sleep(0))
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            await said(provider)
    scripted = bare(provider)
    assert isinstance(scripted, Scripted)
    assert len(scripted.calls) == 5
    with pytest.raises(errors.CircuitOpen):
        await said(provider)
    assert len(scripted.calls) == 5


async def test_garbage_counts_where_the_reader_finds_it():
    """A provider that answers noise to everybody would be asked for ever."""
    one = circuit()
    provider = Watched(Scripted("one"), one)
    for _ in range(5):
        with pytest.raises(errors.BadAudio):  # noqa: PT012
            async with provider.speak(Utterance("Noise.", VOICE)) as sound:
                await anext(sound.pieces)
                raise errors.BadAudio("noise", provider="one")
    assert one.reason == "bad_audio"


class Broken(Scripted):
    """An adapter with a defect: on entering, or at the second piece."""

    def __init__(self, *, late: bool) -> None:
        super().__init__("one")
        self.late = late

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`."""
        if not self.late:
            raise KeyError("audio")

        async def pieces() -> AsyncGenerator[bytes]:
            yield b"1"
            raise KeyError("audio")

        yield Sound("pcm_s16le", 24_000, 1, pieces())


@pytest.mark.parametrize("late", [False, True])
async def test_an_adapters_defect_counts(late: bool):
    """A vendor that changes its answers would be asked, and paid, for ever."""
    one = circuit()
    provider = Watched(Broken(late=late), one)
    for _ in range(5):
        with pytest.raises(KeyError):
            await said(provider)
    assert one.reason == "provider_error"


async def test_the_readers_own_defect_does_not():
    """A fault of ours would switch off a provider that is well."""
    one = circuit()
    provider = Watched(Scripted("one"), one)
    for _ in range(10):
        with pytest.raises(LookupError):  # noqa: PT012
            async with provider.speak(Utterance("Noise.", VOICE)) as sound:
                await anext(sound.pieces)
                raise LookupError
    assert one.counts() == (0, 0)


def test_what_fails_late_does_not_change_the_reason():
    """A refused key would be tried every five seconds, as if it were an outage."""
    one = circuit()
    one.failed(errors.BadCredentials("no", provider="one"))
    for _ in range(6):
        one.failed(DOWN)
    assert one.reason == "auth"


async def test_who_leaves_counts_for_nothing():
    """Listeners who hang up would close, or open, a circuit that they know nothing of."""
    one = circuit()
    provider = Watched(Scripted("one", Script(fault="unavailable")), one)
    held = Scripted("one")
    held.between.clear()
    leaving = Watched(held, one)
    for _ in range(4):
        with pytest.raises(errors.Unavailable):
            await said(provider)
    async with leaving.speak(Utterance("Somebody leaves.", VOICE)) as sound:
        await anext(sound.pieces)
    assert one.counts() == (4, 4)
    with pytest.raises(errors.Unavailable):
        await said(provider)
    assert one.reason == "unavailable"


async def test_who_waits_at_the_gate_is_let_go_when_it_opens():
    """Behind a dead provider's gate a queue would wait for one time-out after the other."""
    one = circuit()
    holding = Scripted("one")
    holding.before_first.clear()
    provider = Guarded(Gated(Watched(holding, one), Allowance(1), one), one)
    first = asyncio.create_task(said(provider))
    await holding.called(1)
    waiting = [asyncio.create_task(said(provider)) for _ in range(5)]
    await asyncio.sleep(0)
    one.open("unavailable")
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.CircuitOpen] * 5
    holding.before_first.set()
    assert await first  # who was asked already is heard out
    one.close()
    assert await said(provider)  # and no slot was lost


@pytest.mark.parametrize("steps", range(8))
async def test_cancelled_at_the_gate_no_slot_is_lost(steps: int):
    """A slot lost at an unlucky moment adds up until nothing can be spoken at all."""
    one = circuit()
    provider = Gated(Scripted("one"), Allowance(1), one)
    task = asyncio.create_task(said(provider))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.wait_for(said(provider), 5)


async def test_who_waited_while_it_was_open_for_a_moment_is_told_so():
    """It would be told as a defect of ours, and logged as one."""
    one = circuit()
    waiting = asyncio.create_task(_waiting(one))
    await asyncio.sleep(0)
    one.open("unavailable")
    one.close()
    with pytest.raises(errors.CircuitOpen):
        await waiting


async def _waiting(one: Circuit) -> None:
    async with one.unless_open():
        await asyncio.Event().wait()


@pytest.mark.parametrize("slow_after", [0.3, None])
async def test_a_probe_that_comes_late_is_none(slow_after: float | None):
    """What slow answers have opened one of them would close, every five seconds, for five listeners each."""
    provider = build(ProviderSettings("one", "scripted", slow_after=slow_after))
    scripted = bare(provider)
    assert isinstance(scripted, Scripted)
    assert await said(unguarded(provider))
    scripted.before_first.clear()
    asking = asyncio.create_task(said(unguarded(provider)))
    if slow_after is None:
        await scripted.called(2)
        scripted.before_first.set()
        assert await asking
    else:
        with pytest.raises(errors.TimedOut):
            await asking
        assert scripted.calls[-1].state == "left"


async def test_a_probe_asks_though_the_circuit_is_open():
    """Nobody would ever find out that it speaks again."""
    provider = build(ProviderSettings("one", "scripted", slow_after=5))
    circuit_of(provider).open("slow")
    with pytest.raises(errors.CircuitOpen):
        await said(provider)
    assert await said(unguarded(provider))


async def test_opened_again_while_who_waited_is_still_leaving():
    """What opens a circuit would fail itself, and the failure that it came with would be lost."""
    circuit = Circuit("one")
    leaving, left = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        async with circuit.unless_open():
            try:
                await asyncio.Event().wait()
            finally:
                leaving.set()
                await left.wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    circuit.open("unavailable")
    await leaving.wait()
    circuit.close()
    circuit.open("timeout")
    left.set()
    with pytest.raises(errors.CircuitOpen):
        await waiting

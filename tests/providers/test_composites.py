"""Retries, gate, patience and the table of kinds."""

import asyncio

import pytest

from providers import errors
from providers.allowance import Allowance
from providers.gate import Gated
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS, build
from providers.patience import Patience
from providers.retry import Retrying
from providers.scripted import FAULTS, Script, Scripted

HELLO = Utterance("Hello there, you.", ProviderVoice("double", "low"))


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Now."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Pass the time at once."""
        self.slept.append(seconds)
        self.now += seconds


def retrying(script: Script, attempts: int = 3) -> tuple[Retrying, Scripted, Time]:
    """A double behind retries, on a clock of its own."""
    time, double = Time(), Scripted("double", script)
    inside = Retrying(double, attempts, timeout=30.0, sleep=time.sleep, random=lambda: 0.5, clock=time)
    return inside, double, time


async def heard(provider: Retrying | Gated | Scripted) -> bytes:
    """All the sound."""
    async with provider.speak(HELLO) as sound:
        return b"".join([piece async for piece in sound.pieces])


@pytest.mark.parametrize("code", FAULTS)
async def test_only_what_may_pass_is_retried(code: str) -> None:
    """Retrying a wrong key locks accounts; not retrying a hiccup loses a sentence."""
    provider, double, _ = retrying(Script(fault=code, fault_calls=2))
    if FAULTS[code].retryable:
        assert await heard(provider) == await heard(double)
        assert [call.state for call in double.calls[:3]] == ["failed", "failed", "done"]
    else:
        with pytest.raises(FAULTS[code]):
            await heard(provider)
        assert len(double.calls) == 1


async def test_attempts_are_counted() -> None:
    """A dead vendor must not be asked more often than configured."""
    provider, double, time = retrying(Script(fault="unavailable"))
    with pytest.raises(errors.Unavailable):
        await heard(provider)
    assert len(double.calls) == 3
    assert time.slept == [0.05, 0.1]


async def test_the_vendor_s_pause_is_kept() -> None:
    """Asking earlier than the vendor said prolongs the ban."""
    provider, _, time = retrying(Script(fault="rate_limited", fault_calls=1, retry_after=4.0))
    await heard(provider)
    assert time.slept == [4.05]


async def test_a_pause_that_outlasts_the_time_is_not_slept() -> None:
    """The listener would wait half a minute for an error that is known now."""
    provider, double, time = retrying(Script(fault="rate_limited", retry_after=60.0))
    with pytest.raises(errors.RateLimited):
        await heard(provider)
    assert len(double.calls) == 1
    assert not time.slept


async def test_before_the_first_piece_it_is_retried_and_after_it_never() -> None:
    """Sound of two attempts joined within a chunk says the same words twice."""
    provider, double, _ = retrying(Script(die_after=0, fault_calls=1))
    await heard(provider)
    assert len(double.calls) == 2
    provider, double, _ = retrying(Script(die_after=100))
    with pytest.raises(errors.Unavailable):
        await heard(provider)
    assert len(double.calls) == 1


async def test_the_gate_lets_so_many_in_and_slots_come_back() -> None:
    """Over the account's concurrency vendors answer 429; a lost slot is lost until restart."""
    double = Scripted("double")
    double.before_first.clear()
    gate = Gated(double, Allowance(2))
    tasks = [asyncio.create_task(heard(gate)) for _ in range(6)]
    await double.called(2)
    tasks[0].cancel()
    tasks[5].cancel()
    await double.called(3)
    await asyncio.sleep(0)
    assert sum(call.state == "open" for call in double.calls) == 2
    double.before_first.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, bytes) for each in done] == [False, True, True, True, True, False]
    assert len(double.calls) == 5


async def test_a_slow_listener_is_not_a_slow_provider() -> None:
    """A listener who pauses playback would otherwise get an error of the provider's."""
    time = Time()
    patience = Patience(provider="p", first_byte=5.0, total=30.0, clock=time)

    async def ready() -> int:
        return 1

    assert await patience.first(ready) == 1
    time.now += 1_000
    assert await patience.more(ready) == 1
    await patience.more(lambda: time.sleep(31))
    with pytest.raises(errors.TimedOut):
        await patience.more(lambda: asyncio.sleep(0.01))


def test_every_mistake_of_a_configuration_is_told_without_its_value() -> None:
    """An operator fixes one mistake per restart otherwise, and reads secrets in logs."""
    wrong = ProviderSettings(
        "p", "scripted", options=(("delay", "sk-secret"), ("fault", "x"), ("odd_key", "1"))
    )
    found = KINDS["scripted"].check(wrong)
    assert len(found) == 3
    assert "sk-secret" not in " ".join(found)
    with pytest.raises(ValueError, match="delay"):
        build(wrong)
    assert KINDS["openai"].check(ProviderSettings("p", "openai"))
    assert not KINDS["openai"].check(ProviderSettings("p", "openai", base_url="http://127.0.0.1/v1"))
    with pytest.raises(ValueError, match="unknown kind"):
        build(ProviderSettings("p", "nothing"))


async def test_the_double_can_be_had_by_configuration() -> None:
    """Users script faults in refrain.toml to try their own clients."""
    options = (("fault", "unavailable"), ("fault_calls", "1"))
    provider = build(
        ProviderSettings("p", "scripted", options=options), sleep=Time().sleep, random=lambda: 0.0
    )
    async with provider.speak(HELLO) as sound:
        assert await anext(sound.pieces)

"""A race of two links: whose sound is passed on, and what becomes of the other."""

import asyncio
from collections.abc import Callable

import pytest

from app.speech.clips import Clip, ClipMeta, Hear
from app.speech.hedge import Outcome, Race
from cache.value import new_entry
from providers.errors import ProviderError, Unavailable
from providers.promptness import LEAST, Promptness

LONG = 3600.0


def clip(name: str) -> Clip:
    """One that is told from others by its digest."""
    return Clip(name, new_entry(b"{}", b"x", made_at=0.0, ttl=1.0), ClipMeta(1, name, 1), "made", True, 1)


class Link:
    """Speaks when it is let, piece by piece; then ends with a clip, or fails."""

    def __init__(self, name: str, failure: ProviderError | None = None) -> None:
        self.speaks = asyncio.Event()
        self.ends = asyncio.Event()
        self.began = asyncio.Event()
        self.cancelled = False
        self._name = name
        self._failure = failure

    async def __call__(self, hear: Hear) -> Outcome:
        """As a chain's link does."""
        self.began.set()
        try:
            await self.speaks.wait()
            hear(self._name.encode())
            await self.ends.wait()
            hear(b"!")
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return [self._failure] if self._failure else clip(self._name)


async def fails(_: Hear) -> Outcome:
    """At once."""
    return [Unavailable("down", provider="first")]


async def silent(_: Hear) -> Outcome:
    """A clip without a piece."""
    return clip("silent")


def rich() -> bool:
    """Hedges are paid for."""
    return True


def poor() -> bool:
    """They are not, any more."""
    return False


def ran(
    race: Race, first: Callable[..., object], second: Callable[..., object], afford: Callable[[], bool] = rich
):
    """The race, in a task; the second begins at once if it may."""
    return asyncio.create_task(race.run(first, second, 0.0, afford))  # type: ignore[arg-type]


async def test_pieces_of_one_alone_are_passed_on():
    """Two voices at once, or one behind the other within a sentence."""
    heard: list[bytes] = []
    first, second = Link("first"), Link("second")
    running = ran(Race(heard.append), first, second)
    await second.began.wait()
    first.ends.set()
    second.speaks.set()
    first.speaks.set()
    second.ends.set()
    outcome = await running
    assert isinstance(outcome, Clip)
    assert heard in ([b"first", b"!"], [b"second", b"!"])
    assert outcome.digest == heard[0].decode()


async def test_the_loser_has_ended_when_the_race_has():
    """It would go on costing money and a slot."""
    first, second = Link("first"), Link("second")
    running = ran(Race(lambda _: None), first, second)
    await second.began.wait()
    second.speaks.set()
    second.ends.set()
    await running
    assert first.cancelled


async def test_a_failure_begins_the_second_at_once():
    """An hour of waiting for somebody who has refused already."""
    race = Race(lambda _: None)
    outcome = await asyncio.wait_for(race.run(fails, silent, LONG, poor), 5)
    assert isinstance(outcome, Clip)
    assert not race.hedged


async def test_both_fail():
    """Whoever reads why there is no sound needs both reasons."""
    outcome = await Race(lambda _: None).run(fails, fails, LONG, rich)
    assert isinstance(outcome, list)
    assert len(outcome) == 2


async def test_who_was_heard_and_fails_has_failed():
    """The other's sound behind half of a sentence is another voice in the middle of it."""
    first, second = Link("first", Unavailable("cut", provider="first")), Link("second")
    running = ran(Race(lambda _: None), first, second)
    await second.began.wait()
    first.speaks.set()
    first.ends.set()
    assert isinstance(await running, list)
    assert second.cancelled


async def test_a_clip_without_pieces_wins():
    """What was in the cache is there at once."""
    race = Race(lambda _: None)
    assert isinstance(await race.run(silent, silent, LONG, rich), Clip)
    assert not race.hedged


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_anywhere_ends_both(steps: int):
    """Links that nobody owns go on being paid for."""
    first, second = Link("first"), Link("second")
    running = ran(Race(lambda _: None), first, second)
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert first.cancelled == first.began.is_set()
    assert second.cancelled == second.began.is_set()


async def test_a_hedge_that_cannot_be_paid_for_is_none():
    """In an outage everybody would be asked for twice, and both vendors paid."""
    race = Race(lambda _: None)
    first, second = Link("first"), Link("second")
    running = ran(race, first, second, poor)
    await first.began.wait()
    for _ in range(12):
        await asyncio.sleep(0)
    first.speaks.set()
    first.ends.set()
    outcome = await running
    assert isinstance(outcome, Clip)
    assert outcome.digest == "first"
    assert not race.hedged
    assert not second.began.is_set()


async def test_who_was_not_hedged_still_fails_over():
    """The slow one that fails in the end would be the end of the speech."""
    race = Race(lambda _: None)
    fail = asyncio.Event()

    async def fails_late(hear: Hear) -> Outcome:
        await fail.wait()
        return await fails(hear)

    running = ran(race, fails_late, silent, poor)
    for _ in range(12):
        await asyncio.sleep(0)
    fail.set()
    assert isinstance(await running, Clip)
    assert not race.hedged


def test_promptness_is_known_when_enough_was_seen():
    """One slow answer would set the delay for all others, or one quick one have everything asked twice."""
    seen = Promptness()
    assert seen.p50 is None
    for seconds in range(LEAST - 1):
        seen.took(float(seconds))
    assert seen.p95 is None
    seen.took(100.0)
    assert seen.p95 == LEAST - 2

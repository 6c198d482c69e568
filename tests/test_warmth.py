"""Connections that are kept open, as long as anybody speaks and no longer."""

import asyncio
from typing import cast as assumed

import pytest

from app.settings import parse
from app.speech.cast import Cast, Casting
from app.speech.outputs import Outputs
from app.speech.plans import Plans
from app.speech.voices import Voices
from app.warmth import EVERY, QUIET, Warmth, first_choices
from providers.errors import BadCredentials
from providers.interface import Provider
from providers.scripted import Scripted
from tests.http.servers import until

CONFIG = """
[providers.dear]
kind = "scripted"
[providers.cheap]
kind = "scripted"
[providers.even]
kind = "scripted"
[providers.last]
kind = "scripted"
[voices.default]
chain = [{ provider = "dear", voice = "low" }, { provider = "last", voice = "low" }]
"""
CHEAPEST = """
[voices.thrifty]
order = "cheapest"
chain = [{ provider = "last", voice = "low" }, { provider = "cheap", voice = "low" }]
"""
SPREAD = """
[voices.spread]
order = "spread"
chain = [{ provider = "even", voice = "low" }, { provider = "cheap", voice = "low" }]
"""


class Touched(Scripted):
    """Counts how often it was warmed."""

    touched = 0
    fault: Exception | None = None

    async def warm(self) -> None:
        """See `Provider`."""
        self.touched += 1
        if self.fault:
            raise self.fault


def configured(config: str) -> Cast:
    """A cast whose providers are all scripted, `cheap` the cheapest."""
    settings = parse(config, {})
    providers: dict[str, Provider] = {
        name: Touched(name, price=1.0 if name == "cheap" else 2.0) for name in settings.providers
    }
    return Cast(Voices(settings.voices), Outputs(settings.sound), assumed("Plans", None), providers, settings)


class Time:
    """A clock that only sleeping moves, a step at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = asyncio.Semaphore(0)
        self.slept = 0

    def __call__(self) -> float:
        """Now."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait for a step."""
        self.slept += 1
        await self.steps.acquire()
        self.now += seconds

    async def step(self) -> None:
        """Let one sleep end, and wait for the next."""
        count = self.slept
        self.steps.release()
        await until(lambda: self.slept > count)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (CONFIG, {"dear"}),
        (CONFIG + CHEAPEST, {"dear", "cheap"}),
        (CONFIG + SPREAD, {"dear", "even", "cheap"}),
    ],
)
def test_who_is_likely_to_be_asked(config: str, names: set[str]):
    """The wrong vendor's connection would be kept open, and the right one's not."""
    assert set(first_choices(configured(config))) == names


async def test_touched_while_there_is_traffic_and_ten_minutes_longer():
    """A quiet server would knock at every vendor for ever; a busy one would be cold after each minute's pause."""
    cast, time, chunks = configured(CONFIG), Time(), 0.0
    dear, last = cast.providers["dear"], cast.providers["last"]
    assert isinstance(dear, Touched)
    assert isinstance(last, Touched)
    async with Warmth(Casting(cast), lambda: chunks, sleep=time.sleep, clock=time).kept():
        await until(lambda: time.slept == 1)
        await time.step()
        assert dear.touched == 0
        chunks = 1.0
        for _ in range(30):
            await time.step()
        touches = int(QUIET / EVERY) + 1
        assert (dear.touched, last.touched) == (touches, 0)
        chunks = 2.0
        await time.step()
        assert dear.touched == touches + 1
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "warmth"]


@pytest.mark.parametrize("fault", [BadCredentials("no"), RuntimeError("a defect")])
async def test_who_cannot_be_touched_is_touched_again(fault: Exception):
    """One bad key, or one defect, would let every connection go cold until the next start."""
    cast, time = configured(CONFIG), Time()
    dear = cast.providers["dear"]
    assert isinstance(dear, Touched)
    dear.fault = fault
    async with Warmth(Casting(cast), lambda: 1.0, sleep=time.sleep, clock=time).kept():
        await until(lambda: time.slept == 1)
        await time.step()
        await time.step()
    assert dear.touched == 2

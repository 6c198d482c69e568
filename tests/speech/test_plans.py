"""Plans of many requests: made once, remembered within bounds, and nobody's hostage."""

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

import app.speech.plans
from app.audio.formats import FORMATS, output
from app.errors import InvalidSsml
from app.settings import parse
from app.speech.plan import InputType, Plan, Planner, SpeechRequest
from app.speech.plans import INLINE_LINES, SHORT_CHARACTERS, Lanes, Plans
from app.speech.voices import Voices
from providers.kinds import build
from tests.http.servers import VOICES, Inside


class Counting(Planner):
    """A planner that tells of its work, and can be held in the middle of it."""

    def __init__(self) -> None:
        self.settings = parse(VOICES, {})
        self.voices = Voices(self.settings.voices)
        providers = {name: build(table.named(name)) for name, table in self.settings.providers.items()}
        super().__init__(
            providers,
            self.settings.chunking,
            self.settings.pronunciation,
            self.settings.server.max_input_chars,
        )
        self.planned: list[str] = []
        self.begun = threading.Event()
        self.long = threading.Event()
        self.long.set()

    def plan(self, request: SpeechRequest) -> Plan:
        """See `Planner`; a long text waits for `long`."""
        self.begun.set()
        self.planned.append(threading.current_thread().name)
        if len(request.text) > SHORT_CHARACTERS:
            assert self.long.wait(20)
        return super().plan(request)


@dataclass(frozen=True)
class Desk:
    """Plans, and the planner behind them."""

    plans: Plans
    planner: Counting
    lanes: Lanes

    def request(self, text: str, voice: str = "alloy", kind: InputType = "text") -> SpeechRequest:
        """For mp3."""
        found = self.planner.voices.find(voice)
        return SpeechRequest(text, found, output(FORMATS["mp3"]), input_type=kind)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Plans that have planned nothing yet."""
    planner = Counting()
    lanes = Lanes()
    yield Desk(Plans(planner, lanes), planner, lanes)
    planner.long.set()
    await lanes.aclose()


LONG = "The same sentence, once more. " * 400


async def test_remembered_plans_take_bounded_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Short texts by the hundred thousand, each within every limit, would fill the memory with their plans."""
    bound = 2**20
    monkeypatch.setattr(app.speech.plans, "REMEMBERED_BYTES", bound)
    tracemalloc.start()
    try:
        for number in range(2_000):
            await desk.plans.get(desk.request(f"No. {number}.", "backed"))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * bound


async def test_plans_of_markup_are_weighed_as_what_they_are(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """A reference of six characters keeps a place in the source; a thousand such texts would fill the memory."""
    bound = 2**21
    monkeypatch.setattr(app.speech.plans, "REMEMBERED_BYTES", bound)
    await desk.plans.get(desk.request("<speak>What is loaded once.</speak>", kind="ssml"))
    tracemalloc.start()
    try:
        for number in range(60):
            text = f"<speak>No. {number}. {'a&amp;' * 1_000}</speak>"
            await desk.plans.get(desk.request(text, kind="ssml"))
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * bound


async def test_a_remembered_plan_is_the_same(desk: Desk):
    """Planning again what was just planned would cost each hit the cutting and hashing of its text."""
    request = desk.request("Said again and again.")
    assert await desk.plans.get(request) is await desk.plans.get(request)
    assert len(desk.planner.planned) == 1


async def test_a_plan_does_not_depend_on_the_way_it_is_made(desk: Desk):
    """Long texts are planned in a thread: their addresses must not depend on that."""
    request = desk.request(LONG)
    assert (await desk.plans.get(request)).digest == desk.planner.plan(request).digest
    assert desk.planner.planned[0].startswith("plan-long")


async def test_what_takes_long_is_off_the_event_loop(desk: Desk):
    """Everybody's sound would wait while one text of many lines is cut."""
    for text, kind in [("a\n\n" * INLINE_LINES, "text"), ("*One* word.", "markdown")]:
        await desk.plans.get(desk.request(text, kind=kind))  # type: ignore[arg-type] # one of the kinds
    assert [name.rpartition("_")[0] for name in desk.planner.planned] == ["plan-short", "plan-short"]


async def test_many_who_ask_at_once_are_planned_for_once(desk: Desk):
    """A thousand readers of one new article would have it cut a thousand times before the first word."""
    desk.planner.long.clear()
    asking = [asyncio.create_task(desk.plans.get(desk.request(LONG))) for _ in range(30)]
    await asyncio.sleep(0)
    asking[0].cancel()
    desk.planner.long.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert len({id(plan) for plan in found[1:]}) == 1
    assert len(desk.planner.planned) == 1


async def test_a_failure_is_told_to_all_who_ask_and_not_remembered(desk: Desk):
    """One of two who sent the same broken text would wait for ever, or the server would log it as a defect."""
    broken = desk.request("<speak>", kind="ssml")
    found = await asyncio.gather(*(desk.plans.get(broken) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in found] == [InvalidSsml, InvalidSsml]
    with pytest.raises(InvalidSsml):
        await desk.plans.get(broken)
    assert len(desk.planner.planned) == 2


async def test_a_long_text_does_not_hold_up_short_ones(desk: Desk):
    """A page of 200,000 characters takes seconds if it is made to; nobody else's sentence should."""
    desk.planner.long.clear()
    held = asyncio.create_task(desk.plans.get(desk.request(LONG)))
    short = await desk.plans.get(desk.request("*One* word.", kind="markdown"))
    assert len(short.chunks) == 1
    assert not held.done()
    desk.planner.long.set()
    assert (await held).chunks


async def test_what_is_under_way_ends_with_the_house(desk: Desk):
    """A thread that is left behind keeps the process from ending."""
    desk.planner.long.clear()
    held = asyncio.create_task(desk.plans.get(desk.request(LONG)))
    assert await asyncio.to_thread(desk.planner.begun.wait, 20)
    closing = asyncio.create_task(desk.lanes.aclose())
    with pytest.raises(asyncio.CancelledError):
        await held
    desk.planner.long.set()
    await closing
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("plan-")]


async def test_a_letter_on_every_line_is_refused(house: Inside):
    """One request of 200,000 characters would be 66,666 calls of a provider, and hold up everybody's planning."""
    answer = await house.post(input="a\n\n" * 60_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "input_too_long")
    assert not house.scripted["first"].calls

"""What the studio keeps to itself."""

import tracemalloc
from typing import cast

import pytest

import app.speech.studio
from app.audio.formats import FORMATS, output
from app.metrics import Metrics
from app.settings import parse
from app.speech.clips import ClipSource
from app.speech.plan import Planner, SpeechRequest
from app.speech.studio import Studio
from app.speech.voices import Voices
from cache.cache import Cache
from providers.kinds import build
from tests.http.servers import VOICES, Inside


def studio(voices: str = VOICES) -> tuple[Studio, Voices]:
    """A studio that can plan and nothing else."""
    settings = parse(voices, {})
    providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
    nothing = cast("Cache", None)
    planner = Planner(providers, settings.chunking, settings.pronunciation, settings.server.max_input_chars)
    source = cast("ClipSource", None)
    return Studio(planner=planner, source=source, cache=nothing, metrics=Metrics(), deadline=1), Voices(
        settings.voices
    )


async def test_remembered_plans_take_bounded_memory(monkeypatch: pytest.MonkeyPatch):
    """Short texts by the hundred thousand, each within every limit, would fill the memory with their plans."""
    bound = 2**20
    monkeypatch.setattr(app.speech.studio, "REMEMBERED_BYTES", bound)
    planning, voices = studio()
    backed = voices.find("backed")
    tracemalloc.start()
    try:
        for number in range(2_000):
            await planning.plan(SpeechRequest(f"No. {number}.", backed, output(FORMATS["mp3"])))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * bound


async def test_a_remembered_plan_is_the_same():
    """Planning again what was just planned would cost each hit the cutting and hashing of its text."""
    planning, voices = studio()
    request = SpeechRequest("Said again and again.", voices.find("alloy"), output(FORMATS["mp3"]))
    assert await planning.plan(request) is await planning.plan(request)


async def test_a_plan_does_not_depend_on_the_way_it_is_made():
    """Long texts are planned in a thread: their addresses must not depend on that."""
    planning, voices = studio()
    text = "The same sentence, once more. " * 300
    request = SpeechRequest(text, voices.find("alloy"), output(FORMATS["mp3"]))
    assert (await planning.plan(request)).digest == planning._planner.plan(request).digest


async def test_a_letter_on_every_line_is_refused(house: Inside):
    """One request of 200,000 characters would be 66,666 calls of a provider, and hold up everybody's planning."""
    answer = await house.post(input="a\n\n" * 60_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "input_too_long")
    assert not house.scripted["first"].calls

"""`GET /v1/providers`: what an operator looks at when speech is slow, dear or missing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from app.metrics import Metrics
from app.server import open_house
from app.server import warm as warm_up
from app.settings import parse
from app.speech.standing import Reporter, Workload
from app.speech.voices import Voices
from providers.kinds import build
from providers.promptness import LEAST, Promptness
from providers.scripted import Script, Scripted
from tests.http.servers import VOICES, Inside, Valkey, inside

SECRET = """
[providers.vendor]
kind = "openai"
api_key = "sk-very-secret"
base_url = "http://somebody:hidden@127.0.0.1:9/v1"
max_concurrency = 3
price_per_million_chars = 15.0
[voices.vended]
chain = [{ provider = "vendor", voice = "nova", model = "tts-1" }]
"""


async def standing(house: Inside, name: str) -> dict:
    """One provider's, as JSON."""
    answer = await house.client.get("/v1/providers")
    assert answer.status_code == 200
    return next(one for one in answer.json()["providers"] if one["name"] == name)


async def test_figures_follow_what_happens(house: Inside):
    """An operator would see a sick provider as well, or pay without knowing to whom."""
    assert await standing(house, "first") == {
        "name": "first",
        "kind": "scripted",
        "state": "closed",
        "reason": None,
        "first_audio": {"p50": None, "p95": None},
        "success_rate": None,
        "calls": 0,
        "retries": 0,
        "concurrency": {"now": 0, "most": None},
        "spend": 0,
        "voices": [
            {
                "voice": "low",
                "model": None,
                "used_by": ["default", "backed"],
                "price": 10.0,
                "formats": ["pcm"],
                "languages": None,
                "limits": [],
                "ssml": [],
                "timings": False,
                "streaming": True,
                "instructions": True,
            }
        ],
    }
    text = "A sentence of some characters."
    (await house.post(input=text)).raise_for_status()
    house.scripted["first"].script = Script(fault="auth")
    await house.post(input="Another one.")
    found = await standing(house, "first")
    assert (found["calls"], found["success_rate"], found["spend"]) == (2, 0.5, len(text) * 10 / 1e6)
    assert found["first_audio"]["p50"] > 0
    assert found["first_audio"]["p95"] is None


async def test_what_is_under_way_is_counted(house: Inside):
    """Nobody could tell a provider that is asked too much from one that is slow."""
    first = house.scripted["first"]
    first.between.clear()
    speaking = [asyncio.create_task(house.post(input=f"Held, number {number}.")) for number in range(2)]
    await first.called(2)
    assert (await standing(house, "first"))["concurrency"] == {"now": 2, "most": None}
    first.between.set()
    await asyncio.gather(*speaking)
    assert (await standing(house, "first"))["concurrency"]["now"] == 0


async def test_who_waits_and_what_is_under_way_are_measured(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """An operator could not tell an account that is too small from a vendor that is slow."""
    config = VOICES.replace("[providers.second]", "max_concurrency = 2\n[providers.second]")
    async with inside(monkeypatch, valkey.url, config) as house:
        first = house.scripted["first"]
        first.between.clear()
        speaking = [
            asyncio.create_task(house.post(input=f"Measured, number {number}.")) for number in range(5)
        ]
        await first.called(2)
        async with asyncio.timeout(10):
            while await house.metric("refrain_provider_waiting", provider="first") < 3:
                pass
        assert await house.metric("refrain_provider_under_way", provider="first") == 2
        assert await house.metric("refrain_provider_under_way", provider="second") == 0
        first.between.set()
        await asyncio.gather(*speaking)
        for name in ("waiting", "under_way"):
            assert await house.metric(f"refrain_provider_{name}", provider="first") == 0


async def test_retries_are_counted(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """A vendor that answers only at the second time of asking would look as good as one that answers at once."""
    config = VOICES.replace("attempts = 1", "attempts = 3")
    async with inside(monkeypatch, valkey.url, config) as running:
        running.scripted["first"].script = Script(fault="unavailable", fault_calls=2)
        (await running.post(input="At the third time.")).raise_for_status()
        found = await standing(running, "first")
    assert (found["calls"], found["retries"], found["success_rate"]) == (1, 2, 1.0)


async def test_it_gives_nothing_away(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """It is open to all who reach the port: a key in it would be everybody's."""
    async with inside(monkeypatch, valkey.url, VOICES + SECRET) as running:
        await running.post(input="Something personal.", voice="vended")
        page = (await running.client.get("/v1/providers")).text
        found = await standing(running, "vendor")
    for secret in ("sk-very-secret", "hidden", "somebody", "127.0.0.1", "personal"):
        assert secret not in page
    (voice,) = found["voices"]
    assert voice["price"] == 15.0
    assert {"most": 4096, "unit": "characters"} in voice["limits"]
    assert found["concurrency"]["most"] == 3


@dataclass(frozen=True)
class Told:
    """A circuit."""

    state: str
    reason: str | None = None
    promptness: Promptness = field(default_factory=Promptness)


class Circuits:
    """As they are told."""

    def __init__(self, told: Mapping[str, Told]) -> None:
        self._told = told

    def of(self, name: str) -> Told:
        """That provider's."""
        return self._told[name]


async def test_the_state_is_its_circuits():
    """Nobody would see that a provider is not asked any more, nor why."""
    settings = parse(VOICES, {})
    providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
    promptness = Promptness()
    for number in range(LEAST):
        promptness.took(float(number))
    known = {"first": Told("closed", promptness=promptness), "second": Told("open", "unavailable")}
    circuits = Circuits(dict.fromkeys(providers, Told("closed")) | known)
    reporter = Reporter(Metrics(), lambda _: Workload(), circuits)
    found = {one.name: one for one in reporter.standings(Voices(settings.voices), providers).providers}
    assert (found["first"].state, found["first"].reason) == ("closed", None)
    assert (found["second"].state, found["second"].reason) == ("open", "unavailable")
    assert (found["first"].first_audio.p50, found["first"].first_audio.p95) == (9.0, 18.0)
    assert found["local"].used_by == []


SPARE = """
[providers.spare]
kind = "scripted"
"""
NAMED = (
    SPARE
    + """
[voices.spared]
chain = [{ provider = "spare", voice = "low" }]
"""
)


async def test_only_who_is_named_by_a_voice_is_warmed(monkeypatch: pytest.MonkeyPatch, valkey: Valkey):
    """Whoever speaks by a vendor alone would wait for the local engine at each start, and give it a lot of memory.

    And whoever names it later, by a reload, would have his first listener wait for it.
    """
    warmed: list[str] = []

    async def warm(self: Scripted) -> None:
        warmed.append(self.name)

    monkeypatch.setattr(Scripted, "warm", warm)
    found = {"REFRAIN_REDIS__URL": valkey.url, "REFRAIN_CACHE__ARCHIVE": "off"}
    async with open_house(parse(VOICES + SPARE, found)) as house:
        await warm_up(house)
        assert sorted(warmed) == ["first", "second"]
        await house.recast(parse(VOICES + NAMED, found))
        assert warmed[2:] == ["spare"]
        await house.recast(parse(VOICES + NAMED, found))
        assert warmed[3:] == []

"""The listener's deadline on its way down: what is left is the next link's; whom a synthesis for many may fail."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from app.metrics import Metrics
from app.server import open_house
from app.settings import parse
from app.speech.clips import Clip, ClipSource
from app.speech.levels import Levels
from app.speech.lifetimes import Lifetimes
from app.speech.plan import Candidate, SpeechRequest
from app.speech.refreshes import Refreshes
from providers.allowance import Allowance
from providers.deadline import Deadline, speaking_until
from providers.errors import Busy
from providers.gate import Gated
from providers.scripted import Scripted
from providers.tones import tone_pcm
from tests.http.servers import Inside, Valkey, inside, until
from tests.providers.vendor_server import Reply, VendorServer, vendor_server

LONG = 3600.0
CONFIG = """
[providers.local]
kind = "scripted"
[providers.first]
kind = "scripted"
max_concurrency = 1
timeout = "200ms"
[providers.vendor]
kind = "openai"
base_url = "{vendor}"
first_byte_timeout = "1s"
attempts = 5
[providers.second]
kind = "scripted"
[voices.default]
chain = [{{ provider = "first", voice = "low" }}]
[voices.backed]
chain = [{{ provider = "first", voice = "low" }}, {{ provider = "second", voice = "high" }}]
[voices.vendor]
chain = [{{ provider = "vendor", voice = "alloy" }}, {{ provider = "second", voice = "high" }}]
"""


@pytest.fixture
async def vendor() -> AsyncIterator[VendorServer]:
    """An account at a vendor that hangs."""
    async with vendor_server(lambda _: Reply(body=tone_pcm("Hello.", "alloy"))) as running:
        running.silent.clear()
        yield running


async def test_the_second_link_has_what_a_vendor_that_hangs_has_left(
    valkey: Valkey, vendor: VendorServer, monkeypatch: pytest.MonkeyPatch
):
    """A vendor that hangs is asked once more, and the listener's time is over before anybody else is asked."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, CONFIG.format(vendor=vendor.url), deadline=1.9) as house:
        answer = await house.post(input="Somebody says a thing once.", voice="vendor")
        assert answer.status_code == 200
        assert [call.state for call in house.scripted["second"].calls] == ["done"]
        assert len([request for request in vendor.requests if request.method == "POST"]) == 1


@pytest.fixture
async def house(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain with an empty cache."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, CONFIG.format(vendor="http://127.0.0.1:1")) as running:
        yield running


async def test_the_second_link_speaks_where_the_first_has_no_room(house: Inside):
    """Everybody would stand in front of a full gate while the stand-in has nothing to do."""
    first = house.scripted["first"]
    first.between.clear()
    holding = asyncio.create_task(
        house.post(input="Somebody says something that takes its time.", voice="default")
    )
    await first.called(1)
    answer = await house.post(input="Somebody says a thing once.", voice="backed")
    assert answer.status_code == 200
    assert len(first.calls) == 1
    alone = await house.post(input="Nobody has room for that.", voice="default")
    assert (alone.status_code, alone.json()["error"]["code"]) == (503, "providers_unavailable")
    assert "first: busy" in alone.json()["error"]["message"]
    assert int(alone.headers["retry-after"]) > 0
    first.between.set()
    await holding
    # It is not kept against whoever comes next.
    assert (await house.post(input="Nobody has room for that.", voice="default")).status_code == 200


@dataclass(frozen=True, slots=True)
class Replica:
    """A process' clips, and its account, which has room for one utterance."""

    source: ClipSource
    gate: Gated
    double: Scripted
    request: SpeechRequest
    candidate: Candidate

    async def fly(self, seconds: float) -> Clip:
        """The clip, by somebody who has so many seconds from now."""
        now = asyncio.get_running_loop().time()
        speaking_until.set(Deadline(now, now + seconds))
        return await self.source.fly(self.candidate, self.request, None)


@asynccontextmanager
async def replica(redis_url: str) -> AsyncIterator[Replica]:
    """Everything as the composition root makes it, but for the provider."""
    settings = parse(
        f'[redis]\nurl = "{redis_url}"\n' + CONFIG.format(vendor="http://127.0.0.1:1"),
        {"REFRAIN_CACHE__ARCHIVE": "off"},
    )
    async with open_house(settings) as parts:
        request = SpeechRequest("Somebody says a thing.", parts.voices.find("default"), parts.outputs.find())
        (chunk,) = (await parts.studio.plan(request)).chunks
        double = Scripted("first")
        gate = Gated(double, Allowance(1), timeout=LONG)
        cache = parts.cache
        source = ClipSource(
            cache,
            Levels(cache, LONG),
            Lifetimes(LONG, LONG),
            Refreshes(cache),
            Metrics(),
            clock=time.monotonic,
        )
        yield Replica(source, gate, double, request, replace(chunk.candidates[0], provider=gate))


@asynccontextmanager
async def occupied(replica: Replica) -> AsyncIterator[None]:
    """Within it, somebody has all the room there is."""
    async with replica.gate.speak(replica.candidate.utterance):
        yield
    replica.double.calls.clear()


async def test_who_joins_is_not_failed_by_the_deadline_of_who_began(valkey: Valkey):
    """A listener who has just come would get the error of one who has waited for a minute."""
    valkey.command("FLUSHALL")
    async with replica(valkey.url) as one:
        async with occupied(one):
            early = asyncio.create_task(one.fly(0.1))
            await until(lambda: one.gate.turns.waiting == 1)
            late = asyncio.create_task(one.fly(LONG))
            # As the surface does when its listener's time is over.
            await asyncio.wait([early], timeout=0.2)
            early.cancel()
            await asyncio.wait([late], timeout=0.05)
            assert not late.done()
        assert (await late).outcome == "joined"
        assert len(one.double.calls) == 1


async def test_alone_its_time_is_over(valkey: Valkey):
    """It would hold its place in the queue for nobody."""
    valkey.command("FLUSHALL")
    async with replica(valkey.url) as one:
        async with occupied(one):
            with pytest.raises(Busy):
                await one.fly(0.05)
            assert one.gate.turns.waiting == 0
        assert (await one.fly(LONG)).outcome == "made"


async def test_who_follows_elsewhere_begins_anew_when_the_leaders_time_is_over(valkey: Valkey):
    """Another replica's listeners would be failed by a deadline that they never heard of."""
    valkey.command("FLUSHALL")
    async with replica(valkey.url) as one, replica(valkey.url) as two:
        async with occupied(one):
            leading = asyncio.create_task(one.fly(0.5))
            await until(lambda: one.gate.turns.waiting == 1)
            following = asyncio.create_task(two.fly(LONG))
            with pytest.raises(Busy):
                await leading
            assert (await following).outcome == "made"
        assert len(two.double.calls) == 1

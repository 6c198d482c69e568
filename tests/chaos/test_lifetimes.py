"""Old sound and stand-ins' sound, over two real servers on one Valkey."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

import app.server
from cache.purges import Purges
from providers import tones
from providers.scripted import Script
from tests.ageing import age
from tests.http.servers import UNHURT, VOICES, Inside, Valkey, inside, until

TEXT = "What was said a week ago."
OTHER = """
[voices.other]
language = "en"
chain = [{ provider = "second", voice = "high" }]
"""


@pytest.fixture(autouse=True)
def quick(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and replicas that look every 20 ms for what was forgotten."""
    valkey.command("FLUSHALL")
    assert Purges.__init__.__kwdefaults__["pause"] == 1.0
    monkeypatch.setitem(Purges.__init__.__kwdefaults__, "pause", 0.02)


@asynccontextmanager
async def replicas(
    monkeypatch: pytest.MonkeyPatch, valkey: Valkey, config: str = VOICES
) -> AsyncIterator[tuple[Inside, Inside]]:
    """Two servers."""
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(inside(monkeypatch, valkey.url, config, redis_timeout=UNHURT))
            for _ in range(2)
        ]
        yield one, two


async def made_long_ago(monkeypatch: pytest.MonkeyPatch, valkey: Valkey, **body: object) -> bytes:
    """Said by a server that is no more, eight days ago."""
    async with inside(monkeypatch, valkey.url, redis_timeout=UNHURT) as house:
        answer = await house.post(input=TEXT, **body)
    assert await age(valkey.url, 8.0) >= 2
    monkeypatch.setattr(tones, "_AMPLITUDE", 0.2)  # the same voice, in another mood
    return answer.content


def detail(answer: httpx.Response) -> str:
    """What Cache-Status says of the chunks."""
    return answer.headers["cache-status"].partition("detail=")[2].strip('"')


async def test_the_primary_is_heard_with_the_first_request_after_its_recovery(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Once a vendor was down for a minute, its voice would be another's for an hour."""
    monkeypatch.setattr(app.server, "remembered", lambda _: 0.0)  # else for two seconds nobody asks it again
    async with replicas(monkeypatch, valkey, VOICES + OTHER) as (one, two):
        for house in (one, two):
            house.scripted["first"].script = Script(fault="unavailable")
        stood_in = [await house.post(input=TEXT, voice="backed") for house in (one, two)]
        assert stood_in[0].content == stood_in[1].content
        assert sum(len(house.scripted["second"].calls) for house in (one, two)) == 1
        replayed = await one.client.get(stood_in[0].headers["content-location"])
        assert replayed.headers["x-refrain-provider"] == "second"
        assert 0 < int(replayed.headers["cache-control"].partition("max-age=")[2]) <= 3600
        # It is kept under the voice that really spoke.
        others = await two.post(input=TEXT, voice="other")
        assert (others.content, detail(others)) == (
            stood_in[0].content,
            "chunks=1 hits=1 joined=0 stale=0",
        )
        for house in (one, two):
            house.scripted["first"].script = Script()
        recovered = await two.post(input=TEXT, voice="backed")
        assert recovered.content != stood_in[0].content
        again = await one.post(input=TEXT, voice="backed")
        assert again.content == recovered.content
        assert again.headers["x-refrain-provider"] == "first"


async def test_old_sound_while_its_provider_is_down(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """Listeners would wait for a vendor that does not answer, though there is sound; or the vendor be stormed."""
    old = await made_long_ago(monkeypatch, valkey)
    async with replicas(monkeypatch, valkey) as (one, two):
        firsts = [house.scripted["first"] for house in (one, two)]
        for first in firsts:
            first.script = Script(fault="unavailable")
            first.before_first.clear()
        # Before anybody has answered, or failed to:
        answers = [await house.post(input=TEXT) for house in (one, two) for _ in range(5)]
        assert {answer.content for answer in answers} == {old}
        assert {detail(answer) for answer in answers} == {"chunks=1 hits=0 joined=0 stale=1"}
        assert (
            "immutable"
            in (await one.client.get(answers[0].headers["content-location"])).headers["cache-control"]
        )
        await until(lambda: any(first.calls for first in firsts))
        for first in firsts:
            first.before_first.set()
        await until(lambda: any(call.state == "failed" for first in firsts for call in first.calls))
        assert [(await house.post(input=TEXT)).content for house in (one, two)] == [old, old]
        assert await one.metric("refrain_chunks_total", outcome="stale") == 6
    assert sum(len(first.calls) for first in firsts) == 1


async def test_one_refresh_for_the_fleet_and_new_sound_at_every_replica(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Each replica would pay for its own, or one go on with the old sound that it has in memory."""
    old = await made_long_ago(monkeypatch, valkey)
    async with replicas(monkeypatch, valkey) as (one, two):
        firsts = [house.scripted["first"] for house in (one, two)]
        for first in firsts:
            first.before_first.clear()
        assert [(await house.post(input=TEXT)).content for house in (one, two)] == [old, old]
        for first in firsts:
            first.before_first.set()
        heard: list[bytes] = []
        for house in (one, two):
            while (answer := await house.post(input=TEXT)).content == old:
                pass
            heard.append(answer.content)
            assert detail(answer) == "chunks=1 hits=1 joined=0 stale=0"
            replayed = await house.client.get(answer.headers["content-location"])
            assert replayed.content == answer.content
        assert len(set(heard)) == 1
        assert [await house.metric("refrain_characters_total", kind="charged") for house in (one, two)] == [
            0.0,
            0.0,
        ]
    assert sum(len(first.calls) for first in firsts) == 1


async def test_only_the_stale_are_made_anew(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """One old sentence would have a whole article made anew."""
    await made_long_ago(monkeypatch, valkey)
    async with inside(monkeypatch, valkey.url, redis_timeout=UNHURT) as house:
        both = f"{TEXT} And this has never been said before."
        answer = await house.post(input=both, stream_format="sse")
        assert '"outcome":"stale"' in answer.text
        assert '"outcome":"made"' in answer.text
        await until(lambda: len(house.scripted["first"].calls) == 2)
        await until(lambda: all(call.state == "done" for call in house.scripted["first"].calls))
        while detail(again := await house.post(input=both)) != "chunks=2 hits=2 joined=0 stale=0":
            assert again.status_code == 200
        assert house.calls == 2


async def test_only_the_cache_means_nobody_is_called_later_either(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Who forbids spending would be the cause of it."""
    old = await made_long_ago(monkeypatch, valkey)
    async with inside(monkeypatch, valkey.url, redis_timeout=UNHURT) as house:
        answers = [await house.post(input=TEXT, cache="only") for _ in range(3)]
        plan = await house.client.post("/v1/speech/plan", json={"input": TEXT})
        assert {answer.content for answer in answers} == {old}
        assert detail(answers[0]) == "chunks=1 hits=0 joined=0 stale=1"
        assert plan.json()["chunks"][0]["hit"]
    assert house.calls == 0


async def test_a_stale_stand_in_is_refreshed_by_its_own_voice(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """The primary's sound would be kept as the stand-in's, or the primary be asked for nothing."""
    config = f'[cache]\nfallback_ttl = "30d"\n{VOICES}'
    monkeypatch.setattr(app.server, "remembered", lambda _: 0.0)
    async with inside(monkeypatch, valkey.url, config, redis_timeout=UNHURT) as house:
        house.scripted["first"].script = Script(fault="unavailable")
        made = await house.post(input=TEXT, voice="backed")
    await age(valkey.url, 8.0)
    async with inside(monkeypatch, valkey.url, config, redis_timeout=UNHURT) as house:
        house.scripted["first"].script = Script(fault="unavailable")
        second = house.scripted["second"]
        again = await house.post(input=TEXT, voice="backed", stream_format="sse")
        assert '"outcome":"stale","provider":"second"' in again.text
        await until(lambda: [call.state for call in second.calls] == ["done"])
        assert len(house.scripted["first"].calls) == 1
        while (
            '"outcome":"hit"'
            not in (again := await house.post(input=TEXT, voice="backed", stream_format="sse")).text
        ):
            assert again.status_code == 200
        assert len(second.calls) == 1
        assert (
            await house.post(input=TEXT, voice="backed")
        ).content == made.content  # tones are always the same


async def test_what_is_purged_while_it_is_made_anew_stays_forgotten(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Somebody has a sentence deleted, and a refresh that nobody asked for brings it back."""
    old = await made_long_ago(monkeypatch, valkey)
    async with inside(monkeypatch, valkey.url, redis_timeout=UNHURT) as house:
        first = house.scripted["first"]
        first.before_first.clear()
        answer = await house.post(input=TEXT)
        assert (answer.content, detail(answer)) == (old, "chunks=1 hits=0 joined=0 stale=1")
        await until(lambda: bool(first.calls))
        assert (await house.client.delete(answer.headers["content-location"])).status_code == 204
        first.before_first.set()
        await until(lambda: first.calls[0].state == "done")
        while await house.metric("refrain_provider_requests_total", outcome="ok") < 1:
            pass
        gone = await house.post(input=TEXT, cache="only")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_cached")

"""The ways down a voice's chain: its order, one voice or several, and a second one asked when the first is slow."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

import app.server
from providers.budget import RESERVE, SHARE
from providers.scripted import Script
from tests.http.servers import Inside, Valkey, inside, until

LINES = "\n\n".join(f"This is paragraph number {number}." for number in range(24))
THREE = "The first one is said. \n\nThe second one follows it. \n\nThe third one is the last."

RESERVE_AND_MORE = int(RESERVE) + 1

CONFIG = """
[providers.local]
kind = "scripted"
[providers.first]
kind = "scripted"
attempts = 1
price_per_million_chars = 10.0
[providers.second]
kind = "scripted"
attempts = 1
price_per_million_chars = 4.0
""" + "".join(
    f"""
[voices.{name}]
language = "en"
chain = [{{ provider = "first", voice = "low" }}, {{ provider = "second", voice = "high" }}]
{more}
"""
    for name, more in {
        "default": "",
        "cheap": 'order = "cheapest"',
        "spread": 'order = "spread"',
        "one": 'after_failure = "same-voice"',
        "hedged": 'hedge = "50ms"',
        "patient": 'hedge = "1h"',
        "learned": 'hedge = "p95"',
    }.items()
)


@pytest.fixture
async def house(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain with an empty cache and no memory of failures."""
    monkeypatch.setattr(app.server, "remembered", lambda _: 0.0)
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, CONFIG) as running:
        yield running


async def spoken(house: Inside, text: str, voice: str) -> list[str]:
    """Who spoke each chunk."""
    answer = await house.post(input=text, voice=voice, stream_format="sse")
    assert answer.status_code == 200, answer.text
    last = json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))
    return [chunk["provider"] for chunk in last["refrain"]["chunks"]]


async def test_the_cheapest_speaks(house: Inside):
    """Whoever pays by the character wrote so to have it so."""
    assert await spoken(house, THREE, "cheap") == ["second"] * 3
    plan = await house.client.post("/v1/speech/plan", json={"input": THREE, "voice": "cheap"})
    assert {chunk["provider"] for chunk in plan.json()["chunks"]} == {"second"}
    house.scripted["second"].script = Script(fault="unavailable")
    assert await spoken(house, "Somebody else has to.", "cheap") == ["first"]


async def test_texts_are_spread_evenly_and_stay(house: Inside):
    """Two servers of one engine: with all the work on the first, the second would have been bought for nothing."""
    who = await spoken(house, LINES, "spread")
    shares = Counter(who)
    assert min(shares["first"], shares["second"]) >= 6
    # Each text's first choice stays the same, or nothing would ever be found again.
    house.scripted["first"].calls.clear()
    again = await house.post(input=LINES, voice="spread")
    assert again.headers["cache-status"].startswith("refrain; hit")
    assert not house.scripted["first"].calls


async def test_the_other_stands_in_for_what_was_spread(house: Inside):
    """One of two servers that is down must not take half of a speech with it."""
    house.scripted["first"].script = Script(fault="unavailable")
    assert await spoken(house, LINES, "spread") == ["second"] * 24


async def test_one_voice_from_beginning_to_end(house: Inside):
    """In the middle of a story another person would go on telling it."""
    house.scripted["first"].script = Script(fault="unavailable", fault_calls=1)
    # The first link is well again by the second chunk: the one who began goes on.
    assert await spoken(house, THREE, "one") == ["second"] * 3
    assert await spoken(house, THREE, "default") == ["first"] * 3


async def test_what_is_kept_of_another_voice_is_not_mixed_in(house: Inside):
    """A sentence that the first choice once said would interrupt the stand-in."""
    await spoken(house, "The second one follows it.", "one")
    house.scripted["first"].script = Script(fault="unavailable")
    assert await spoken(house, THREE, "one") == ["second"] * 3


async def test_one_voice_ends_where_it_fails(house: Inside):
    """Cut off is what the operator wrote that he prefers to another voice."""
    house.scripted["first"].script = Script(fault="unavailable", when="third")
    assert await house.cut({"input": THREE, "voice": "one"})
    assert not house.scripted["second"].calls
    assert await spoken(house, THREE, "default") == ["first", "first", "second"]


async def test_the_second_speaks_when_the_first_is_slow(house: Inside):
    """A listener would wait for one slow answer while another provider could have spoken."""
    house.scripted["first"].before_first.clear()
    answer = await house.post(input="Somebody has to begin.", voice="hedged")
    assert answer.status_code == 200
    assert [call.state for call in house.scripted["first"].calls] == ["left"]
    assert [call.state for call in house.scripted["second"].calls] == ["done"]
    assert await house.metric("refrain_hedges_total", provider="second", won="true") == 1


async def test_only_the_first_chunk_is_asked_of_two(house: Inside):
    """Later chunks are made ahead, where nobody waits: asked of both they would only cost twice."""
    house.scripted["first"].script = Script(delay=0.2)
    await spoken(house, THREE, "hedged")
    assert len(house.scripted["second"].calls) == 1


async def test_who_is_quick_is_not_doubled(house: Inside):
    """Each first chunk would cost twice."""
    assert await spoken(house, THREE, "patient") == ["first"] * 3
    assert not house.scripted["second"].calls


async def test_who_fails_is_not_waited_for(house: Inside):
    """With an hour until the second is asked, a refusal in the first second would be waited out."""
    house.scripted["first"].script = Script(fault="unavailable")
    assert await spoken(house, THREE, "patient") == ["second"] * 3


async def test_nobody_speaks(house: Inside):
    """The listener is told of both, and to come back: one of them may be well again by then."""
    house.scripted["first"].script = Script(fault="unavailable")
    house.scripted["second"].script = Script(fault="quota")
    refused = await house.post(input=THREE, voice="hedged")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "providers_unavailable")
    assert refused.headers["retry-after"] == "2"
    assert "x-should-retry" not in refused.headers
    assert "first: unavailable, second: quota" in refused.json()["error"]["message"]


async def test_the_delay_is_learned(house: Inside):
    """Until enough is known of a provider nobody is asked twice; then whoever is slower than its slowest is."""
    assert await spoken(house, "Too early to say.", "learned") == ["first"]
    await spoken(house, LINES, "default")
    assert not house.scripted["second"].calls
    house.scripted["first"].before_first.clear()
    assert await spoken(house, "Now it is known well enough.", "learned") == ["second"]


async def test_hedges_are_a_tenth_of_the_traffic(house: Inside):
    """A first choice that has become slow would have everything spoken, and paid for, twice."""
    first, second = house.scripted["first"], house.scripted["second"]
    first.script = Script(delay=0.15)
    for round_ in range(3):
        await asyncio.gather(
            *(spoken(house, f"Sentence {number} of round {round_}.", "hedged") for number in range(12))
        )
    ended = sum(call.state == "done" for call in first.calls)
    assert ended + sum(call.state == "left" for call in first.calls) == 36
    assert RESERVE <= len(second.calls) <= RESERVE + SHARE * ended
    assert await house.metric("refrain_hedges_total") == len(second.calls)
    # The others were spoken by the first, late.
    assert ended >= 36 - len(second.calls)


async def test_a_crowd_costs_one_hedge(house: Inside):
    """Of thirty who ask for the same three, and no more can be paid for, twenty-seven would go on waiting."""
    house.scripted["first"].before_first.clear()
    texts = [f"Everybody wants to hear number {number}." for number in range(int(RESERVE))] * 10
    assert await asyncio.gather(*(spoken(house, text, "hedged") for text in texts)) == [["second"]] * 30
    assert len(house.scripted["second"].calls) == RESERVE


async def test_nobody_is_asked_in_vain(house: Inside):
    """A second link that is down would use up what the third hedge, when it is back, would have cost."""
    house.scripted["second"].script = Script(fault="quota")
    house.scripted["first"].script = Script(delay=0.1)
    for number in range(RESERVE_AND_MORE):
        assert await spoken(house, f"Sentence number {number}.", "hedged") == ["first"]
    assert len(house.scripted["second"].calls) == 1
    assert await house.metric("refrain_hedges_total") == 1


async def test_a_listener_who_leaves_ends_both(house: Inside):
    """The slower of two would go on being paid for."""
    first, second = house.scripted["first"], house.scripted["second"]
    first.before_first.clear()
    second.before_first.clear()
    asking = asyncio.create_task(house.post(input="Somebody has to begin.", voice="hedged"))
    await second.called(1)
    asking.cancel()
    await until(lambda: {call.state for call in (*first.calls, *second.calls)} == {"left"})

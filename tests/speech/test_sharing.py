"""One synthesis for all who want it, and what the cache modes do."""

import asyncio

import pytest

from providers import tones
from tests.http.servers import ARTICLE, Inside, Valkey, inside, until

TEXT = "It comes back to you whole. Then it comes back again, if the air is still."
LINES = "\n\n".join(f"This is paragraph number {number}." for number in (*range(24), 3))
"""As many chunks as an article has, quickly made; one comes twice."""
BEGINNING = "\n\n".join(ARTICLE.split("\n\n")[:4])


async def test_fifty_askers_of_a_cold_article_cost_one_synthesis(house: Inside):
    """The operator would pay fifty times for one article, or fifty listeners would hear different ones."""
    plan = (await house.client.post("/v1/speech/plan", json={"input": LINES})).json()
    texts = [chunk["text"] for chunk in plan["chunks"]]
    assert len(texts) >= 20
    answers = await asyncio.gather(*(house.post(input=LINES) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    # Each distinct text once: a sentence that the article repeats is one clip.
    assert sorted(call.utterance.text for call in house.scripted["first"].calls) == sorted(set(texts))
    # Those who ask later get the same bytes, without anybody being asked.
    again = await house.post(input=LINES)
    assert again.content == answers[0].content
    assert again.headers["cache-status"].startswith("refrain; hit")
    assert len(house.scripted["first"].calls) == len(set(texts))


async def test_late_askers_join_what_is_under_way(house: Inside):
    """Who comes while the first chunk is being made would wait for, or pay for, another."""
    first = house.scripted["first"]
    first.between.clear()
    asking = [asyncio.create_task(house.post(input="Only one sentence."))]
    await first.called(1)
    asking += [asyncio.create_task(house.post(input="Only one sentence.")) for _ in range(5)]
    first.between.set()
    answers = await asyncio.gather(*asking)
    assert len({answer.content for answer in answers}) == 1
    assert len(first.calls) == 1


async def test_an_edited_text_costs_what_was_edited(house: Inside):
    """Whoever corrects one sentence would pay for all of them again."""
    spoken: list[set[str]] = []
    for text in (TEXT, TEXT.replace("still", "cold")):
        plan = (await house.client.post("/v1/speech/plan", json={"input": text})).json()
        spoken.append({chunk["text"] for chunk in plan["chunks"]})
        await house.post(input=text)
    assert len(spoken[0] & spoken[1]) == 1
    calls = [call.utterance.text for call in house.scripted["first"].calls]
    assert sorted(calls) == sorted(spoken[0] | spoken[1])


@pytest.mark.parametrize(
    "changed",
    [
        {"input": TEXT.upper()},
        {"input": TEXT.replace(".", "!")},
        {"voice": "backed"},
        {"speed": 1.1},
        {"response_format": "opus"},
        {"response_format": "pcm", "sample_rate": 8_000},
        {"instructions": "Whisper."},
        {"language": "en-GB"},
    ],
)
async def test_what_changes_the_sound_is_another_speech(house: Inside, changed: dict[str, object]):
    """Somebody would hear the wrong words, voice or pace out of the cache."""
    body = {"input": TEXT, "voice": "default"}
    address = (await house.post(**body)).headers["content-location"]
    other = await house.client.post("/v1/audio/speech", json=body | changed)
    assert other.headers["content-location"] != address
    plan = (await house.client.post("/v1/speech/plan", json=body | changed)).json()
    assert f"/v1/speech/{plan['digest']}" == other.headers["content-location"]


@pytest.mark.parametrize(
    "changed", [{"model": "tts-1-hd"}, {"voice": "alloy"}, {"tags": ["a"]}, {"user": "u"}]
)
async def test_what_does_not_change_the_sound_is_the_same(house: Inside, changed: dict[str, object]):
    """The same sound would be paid for twice."""
    await house.post(input=TEXT)
    before = house.calls
    again = await house.client.post("/v1/audio/speech", json={"input": TEXT} | changed)
    assert again.headers["cache-status"].startswith("refrain; hit")
    assert house.calls == before


async def test_only_calls_nobody(house: Inside):
    """Whoever forbids spending would be charged."""
    refused = await house.post(input=TEXT, cache="only")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_cached")
    assert house.calls == 0
    made = await house.post(input=TEXT)
    found = await house.post(input=TEXT, cache="only")
    assert (found.status_code, found.content) == (200, made.content)


async def test_only_takes_no_half(house: Inside):
    """Of a text half of which is cached, `only` would give half, or have the rest made."""
    await house.post(input="This was said before, and is known.")
    calls = house.calls
    refused = await house.post(input="This was said before, and is known. This was never said.", cache="only")
    assert refused.status_code == 404
    assert house.calls == calls


async def test_bypass_leaves_no_trace(house: Inside):
    """What must not be kept would be found later, or what is kept be given out."""
    chunks = 2
    one = await house.post(input=TEXT, cache="bypass")
    two = await house.post(input=TEXT, cache="bypass")
    assert one.content == two.content
    assert house.calls == 2 * chunks
    assert "content-location" not in one.headers
    plan = (await house.client.post("/v1/speech/plan", json={"input": TEXT})).json()
    assert (await house.client.get(f"/v1/speech/{plan['digest']}")).status_code == 404
    assert (await house.post(input=TEXT, cache="only")).status_code == 404


async def test_refresh_replaces(house: Inside, monkeypatch: pytest.MonkeyPatch):
    """Sound that came out badly could never be had anew."""
    made = await house.post(input=TEXT)
    assert house.calls == 2
    monkeypatch.setattr(tones, "_AMPLITUDE", 0.2)  # the same voice, in another mood
    fresh = await house.post(input=TEXT, cache="refresh")
    assert house.calls == 4
    assert fresh.content != made.content
    found = await house.post(input=TEXT)
    assert house.calls == 4
    assert found.content == fresh.content
    replayed = await house.client.get(made.headers["content-location"])
    assert replayed.content == fresh.content
    assert replayed.headers["etag"] == found.headers["etag"]


async def test_the_plan_is_true_and_free(house: Inside):
    """Who asks for the price first would be charged for asking, or be told another one."""
    ask = {"input": BEGINNING, "response_format": "wav"}
    before = (await house.client.post("/v1/speech/plan", json=ask)).json()
    assert house.calls == 0
    assert not any(chunk["hit"] for chunk in before["chunks"])
    assert before["characters"] == sum(chunk["characters"] for chunk in before["chunks"])
    assert all(chunk["characters"] == len(chunk["text"]) for chunk in before["chunks"])
    assert before["billable_characters"] == before["characters"]
    assert before["cost"] == pytest.approx(before["characters"] * 10.0 / 1e6)
    assert {chunk["provider"] for chunk in before["chunks"]} == {"first"}
    assert all("".join(chunk["sentences"]).split() for chunk in before["chunks"])
    assert " ".join(chunk["text"] for chunk in before["chunks"]).split() == BEGINNING.split()

    heard = await house.post(**ask)
    spent = await house.metric("refrain_spend_total", provider="first")
    assert spent == pytest.approx(before["cost"])
    after = (await house.client.post("/v1/speech/plan", json=ask)).json()
    assert all(chunk["hit"] for chunk in after["chunks"])
    assert (after["billable_characters"], after["cost"]) == (0, 0.0)
    assert after["seconds"] == pytest.approx((len(heard.content) - 44) / 2 / 24_000, abs=0.01)
    # The estimate for what nobody has heard yet is of the right size.
    assert before["seconds"] == pytest.approx(after["seconds"], rel=0.5)


async def test_what_is_said_twice_is_paid_for_once(house: Inside):
    """The plan would promise a price that nobody is charged."""
    ask = {"input": "This is one line that comes again.\n\n" * 5}
    before = (await house.client.post("/v1/speech/plan", json=ask)).json()
    assert (before["characters"], before["billable_characters"]) == (170, 34)
    await house.post(**ask)
    assert await house.metric("refrain_spend_total", provider="first") == pytest.approx(before["cost"])


@pytest.mark.parametrize("cache", ["refresh", "bypass"])
async def test_what_is_made_anew_is_planned_as_such(house: Inside, cache: str):
    """The plan would promise hits, and the bill have none."""
    ask = {"input": BEGINNING + "\n\nThis is one line that comes again." * 3}
    await house.post(**ask)
    spent = await house.metric("refrain_spend_total", provider="first")
    told = (await house.client.post("/v1/speech/plan", json={**ask, "cache": cache})).json()
    assert not any(chunk["hit"] for chunk in told["chunks"])
    await house.post(**ask, cache=cache)
    again = await house.metric("refrain_spend_total", provider="first") - spent
    assert told["cost"] == pytest.approx(again)


async def test_sound_leaves_before_it_is_complete(house: Inside):
    """The listener would wait for the whole article before the first word."""
    first = house.scripted["first"]
    first.between.clear()
    text = (
        "This first sentence is long enough for sound to come before its end, and it is held here. And this."
    )
    async with house.client.stream("POST", "/v1/audio/speech", json={"input": text}) as answer:
        pieces = answer.aiter_bytes()
        got = await anext(pieces)
        assert [call.state for call in first.calls[:1]] == ["open"]
        first.between.set()
        rest = b"".join([piece async for piece in pieces])
    assert len(rest) > len(got)
    assert (await house.post(input=text)).content == got + rest


async def test_chunks_are_made_ahead_but_not_without_bound(house: Inside):
    """A listener would wait at each sentence, or one article would take all of a provider's capacity."""
    first = house.scripted["first"]
    first.before_first.clear()
    asking = asyncio.create_task(house.post(input=LINES))
    await first.called(2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(first.calls) == 2
    first.before_first.set()
    assert (await asking).status_code == 200
    await until(lambda: all(call.state == "done" for call in first.calls))


ACCOUNTS = """
[providers.one]
kind = "scripted"
attempts = 1
fault = "quota"
[providers.two]
kind = "scripted"
[voices.default]
chain = [{ provider = "one", voice = "low" }, { provider = "two", voice = "low" }]
[voices.other]
chain = [{ provider = "two", voice = "low" }]
"""


async def test_two_accounts_at_one_vendor_fail_apart(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """With the first account's credit used up, the second would be taken for broken and never asked."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, ACCOUNTS) as house:
        assert (await house.post(input="Only one sentence.")).status_code == 200
        assert (await house.post(input="Quite another sentence.", voice="other")).status_code == 200
        assert [len(house.scripted[name].calls) for name in ("one", "two")] == [1, 2]

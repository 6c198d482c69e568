"""Keys and limits as clients meet them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest
from litestar.types import Message, Scope, WebSocketReceiveMessage
from openai import AsyncOpenAI, AuthenticationError, RateLimitError

import app.users.purse
from app.server import open_house
from app.settings import parse
from app.speech.making import Live
from app.speech.plan import Plan, Planner, SpeechRequest
from app.users.keys import Keys
from app.users.store import Secret, named
from app.users.user import Role
from cache.flight import Flights, Make
from cache.link import RedisLink
from cache.passage import Seat
from providers.interface import Capabilities, ProviderVoice, Sound, Utterance
from providers.scripted import Script, Scripted
from providers.wrapped import bare
from tests.http.servers import ARTICLE, VOICES, Inside, Valkey, inside, until

KEYS = '[auth]\nmode = "keys"\n' + VOICES
ONE_AT_ONCE = KEYS.replace("attempts = 1\nprice", "attempts = 1\nmax_concurrency = 1\nprice")
TEXT = "Who may say this?"


@pytest.fixture
async def keys(valkey: Valkey) -> AsyncIterator[Keys]:
    """As the command line makes them, in an empty Redis."""
    valkey.command("FLUSHALL")
    link = RedisLink(valkey.url, timeout=5)
    yield Keys(link, Secret(link))
    await link.aclose()


class Opening:
    """Servers of this test's own on the common Valkey."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, valkey: Valkey) -> None:
        self._monkeypatch = monkeypatch
        self._valkey = valkey

    def __call__(self, config: str, **server: object) -> AbstractAsyncContextManager[Inside]:
        """One more."""
        return inside(self._monkeypatch, self._valkey.url, config, **server)


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, valkey: Valkey) -> Opening:
    """Of this test's own."""
    return Opening(monkeypatch, valkey)


def bearer(key: str) -> dict[str, str]:
    """As OpenAI's clients say it."""
    return {"Authorization": f"Bearer {key}"}


async def say(house: Inside, key: str, text: str = TEXT, **body: object) -> httpx.Response:
    """Speech for who has the key."""
    return await house.client.post("/v1/audio/speech", json={"input": text, **body}, headers=bearer(key))


def watched_seats(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of the flights that were boarded, one more with each who boards."""
    seated: list[str] = []
    seat = Flights._seat

    def seated_by(self: Flights, digest: str, make: Make, *, anew: bool) -> Seat:
        seated.append(digest)
        return seat(self, digest, make, anew=anew)

    monkeypatch.setattr(Flights, "_seat", seated_by)
    return seated


async def test_a_key_opens_in_both_spellings(opening: Opening, keys: Keys):
    """One of the two ecosystems' clients would be locked out."""
    _, key = await keys.create("alice")
    async with opening(KEYS) as house:
        for headers in (bearer(key), {"xi-api-key": key}, {"authorization": f"bearer  {key}"}):
            answer = await house.client.post("/v1/audio/speech", json={"input": TEXT}, headers=headers)
            assert answer.status_code == 200, answer.text
        made = answer.headers["content-location"]
        assert (await house.client.get(made)).status_code == 401
        assert (await house.client.get(made, headers=bearer(key))).status_code == 200
        assert (await house.client.head(made, headers=bearer(key))).status_code == 200


async def test_nobody_gets_in_without(opening: Opening, keys: Keys):
    """Anybody would speak at the operator's cost."""
    key, presented = await keys.create("bob")
    await keys.revoke(key.id)
    async with opening(KEYS) as house:
        found = {}
        for name, headers in {
            "none": {}, "wrong": bearer("rf_" + "a" * 16 + "_" + "b" * 32), "revoked": bearer(presented),
            "basic": {"Authorization": "Basic Zm9vOmJhcg=="}, "empty": {"xi-api-key": ""},
        }.items():  # fmt: skip
            answer = await house.client.post("/v1/audio/speech", json={"input": TEXT}, headers=headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["x-request-id"]
            found[name] = (answer.status_code, answer.json()["error"]["code"])
        assert found == {
            "none": (401, "missing_key"), "wrong": (401, "invalid_key"), "revoked": (401, "revoked"),
            "basic": (401, "missing_key"), "empty": (401, "missing_key"),
        }  # fmt: skip
        assert house.calls == 0
        for path in ("/v1/speech/" + "0" * 40, "/v1/speech/plan", "/v1/providers", "/nowhere"):
            answer = await house.client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (401, "missing_key"), path


async def test_what_needs_no_key_needs_none(opening: Opening, keys: Keys):
    """A balancer, a scraper or a browser that has no key yet would be refused."""
    async with opening(KEYS) as house:
        for path in ("/healthz", "/readyz", "/metrics", "/", "/page/page.js", "/docs", "/docs/openapi.json",
                     "/v1/audio/voices", "/v1/models", "/v1/audio/models", "/v1/models/tts-1"):  # fmt: skip
            assert (await house.client.get(path)).status_code == 200, path
    async with opening(KEYS, public_listings=False) as house:
        assert (await house.client.get("/v1/audio/voices")).status_code == 401
        assert (await house.client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(("role", "status"), [("user", 403), ("admin", 200)])
async def test_how_providers_stand_is_for_admins(opening: Opening, keys: Keys, role: Role, status: int):
    """Any user would see what the operator pays for."""
    _, key = await keys.create("carol", role=role)
    async with opening(KEYS) as house:
        answer = await house.client.get("/v1/providers", headers=bearer(key))
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "forbidden"


@pytest.mark.parametrize("path", ["//v1/providers", "/v1//providers", "/v1/providers/", "///v1/providers//"])
async def test_another_spelling_of_an_address_is_no_way_around(opening: Opening, keys: Keys, path: str):
    """Who writes a slash twice would be an admin."""
    _, key = await keys.create("carol")
    async with opening(KEYS) as house:
        address = f"{str(house.client.base_url).rstrip('/')}{path}"
        answer = await house.client.get(address, headers=bearer(key))
        assert answer.status_code == 403, answer.text
        assert (await house.client.get(address)).status_code == 401


async def test_no_websocket_comes_in_by_the_back_door(opening: Opening, keys: Keys):
    """Whoever asks as a WebSocket would reach what speaks without a key."""
    async with opening(KEYS) as house:
        told: list[Message] = []

        async def receive() -> WebSocketReceiveMessage:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            told.append(message)

        for path in ("/v1/audio/speech", "/v1/speech/plan", "/v1/tokens"):
            scope = {
                "type": "websocket",
                "path": path,
                "headers": [],
                "query_string": b"",
                "subprotocols": [],
            }
            await house.app(cast("Scope", scope), receive, send)
        assert [message.get("code") for message in told] == [1008] * 3


async def test_openais_client_understands_the_refusals(opening: Opening, keys: Keys):
    """A stock client would raise something else than its user expects."""
    _, key = await keys.create("dave", plan="tiny")
    config = "[limits.plans.tiny]\nrequests_per_minute = 1\n" + KEYS
    async with opening(config) as house:
        async with AsyncOpenAI(
            base_url=f"{house.client.base_url}/v1", api_key="rf_no", max_retries=0
        ) as client:
            with pytest.raises(AuthenticationError):
                await client.audio.speech.create(input=TEXT, model="tts-1", voice="alloy")
        async with AsyncOpenAI(base_url=f"{house.client.base_url}/v1", api_key=key, max_retries=0) as client:
            spoken = await client.audio.speech.with_raw_response.create(
                input=TEXT, model="tts-1", voice="alloy"
            )
            assert spoken.headers["x-ratelimit-remaining-requests"] == "0"
            with pytest.raises(RateLimitError) as caught:
                await client.audio.speech.create(input=TEXT, model="tts-1", voice="alloy")
            assert caught.value.code == "rate_limited"
            assert int(caught.value.response.headers["retry-after"]) <= 60


async def test_what_is_not_cached_is_limited_too(opening: Opening, keys: Keys):
    """Who asks for what is not there could keep Redis busy as often as he likes."""
    _, key = await keys.create("erin")
    async with opening("[limits.default]\nrequests_per_minute = 2\n" + KEYS) as house:
        answers = [await say(house, key, cache="only") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [404, 404, 429, 429]


async def test_a_flood_beyond_the_limit_is_not_read(
    opening: Opening, keys: Keys, monkeypatch: pytest.MonkeyPatch
):
    """Long texts are read one after the other: everybody would wait for a hundred that are refused in the end."""
    monkeypatch.setattr(app.users.purse, "REFUSED", 60.0)  # the machine may be busy
    _, key = await keys.create("flood")
    read: list[str] = []
    plan = Planner.plan

    def noted(self: Planner, request: SpeechRequest) -> Plan:
        read.append(request.text)
        return plan(self, request)

    monkeypatch.setattr(Planner, "plan", noted)
    async with opening("[limits.default]\nrequests_per_minute = 1\n" + KEYS) as house:
        first = [(await say(house, key, f"{TEXT} {number}")).status_code for number in range(2)]
        assert first == [200, 429]
        read.clear()
        body = {"input": ARTICLE}
        for path in ("/v1/audio/speech", "/v1/speech/plan"):
            answer = await house.client.post(path, json=body, headers=bearer(key))
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
        assert read == []


async def test_hits_cost_no_characters(opening: Opening, keys: Keys):
    """What was said once is never paid for again: a user who hears it often would be out of characters."""
    _, key = await keys.create("erin")
    config = f"[limits.default]\ncharacters_per_minute = {len(TEXT)}\n" + KEYS
    async with opening(config) as house:
        first = await say(house, key)
        assert first.status_code == 200
        assert '"characters";r=0;t=' in first.headers["ratelimit"]
        assert [(await say(house, key)).status_code for _ in range(3)] == [200] * 3
        refused = await say(house, key, "A little more.")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "characters_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert house.calls == 1


async def test_hits_are_charged_where_that_is_wanted(opening: Opening, keys: Keys):
    """Who sells characters by what is heard would give them away."""
    _, key = await keys.create("frank")
    config = f"[limits.default]\ncharacters_per_day = {2 * len(TEXT)}\ncharge_hits = true\n" + KEYS
    async with opening(config) as house:
        assert [(await say(house, key)).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_failure_costs_nothing(opening: Opening, keys: Keys):
    """A provider's bad hour would use up its users' day."""
    _, key = await keys.create("grace")
    config = f"[limits.default]\ncharacters_per_day = {len(TEXT)}\n" + KEYS
    async with opening(config) as house:
        house.scripted["first"].script = Script(fault="bad_request", fault_calls=1)
        assert (await say(house, key)).status_code >= 400
        assert (await say(house, key, TEXT[::-1])).status_code == 200


@pytest.mark.parametrize("billed", [99.0, 1e300])
async def test_a_budget_is_held_to_what_the_vendor_bills(
    opening: Opening, keys: Keys, monkeypatch: pytest.MonkeyPatch, billed: float
):
    """Vendors bill more than their rules say: a budget would be passed many times, or be no number any more."""
    _, key = await keys.create("heidi")
    async with opening("[limits.default]\nspend_per_month = 0.001\n" + KEYS) as house:
        first = house.scripted["first"]
        speak = first.speak

        @asynccontextmanager
        async def billing(utterance: Utterance) -> AsyncGenerator[Sound]:
            async with speak(utterance) as sound:
                yield replace(sound, billed=billed)

        monkeypatch.setattr(first, "speak", billing)
        answers = [await say(house, key, f"{TEXT} {number}") for number in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        assert answers[1].json()["error"]["code"] == "budget_exceeded"
        used = (await house.client.get("/v1/usage", headers=bearer(key))).json()
        assert used["spend"] == pytest.approx(2 * min(billed, 1e6) * 10 / 1e6), "of two chunks"
        assert used["limits"]["spend_per_month"]["left"] <= 0.001


async def test_a_budget_is_asked_for_what_the_vendor_will_bill(
    opening: Opening, keys: Keys, monkeypatch: pytest.MonkeyPatch
):
    """The last request of a month would cost a multiple of what was left."""
    _, key = await keys.create("ivan")
    budget = 2 * len(TEXT) * 10 / 1e6
    async with opening(f"[limits.default]\nspend_per_month = {budget}\n" + KEYS) as house:
        first = house.scripted["first"]
        able = first.capabilities

        def billing(voice: ProviderVoice) -> Capabilities:
            return replace(able(voice), billed=lambda utterance: 2 * len(utterance.text))

        monkeypatch.setattr(first, "capabilities", billing)
        assert (await say(house, key, TEXT + "!")).status_code == 429
        assert house.calls == 0
        planned = await house.client.post(
            "/v1/speech/plan", json={"input": TEXT}, headers={"Authorization": f"Bearer {key}"}
        )
        assert planned.json()["cost"] == planned.json()["cost_at_most"] == pytest.approx(budget)
        assert (await say(house, key)).status_code == 200
        assert (await say(house, key, "x")).status_code == 429


async def test_a_follower_is_not_charged(opening: Opening, keys: Keys):
    """One synthesis would be paid for by all who happened to want it at once."""
    users = [(await keys.create(f"user {number}"))[1] for number in range(5)]
    config = f"[limits.default]\ncharacters_per_day = {len(TEXT)}\n" + KEYS
    async with opening(config) as house:
        house.scripted["first"].script = Script(delay=0.1)
        answers = await asyncio.gather(*(say(house, key) for key in users))
        assert {answer.status_code for answer in answers} == {200}
        assert house.calls == 1

        left = [await say(house, key, f"{number} {TEXT[2:]}") for number, key in enumerate(users)]
        assert sorted(answer.status_code for answer in left) == [200] * 4 + [429]


async def test_who_begins_and_leaves_pays_where_others_stay(
    opening: Opening, keys: Keys, monkeypatch: pytest.MonkeyPatch
):
    """Asking twice and closing the first connection at once would be a way to hear everything for nothing."""
    _, key = await keys.create("mallory")
    _, other = await keys.create("trent")
    seated = watched_seats(monkeypatch)
    config = f"[limits.default]\ncharacters_per_day = {2 * len(TEXT) - 1}\n" + KEYS
    async with opening(config) as house:
        first = house.scripted["first"]
        first.before_first.clear()
        begun = asyncio.create_task(say(house, key))
        await first.called(1)
        stays = asyncio.create_task(say(house, other))
        await until(lambda: len(seated) == 2)
        begun.cancel()
        await until(lambda: house.app.lifecycle._under_way == 1)
        first.before_first.set()
        assert (await stays).status_code == 200
        assert house.calls == 1
        refused = await say(house, key, TEXT[::-1])
        assert refused.json()["error"]["code"] == "characters_exceeded"


async def test_what_others_wait_for_stays_set_aside(
    opening: Opening, keys: Keys, monkeypatch: pytest.MonkeyPatch
):
    """Beginning a hundred texts that a friend joins, and leaving each, would be a hundred times the budget."""
    _, key = await keys.create("mallory", plan="poor")
    _, other = await keys.create("trent")
    seated = watched_seats(monkeypatch)
    budget = 1.5 * len(TEXT) * 10 / 1e6
    config = f"[limits.default]\n[limits.plans.poor]\nspend_per_month = {budget}\n"
    async with opening(config + KEYS) as house:
        first = house.scripted["first"]
        first.before_first.clear()
        begun = asyncio.create_task(say(house, key))
        await first.called(1)
        stays = asyncio.create_task(say(house, other))
        await until(lambda: len(seated) == 2)
        begun.cancel()
        await until(lambda: house.app.lifecycle._under_way == 1)
        refused = await say(house, key, TEXT[::-1])
        assert refused.json()["error"]["code"] == "budget_exceeded"
        first.before_first.set()
        assert (await stays).status_code == 200
        assert house.calls == 1


async def test_who_leaves_before_a_word_pays_what_may_be_billed(opening: Opening, keys: Keys):
    """A client with too little patience would have its text made again and again, beyond every budget."""
    _, key = await keys.create("mallory")
    budget = 1.5 * len(TEXT) * 10 / 1e6
    async with opening(f"[limits.default]\nspend_per_month = {budget}\n" + KEYS) as house:
        first = house.scripted["first"]
        first.before_first.clear()
        begun = asyncio.create_task(say(house, key))
        await first.called(1)
        begun.cancel()
        await until(lambda: first.calls[0].state == "left")
        await until(lambda: house.app.lifecycle._under_way == 0)
        first.before_first.set()
        refused = await say(house, key)
        assert refused.json()["error"]["code"] == "budget_exceeded"
        used = await house.client.get("/v1/usage", headers={"Authorization": f"Bearer {key}"})
        told = used.json()
        assert (told["characters"], told["requests"]) == (0, 0)
        assert told["spend"] == pytest.approx(len(TEXT) * 10 / 1e6)


async def test_who_leaves_the_queue_of_a_provider_pays_nothing(opening: Opening, keys: Keys):
    """A busy hour would cost those who have not had a turn."""
    _, key = await keys.create("mallory")
    _, other = await keys.create("trent")
    async with opening("[limits.default]\nspend_per_month = 1.0\n" + ONE_AT_ONCE) as house:
        first = house.scripted["first"]
        first.before_first.clear()
        stays = asyncio.create_task(say(house, other, "Somebody else's."))
        await first.called(1)
        begun = asyncio.create_task(say(house, key))
        while await house.metric("refrain_provider_waiting", provider="first") != 1:
            pass
        begun.cancel()
        await until(lambda: house.app.lifecycle._under_way == 1)
        first.before_first.set()
        assert (await stays).status_code == 200
        used = await house.client.get("/v1/usage", headers={"Authorization": f"Bearer {key}"})
        assert used.json()["spend"] == 0
        assert used.json()["limits"]["spend_per_month"]["left"] == 1.0
        assert house.calls == 1


async def test_too_many_at_once_are_refused_and_come_back(opening: Opening, keys: Keys):
    """One user with a thousand connections would hold all that there is."""
    _, key = await keys.create("heidi")
    _, other = await keys.create("ivan")
    config = "[limits.default]\nconcurrent_requests = 2\n" + KEYS
    async with opening(config) as house:
        first = house.scripted["first"]
        first.before_first.clear()
        long = [asyncio.create_task(say(house, key, f"Long text number {number}.")) for number in range(2)]
        await first.called(2)
        refused = await say(house, key, "One too many.")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_concurrent")
        others = asyncio.create_task(say(house, other, "Somebody else's."))
        await first.called(3)
        first.before_first.set()
        assert {answer.status_code for answer in await asyncio.gather(*long, others)} == {200}
        assert (await say(house, key, "Now it may.")).status_code == 200


async def test_chunks_of_one_user_wait_and_others_do_not(opening: Opening, keys: Keys):
    """One user's long text would be begun with all that there is, and others wait behind it."""
    _, key = await keys.create("kim")
    _, other = await keys.create("lee")
    config = "[limits.default]\nconcurrent_chunks = 2\n" + KEYS
    async with opening(config) as house:
        first = house.scripted["first"]
        first.before_first.clear()
        long = [
            asyncio.create_task(say(house, key, f"Chunk one of text {number}. Here is the second one of it."))
            for number in range(3)
        ]
        await first.called(2)
        others = asyncio.create_task(say(house, other, "Somebody else's turn."))
        await first.called(3)
        asked = [call.utterance.text for call in first.calls]
        assert asked.pop() == "Somebody else's turn."
        assert len(asked) == 2
        first.before_first.set()
        answers = await asyncio.gather(*long, others)
        assert {answer.status_code for answer in answers} == {200}


async def test_a_revoked_key_stops_on_all_replicas(opening: Opening, keys: Keys):
    """Promise 29: whoever has stolen a key would go on where it was used last."""
    key, presented = await keys.create("judy")
    async with opening(KEYS) as one, opening(KEYS) as two:
        assert [(await say(house, presented)).status_code for house in (one, two)] == [200, 200]
        await keys.revoke(key.id)
        began = asyncio.get_running_loop().time()
        for house in (one, two):
            answer = await say(house, presented)
            while answer.status_code == 200:
                await asyncio.sleep(0.05)
                answer = await say(house, presented)
            assert answer.json()["error"]["code"] == "revoked"
        assert asyncio.get_running_loop().time() - began < 5 + 2  # two for a busy machine


async def test_open_mode_has_no_limits_unless_they_are_written(opening: Opening, valkey: Valkey):
    """Who tries it out would be cut off after two minutes; who writes limits down would find that nobody heeds them."""
    valkey.command("FLUSHALL")
    async with opening(VOICES) as house:
        answers = await asyncio.gather(*(house.post(input=TEXT) for _ in range(150)))
        assert {answer.status_code for answer in answers} == {200}
        assert "ratelimit" not in answers[0].headers
    async with opening("[limits.default]\nrequests_per_minute = 3\n" + VOICES) as house:
        assert [(await house.post(input=TEXT)).status_code for _ in range(4)] == [200, 200, 200, 429]


async def test_what_the_end_cuts_short_is_given_back(valkey: Valkey, tmp_path: Path):
    """Each restart would use up characters, money and places of those whose speech it has cut."""
    valkey.command("FLUSHALL")
    users = Valkey(tmp_path)
    try:
        settings = parse(
            f'[redis]\nurl = "{valkey.url}"\nusers_url = "{users.url}"\n[cache]\narchive = "off"\n{KEYS}', {}
        )
        async with AsyncExitStack() as following, open_house(settings) as parts:
            user = await parts.desk.doorman.user("mallory")
            request = SpeechRequest(ARTICLE, parts.voices.find("default"), parts.outputs.find())
            plan = await parts.studio.plan(request)
            first = bare(parts.providers["first"])
            assert isinstance(first, Scripted)
            with parts.desk.visit(user) as visit:
                visit.ask()
                async with parts.studio.perform(plan) as live:
                    await visit.admit()
                    assert isinstance(live, Live)
                    await visit.reserve(live.due, 0)
                    live.over = visit.close
                    visit.lend()
                    first.between.clear()
                    async with aclosing(live.sound()) as sound:
                        await anext(sound)
                        followed = await parts.studio.follow(plan.digest)
                        assert followed is not None
                        heard = await following.enter_async_context(aclosing(followed.sound()))
                        await anext(heard)
                # Its own listener has left, and it is made on for who follows it.
            direct = RedisLink(users.url, timeout=5)
            assert await direct.client.hlen(named("reserved", "mallory")) == 1
        assert await direct.client.hlen(named("reserved", "mallory")) == 0
        assert await direct.client.zcard(named("speaking", "mallory")) == 0
        await direct.aclose()
    finally:
        users.stop()

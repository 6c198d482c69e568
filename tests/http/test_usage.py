"""`GET /v1/usage`, what hits are charged, and what the dry run says of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.users.keys import Keys
from app.users.store import Secret
from app.users.user import Role
from cache.link import RedisLink
from tests.http.servers import VOICES, Inside, Valkey, inside

KEYED = f"""
[auth]
mode = "keys"
{VOICES}
[limits.default]
requests_per_minute = "off"
characters_per_day = 1000
spend_per_month = 1.0
[limits.plans.hits]
charge_hits = true
[limits.plans.poor]
spend_per_month = 0.0003
[limits.plans.rare]
requests_per_minute = 2
"""
TEXT = "Hello to you. And to all of the others."
CHARACTERS = 38
"""Of both chunks."""
COST = CHARACTERS * 10 / 1e6

Client = dict[str, str]
Key = Callable[..., Awaitable[Client]]


@pytest.fixture
async def keyed(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """A house that asks for keys."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, KEYED) as house:
        yield house


@pytest.fixture
async def key(valkey: Valkey) -> AsyncIterator[Key]:
    """Makes users of all houses on this Valkey."""
    link = RedisLink(valkey.url)
    keys = Keys(link, Secret(link))

    async def made(user: str, plan: str = "default", role: Role = "user") -> Client:
        """The header that a new one sends."""
        _, secret = await keys.create(user, plan=plan, role=role)
        return {"Authorization": f"Bearer {secret}"}

    yield made
    await link.aclose()


async def say(house: Inside, who: Client, text: str = TEXT, **body: object) -> httpx.Response:
    """Speech for somebody."""
    return await house.client.post("/v1/audio/speech", json={"input": text, **body}, headers=who)


async def usage(house: Inside, who: Client, **query: str) -> Any:
    """What he has had."""
    answer = await house.client.get("/v1/usage", headers=who, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def left(house: Inside, who: Client, expected: float) -> Any:
    """His limits, once so many characters are left of the day: they are settled behind the answers."""
    while True:
        told: Any = (await usage(house, who))["limits"]
        if told["characters_per_day"]["left"] == expected:
            return told
        await asyncio.sleep(0.001)


def part(told: Any, *names: str) -> list[object]:
    """Some figures of it."""
    return [told[name] for name in names]


async def test_what_was_had_is_told_at_once(keyed: Inside, key: Key):
    """Who looks behind his request would think that it was not counted."""
    ada, bob = await key("ada"), await key("bob")
    for _ in range(3):
        assert (await say(keyed, ada)).status_code == 200
    told = await usage(keyed, ada)
    assert part(told, "user", "requests", "characters", "saved") == ["ada", 3, CHARACTERS, 2 * CHARACTERS]
    assert part(told, "chunks", "hits") == [6, 4]
    assert part(told, "spend", "spared") == [pytest.approx(COST), pytest.approx(2 * COST)]
    (day,) = told["days"]
    assert list(day["voices"]) == ["default"]
    assert list(day["providers"]) == ["first"]
    assert part(await usage(keyed, bob), "requests", "days") == [0, []]


async def test_what_is_left_is_told(keyed: Inside, key: Key):
    """A budget that ends without a warning is an outage."""
    ada = await key("ada")
    await say(keyed, ada)

    told = await left(keyed, ada, 1000 - CHARACTERS)
    assert told["plan"] == "default"
    assert told["spend_per_month"]["limit"] == 1.0
    assert told["spend_per_month"]["left"] == pytest.approx(1.0 - COST)


async def test_others_usage_is_for_admins(keyed: Inside, key: Key):
    """Users could read what their neighbours have said, in figures."""
    ada, boss = await key("ada"), await key("boss", role="admin")
    await say(keyed, ada)
    refused = await keyed.client.get("/v1/usage", headers=ada, params={"user": "boss"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert part(await usage(keyed, boss, user="ada"), "user", "requests", "limits") == ["ada", 1, None]
    assert part(await usage(keyed, ada, user="ada"), "requests") == [1]
    assert (await keyed.client.get("/v1/usage")).status_code == 401


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "from"),
        ({"from": "2020-01-01", "to": "2026-11-01"}, "from"),
    ],
)
async def test_a_bad_span_is_explained(keyed: Inside, key: Key, query: dict[str, str], param: str):
    """A script's off-by-one would read as no usage at all."""
    answer = await keyed.client.get("/v1/usage", headers=await key("ada"), params=query)
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (
        400,
        "invalid_input",
        param,
    )


async def test_other_days_are_empty(keyed: Inside, key: Key):
    """A month's bill would have another's requests in it."""
    ada = await key("ada")
    await say(keyed, ada)
    told = await usage(keyed, ada, **{"from": "2025-12-24", "to": "2025-12-31"})
    assert part(told, "from", "to", "requests", "days") == ["2025-12-24", "2025-12-31", 0, []]


async def test_what_was_refused_is_no_usage(valkey: Valkey, monkeypatch: pytest.MonkeyPatch, key: Key):
    """Requests over the limit would stand on the bill: hits are found before the limit is known."""
    valkey.command("FLUSHALL")
    config = KEYED + "[limits.plans.slow]\nrequests_per_minute = 1\n"
    async with inside(monkeypatch, valkey.url, config) as house:
        slow, ada = await key("slow", "slow"), await key("ada", role="admin")
        await say(house, ada)
        assert [(await say(house, slow)).status_code for _ in range(3)] == [200, 429, 429]
        told = await usage(house, ada, user="slow")
        assert part(told, "requests", "hits", "saved") == [1, 2, CHARACTERS]


async def test_hits_that_are_charged_are_charged_everywhere(keyed: Inside, key: Key):
    """The header would say 0 while the day's characters go by, or the day never end."""
    ada, hits = await key("ada"), await key("hits", "hits")
    await say(keyed, ada)
    free, charged = await say(keyed, ada), await say(keyed, hits)
    assert free.headers["x-refrain-characters"] == "0"
    assert charged.headers["cache-status"].startswith("refrain; hit")
    assert charged.headers["x-refrain-characters"] == str(CHARACTERS)
    sse = await say(keyed, hits, stream_format="sse")
    assert f'"characters_charged":{CHARACTERS}' in sse.text
    more = "Hello to you. Something new stands here."
    assert '"characters_charged":39' in (await say(keyed, hits, more, stream_format="sse")).text
    told = await usage(keyed, hits)
    assert part(told, "requests", "characters", "saved", "hits") == [3, 2 * CHARACTERS + 39, 0, 5]
    await left(keyed, hits, 1000 - 2 * CHARACTERS - 39)


async def test_the_plan_says_what_is_charged_and_refused(keyed: Inside, key: Key):
    """A dry run would promise what the request is then refused, or leave out what hits cost."""
    ada, hits, poor = [await key(name, plan) for name, plan in USERS]

    async def planned(who: Client, text: str = TEXT) -> Any:
        answer = await keyed.client.post("/v1/speech/plan", json={"input": text}, headers=who)
        return answer.json()

    told = await planned(poor)
    assert told["refused"] is not None
    assert told["refused"]["code"] == "budget_exceeded"
    spoken = await say(keyed, poor)
    assert spoken.status_code == 429
    assert spoken.json()["error"]["message"] == told["refused"]["message"]
    assert keyed.calls == 0
    assert part(await planned(ada), "charged_characters", "refused") == [CHARACTERS, None]
    assert part(await planned(ada), "cost", "cost_at_most") == [pytest.approx(COST)] * 2
    await say(keyed, ada)
    assert part(await planned(ada), "billable_characters", "charged_characters") == [0, 0]
    assert part(await planned(hits), "billable_characters", "charged_characters") == [0, CHARACTERS]
    assert part(await planned(poor), "cost_at_most", "refused") == [0, None]
    assert (await say(keyed, poor)).status_code == 200
    long = await planned(ada, "A sentence of some length stands here. " * 30)
    assert long["refused"]["code"] == "characters_exceeded"


USERS = (("ada", "default"), ("hits", "hits"), ("poor", "poor"))


async def test_usage_is_not_read_while_redis_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An outage would read as a month without usage."""
    valkey = Valkey(tmp_path)
    try:
        async with inside(monkeypatch, valkey.url) as house:
            assert (await house.client.get("/v1/usage")).json()["user"] == "anybody"
            valkey.stop()
            answer = await house.client.get("/v1/usage")
            assert (answer.status_code, answer.json()["code"]) == (503, "users_unavailable")
            assert (await house.post(input=TEXT)).status_code == 200
    finally:
        valkey.stop()


async def test_it_is_in_the_document(keyed: Inside):
    """Clients are generated from it."""
    document = (await keyed.client.get("/docs/openapi.json")).json()
    asked = document["paths"]["/v1/usage"]["get"]
    assert [one["name"] for one in asked["parameters"]] == ["from", "to", "user"]
    account = document["components"]["schemas"]["Account"]["properties"]
    assert {"from", "to", "requests", "characters", "hits", "spend", "saved", "days", "limits"} <= set(
        account
    )


async def test_it_is_one_of_the_requests(keyed: Inside, key: Key):
    """Whoever asks for a year of usage in a loop would keep Redis from everybody else."""
    ada = await key("ada", plan="rare")
    assert (await keyed.client.get("/v1/usage", headers=ada, params={"from": "soon"})).status_code == 400
    answers = [await keyed.client.get("/v1/usage", headers=ada) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit"].startswith('"requests";r=1;')
    assert answers[2].json()["code"] == "rate_limited"
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert (await say(keyed, ada)).status_code == 429

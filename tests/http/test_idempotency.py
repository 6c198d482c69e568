"""`Idempotency-Key` on speech: one execution, one charge, the same answer."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from app.users.keys import Keys
from app.users.store import Secret, named
from cache.link import RedisLink
from providers import tones
from providers.scripted import Script
from tests.http.servers import VOICES, Inside, Valkey, inside

TEXT = "Once is enough."
CHARGING = '[auth]\nmode = "keys"\n[limits.default]\ncharge_hits = true\n' + VOICES


@pytest.fixture
async def link(valkey: Valkey) -> AsyncIterator[RedisLink]:
    """To an empty Redis."""
    valkey.command("FLUSHALL")
    link = RedisLink(valkey.url, timeout=5)
    yield link
    await link.aclose()


async def say(house: Inside, key: str, who: str = "", **body: object) -> httpx.Response:
    """Speech under this key."""
    headers = {"Idempotency-Key": key, **({"Authorization": f"Bearer {who}"} if who else {})}
    return await house.client.post("/v1/audio/speech", json={"input": TEXT, **body}, headers=headers)


async def test_twenty_at_once_and_again_are_one(
    monkeypatch: pytest.MonkeyPatch, valkey: Valkey, link: RedisLink
):
    """Promise 20: a client that is not sure whether it was heard would pay once for each time it asks."""
    _, who = await Keys(link, Secret(link)).create("alice")
    async with (
        inside(monkeypatch, valkey.url, CHARGING) as one,
        inside(monkeypatch, valkey.url, CHARGING) as two,
    ):
        one.scripted["first"].script = two.scripted["first"].script = Script(delay=0.05)
        answers = await asyncio.gather(*(say((one, two)[n % 2], "the same", who) for n in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert one.calls + two.calls == 1
    async with inside(monkeypatch, valkey.url, CHARGING) as later:
        again = await say(later, "the same", who)
        assert (again.status_code, again.content) == (200, answers[0].content)
        assert later.calls == 0
    counted = await link.client.hget(named("counts", "alice"), "characters")
    assert int(counted) == len(TEXT), "charged once, also where hits are charged"


async def test_another_body_is_refused(house: Inside):
    """A client that uses a key twice by mistake would be given another text's sound."""
    assert (await say(house, "a")).status_code == 200
    other = await say(house, "a", input="Something else.")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert (await say(house, "b", input="Something else.")).status_code == 200
    # The same, in other words of JSON.
    spelled = f'{{ "response_format": null,  "input": "{TEXT}" }}'
    headers = {"Idempotency-Key": "a", "Content-Type": "application/json"}
    answer = await house.client.post("/v1/audio/speech", content=spelled, headers=headers)
    assert answer.status_code == 200


async def test_a_refresh_is_carried_out_once(house: Inside, monkeypatch: pytest.MonkeyPatch):
    """A retried refresh would be made and paid for anew each time."""
    old = (await house.post(input=TEXT)).content
    monkeypatch.setattr(tones, "_AMPLITUDE", 0.2)  # the same voice, in another mood
    first = await say(house, "anew", cache="refresh")
    assert first.content != old
    again = await say(house, "anew", cache="refresh")
    assert again.content == first.content
    assert house.calls == 2
    assert (await say(house, "once more", cache="refresh")).status_code == 200
    assert house.calls == 3


async def test_what_failed_may_be_tried_again(house: Inside):
    """A key that was used while a provider was down would be lost, or give silence for a day."""
    house.scripted["first"].script = Script(fault="bad_request", fault_calls=1)
    assert (await say(house, "c")).status_code == 400
    await asyncio.sleep(2.1)  # for so long a failure is remembered
    assert (await say(house, "c")).status_code == 200


async def test_what_was_refused_for_its_form_leaves_the_key_free(house: Inside):
    """Who mends his request would have to know that the key is spent."""
    assert (await say(house, "d", voice="nobody")).status_code == 400
    assert (await say(house, "d")).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_what_is_no_key_is_refused(house: Inside, key: str):
    """It would be cut short on the way, and be another's key."""
    answer = await say(house, key)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_nothing_kept_is_nothing_given_again(house: Inside):
    """A retry would be made and paid for twice though it must not be."""
    answer = await say(house, "e", cache="bypass")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")


async def test_users_keys_are_their_own(monkeypatch: pytest.MonkeyPatch, valkey: Valkey, link: RedisLink):
    """One user's choice of "1" would be another's mismatch."""
    keys = Keys(link, Secret(link))
    users = [(await keys.create(name))[1] for name in ("alice", "bob")]
    async with inside(monkeypatch, valkey.url, CHARGING) as house:
        answers = [await say(house, "1", who, input=f"I am {n}.") for n, who in enumerate(users)]
        assert [answer.status_code for answer in answers] == [200, 200]


async def test_neither_key_nor_text_is_kept(house: Inside, link: RedisLink):
    """What users say to whom would be read off the names of keys."""
    await say(house, "canary-key", input="The canary sings.")
    async for name in link.client.scan_iter(match="refrain-users:*"):
        fields = await link.client.hgetall(name) if await link.client.type(name) == b"hash" else {}
        told = b" ".join([name, *fields, *fields.values()])
        assert b"canary" not in told

"""`cache.scope = "user"`: nobody hears, or can tell, what was made for another."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from tests.http.servers import VOICES, Inside, Valkey, inside

TEXT = "This is between the two of us."
ALICE = {"Authorization": "Bearer canary-alice-4711"}
BOB = {"Authorization": "Bearer canary-bob-4711"}
ANYBODY: dict[str, str] = {}
SPEECH = "/v1/audio/speech"


@pytest.fixture
async def apart(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """A house where each user's entries are his own."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, f'[cache]\nscope = "user"\n{VOICES}') as house:
        yield house


async def say(house: Inside, who: Mapping[str, str], **body: object) -> httpx.Response:
    """Speech for somebody."""
    return await house.client.post(SPEECH, json={"input": TEXT, **body}, headers=dict(who))


def told(answer: httpx.Response) -> dict[str, str]:
    """What headers say of where the sound came from, addresses and times aside."""
    names = ("cache-status", "x-refrain-provider", "x-refrain-characters", "etag", "content-length")
    return {name: answer.headers[name] for name in names if name in answer.headers}


async def test_another_users_same_text_is_a_miss(apart: Inside):
    """Who guesses a text would learn whether somebody else has had it said."""
    mine = await say(apart, ALICE)
    theirs = await say(apart, BOB)
    assert apart.calls == 2
    assert told(theirs) == told(mine) == {"cache-status": "refrain; fwd=miss"}
    assert set(theirs.headers) == set(mine.headers)
    assert [part.split(";")[0] for part in theirs.headers["server-timing"].split(", ")] == ["first_audio"]
    assert theirs.headers["content-location"] != mine.headers["content-location"]
    again = await say(apart, ALICE)
    assert again.headers["cache-status"].startswith("refrain; hit")
    assert again.content == mine.content
    assert apart.calls == 2


async def test_plans_and_only_tell_nothing_of_others(apart: Inside):
    """The dry run would be the way to ask what others have had said, free of charge."""
    await say(apart, ALICE)
    plans = {}
    for name, who in (("alice", ALICE), ("bob", BOB), ("anybody", ANYBODY)):
        plan = await apart.client.post("/v1/speech/plan", json={"input": TEXT}, headers=who)
        plans[name] = plan.json()["chunks"][0]
        only = await say(apart, who, cache="only")
        assert only.status_code == (200 if name == "alice" else 404)
    assert [plans[name]["hit"] for name in ("alice", "bob", "anybody")] == [True, False, False]
    assert len({plan["digest"] for plan in plans.values()}) == 3


@pytest.mark.parametrize("ending", ["", ".mp3", "/captions.vtt", "/captions.srt", "/captions.json"])
async def test_an_address_is_its_owners_alone(apart: Inside, ending: str):
    """An address that leaks, in a log or a referrer, would be the sound itself."""
    address = (await say(apart, ALICE)).headers["content-location"] + ending
    own = await apart.client.get(address, headers=ALICE)
    assert own.status_code == 200
    assert own.headers["cache-control"].startswith("private, max-age=")
    unknown = await apart.client.get(f"/v1/speech/{'f' * 40}{ending}", headers=BOB)
    for who in (BOB, ANYBODY):
        refused = await apart.client.get(address, headers={**who, "If-None-Match": "*"})
        assert (refused.status_code, refused.json()) == (404, unknown.json())
        assert (await apart.client.head(address, headers=who)).status_code == 404


async def test_only_its_owner_deletes(apart: Inside):
    """Anybody could have others pay again."""
    address = (await say(apart, ALICE)).headers["content-location"]
    for who in (BOB, ANYBODY):
        assert (await apart.client.delete(address, headers=who)).status_code == 404
    assert (await apart.client.get(address, headers=ALICE)).status_code == 200
    assert (await apart.client.delete(address, headers=ALICE)).status_code == 204
    assert (await apart.client.get(address, headers=ALICE)).status_code == 404


async def test_a_credential_is_the_same_in_either_header(apart: Inside):
    """Who changes from one vendor's client to the other's would pay for all of it again."""
    mine = await say(apart, ALICE)
    other = await say(apart, {"xi-api-key": "canary-alice-4711"})
    assert other.content == mine.content
    assert other.headers["cache-status"].startswith("refrain; hit")


@pytest.mark.parametrize(
    "who",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"xi-api-key": ""},
    ],
)
async def test_without_a_credential_one_is_nobody_in_particular(apart: Inside, who: dict[str, str]):
    """An empty credential would be a user of its own, or an error."""
    await say(apart, ANYBODY)
    again = await say(apart, who)
    assert again.headers["cache-status"].startswith("refrain; hit")


async def test_no_credential_is_kept(apart: Inside, valkey: Valkey, caplog: pytest.LogCaptureFixture):
    """Whoever reads a dump of Redis, a log or the metrics could speak in the user's name."""
    await say(apart, ALICE, tags=["a"])
    assert b"canary" not in valkey.command("KEYS", "*")
    address = (await say(apart, ALICE)).headers["content-location"]
    digest = address.rpartition("/")[2]
    assert b"canary" not in valkey.command("GET", f"refrain:1:clip:{{{digest}}}")
    assert "canary" not in (await apart.client.get("/metrics")).text
    assert "canary" not in caplog.text


async def test_the_same_sentence_at_the_same_moment_is_not_shared(apart: Inside):
    """One would hear that the other is just having it made: it comes sooner."""
    first = apart.scripted["first"]
    async with apart.client.stream("POST", SPEECH, json={"input": TEXT}, headers=ALICE) as mine:
        theirs = await say(apart, BOB, stream_format="sse")
        assert '"outcome":"made"' in theirs.text
        assert mine.status_code == 200
        await mine.aread()
    assert len(first.calls) == 2


async def test_entries_do_not_change_hands_with_the_setting(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """What was private would be everybody's once an operator tries the other setting, or the reverse."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url) as shared:
        public = (await say(shared, ALICE)).headers["content-location"]
        assert "public" in (await shared.client.get(public)).headers["cache-control"]
    async with inside(monkeypatch, valkey.url, f'[cache]\nscope = "user"\n{VOICES}') as apart:
        for who in (ALICE, ANYBODY):
            assert (await apart.client.get(public, headers=who)).status_code == 404
        private = (await say(apart, ALICE)).headers["content-location"]
        assert apart.calls == 1
    async with inside(monkeypatch, valkey.url) as shared:
        assert (await shared.client.get(private, headers=ALICE)).status_code == 404

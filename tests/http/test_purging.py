"""`POST /v1/cache/purge`, and what is written down of it."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.users.keys import Keys
from app.users.store import Secret
from cache.link import RedisLink
from tests.http.servers import VOICES, Inside, Valkey, inside

PURGE, SPEECH = "/v1/cache/purge", "/v1/audio/speech"
TAG = "between-you-and-me"
TEXT = "The first sentence is said here. The second one is said right behind it."
SECRET = "s" * 32
KEYED = f'[auth]\nmode = "keys"\nsecret = "{SECRET}"\n{VOICES}'


@pytest.fixture
async def keys(valkey: Valkey) -> AsyncIterator[dict[str, str]]:
    """A key for each role, good in `KEYED`."""
    valkey.command("FLUSHALL")
    link = RedisLink(valkey.url)
    made = Keys(link, Secret(link, SECRET))
    yield {
        "user": (await made.create("alice"))[1],
        "admin": (await made.create("root", role="admin", user="the-operator"))[1],
    }
    await link.aclose()


def deeds(caplog: pytest.LogCaptureFixture) -> list[dict]:
    """What was written down."""
    return [json.loads(record.message) for record in caplog.records if record.name == "refrain.audit"]


@pytest.fixture(autouse=True)
def listening(caplog: pytest.LogCaptureFixture) -> None:
    """As `refrain serve` has it."""
    caplog.set_level(logging.INFO, "refrain.audit")


async def test_what_fits_is_forgotten(house: Inside, caplog: pytest.LogCaptureFixture):
    """An operator without a shell on the machine could have nothing withdrawn."""
    made = await house.post(input=TEXT, tags=[TAG])
    address = made.headers["content-location"]
    await house.client.get(address)
    for body in ({"tag": TAG, "voice": "backed"}, {"provider": "second"}, {"tag": "another"}):
        assert (await house.client.post(PURGE, json=body)).json() == {"forgotten": 0}
    forgotten = 0
    while forgotten < 3:  # the index is written behind the listeners' backs
        answer = await house.client.post(PURGE, json={"tag": TAG, "voice": "alloy", "provider": "first"})
        assert answer.status_code == 200
        forgotten += answer.json()["forgotten"]
    assert forgotten == 3  # two clips and the speech
    assert (await house.client.get(address)).status_code == 404
    last = [deed for deed in deeds(caplog) if deed["what"]["count"]][-1]
    assert (last["action"], last["outcome"], last["by"]) == ("cache.purge", "done", "anybody")
    assert last["request"] == answer.headers["x-request-id"]
    assert TAG not in caplog.text


async def test_a_digest_is_forgotten(house: Inside):
    """One speech that must go would take others with it."""
    made = await house.post(input=TEXT)
    address = made.headers["content-location"]
    await house.client.get(address)
    other = await house.post(input="Another one.")
    answer = await house.client.post(PURGE, json={"digest": address.rpartition("/")[2]})
    assert answer.json() == {"forgotten": 3}
    assert (await house.client.get(address)).status_code == 404
    assert (await house.client.get(other.headers["content-location"])).status_code == 200


BAD = {
    "nothing": ({}, "Say what to forget"),
    "empty": ({"tag": "", "voice": ""}, "Say what to forget"),
    "another field": ({"tags": ["x"]}, "and nothing else"),
    "a list": ({"tag": ["x"]}, "and nothing else"),
    "a long word": ({"tag": "x" * 65}, "at most 64 characters"),
    "no digest": ({"digest": "../../x"}, "40 hexadecimal digits"),
    "digest and tag": ({"digest": "0" * 40, "tag": "x"}, "by itself"),
    "no object": ([], "and nothing else"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_purge_of_nothing_in_particular_is_refused(house: Inside, name: str):
    """A typing mistake would forget everything, or nothing, and look done."""
    body, says = BAD[name]
    answer = await house.client.post(PURGE, json=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_input"
    assert says in answer.json()["detail"]


async def test_it_is_for_administrators(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str], caplog: pytest.LogCaptureFixture
):
    """Any user could throw away what the others have paid for; and nobody would know who it was."""
    async with inside(monkeypatch, valkey.url, KEYED) as house:
        user, admin = ({"Authorization": f"Bearer {keys[role]}"} for role in ("user", "admin"))
        for headers, status in (({}, 401), (user, 403)):
            assert (await house.client.post(PURGE, json={"tag": TAG}, headers=headers)).status_code == status
            assert (await house.client.get("/v1/providers", headers=headers)).status_code == status
        assert (await house.client.post(PURGE, json={"tag": TAG}, headers=admin)).status_code == 200
        assert (await house.client.get("/v1/providers", headers=admin)).status_code == 200
    refused, done = deeds(caplog)[0], deeds(caplog)[-1]
    assert (refused["outcome"], done["outcome"]) == ("forbidden", "done")
    assert done["by"] == f"key:{keys['admin'].split('_')[1]}"
    assert len(done["user"]) == 16
    assert done["time"].endswith("+00:00")
    for secret in (
        *keys.values(),
        *(key.split("_")[2] for key in keys.values()),
        TAG,
        "the-operator",
        "alice",
    ):
        assert secret not in caplog.text


async def test_what_could_not_be_reached_is_written_down(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Who asked would take it for done, and the audit as well."""
    own = Valkey(tmp_path)
    try:
        async with inside(monkeypatch, own.url) as house:
            await house.post(input=TEXT, tags=[TAG])
            own.stop()
            answer = await house.client.post(PURGE, json={"tag": TAG})
            assert (answer.status_code, answer.json()["code"]) == (503, "cache_unavailable")
    finally:
        own.stop()
    assert deeds(caplog)[-1]["outcome"] == "failed"

"""What browsers, and caches on the way, are told not to do with an answer."""

from collections.abc import AsyncIterator

import pytest

from app.http.doorway import Doorway
from app.users.keys import Keys
from app.users.store import Secret
from cache.link import RedisLink
from tests.http.servers import VOICES, Inside, Valkey, inside

SPEECH = "/v1/audio/speech"
BODY = {"input": "Nobody else's business.", "response_format": "mp3"}
ORIGIN = "https://app.example.com"
SECRET = "s" * 32


@pytest.fixture
async def key(valkey: Valkey) -> AsyncIterator[str]:
    """One that is good in `KEYED`."""
    valkey.command("FLUSHALL")
    link = RedisLink(valkey.url)
    _, presented = await Keys(link, Secret(link, SECRET)).create("alice")
    yield presented
    await link.aclose()


KEYED = f'[auth]\nmode = "keys"\nsecret = "{SECRET}"\n{VOICES}'


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/page/page.js", "/v1/models", "/nothing", "/v1/audio/nothing", "/metrics", "/healthz"],
)
async def test_every_answer_is_guarded(house: Inside, path: str):
    """A browser would guess what an answer is, show it within another's page, or tell others where it was."""
    headers = (await house.client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/docs", "/page/docs.html"])
async def test_pages_run_their_own_scripts_only(house: Inside, path: str):
    """A text with markup in it that got into the page would run there, with the user's key at hand."""
    policy = (await house.client.get(path)).headers.get_list("content-security-policy")
    assert len(policy) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in policy[0].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy[0]


@pytest.mark.parametrize("path", ["/nothing", "/v1/speech/nothing", "/v1/audio/nothing", SPEECH])
async def test_errors_run_nothing(house: Inside, path: str):
    """Opened in a browser, something in them could."""
    answer = await house.client.get(path)
    assert answer.status_code in {404, 405}
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")


async def test_other_sites_hear_nothing_of_an_open_server(house: Inside):
    """Any page could find out whether a text was ever spoken here, by putting its address into an audio element."""
    address = (await house.client.post(SPEECH, json=BODY)).headers["content-location"]
    answer = await house.client.get(address)
    assert answer.status_code == 200
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_listed_sites_media_elements_play(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """An audio element says not whose page it is in: those that are allowed would stay silent."""
    async with inside(monkeypatch, valkey.url, allowed_origins=[ORIGIN]) as house:
        address = (await house.client.post(SPEECH, json=BODY)).headers["content-location"]
        assert (await house.client.get(address)).headers["cross-origin-resource-policy"] == "cross-origin"
        assert (await house.client.get("/v1/models")).headers["cross-origin-resource-policy"] == "same-origin"
        plan = (await house.client.post("/v1/speech/plan", json=BODY)).headers
        assert plan["cross-origin-resource-policy"] == "same-origin"
        assert plan["x-frame-options"] == "DENY"


async def test_under_keys_replays_are_private(valkey: Valkey, monkeypatch: pytest.MonkeyPatch, key: str):
    """A cache on the way would give the sound, and its words, to who has no key."""
    async with inside(monkeypatch, valkey.url, KEYED) as house:
        mine = {"xi-api-key": key}
        made = await house.client.post(SPEECH, json=BODY, headers=mine)
        assert made.status_code == 200, made.text
        address = made.headers["content-location"]
        for path in (address, f"{address}/captions.json"):
            answer = await house.client.get(path, headers=mine)
            assert answer.status_code == 200
            assert answer.headers["cache-control"].startswith("private, max-age=")
            again = await house.client.get(path, headers={**mine, "If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304
            assert again.headers["cache-control"].startswith("private, max-age=")
            assert (await house.client.get(path)).status_code == 401


@pytest.mark.parametrize(
    "path", ["/v1/usage", "/v1/providers", "/v1/speech/" + "0" * 40 + ".mp3", "/nothing"]
)
async def test_what_holds_for_now_is_kept_nowhere(house: Inside, path: str):
    """A network in front would tell one user what another has had, or that there is no sound which has come since."""
    assert (await house.client.get(path)).headers.get_list("cache-control") == ["no-store"]


async def test_a_defect_before_anybody_is_let_in_tells_nothing(
    house: Inside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Its message would be in the log, and a key may be in that; the answer would have no id to look for there."""

    async def broken(*_args: object) -> None:
        raise ValueError("rf_canary")

    with monkeypatch.context() as patch:
        patch.setattr(Doorway, "enter", broken)
        answer = await house.client.post(SPEECH, json=BODY)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert answer.headers["x-frame-options"] == "DENY"
    (told,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert told.startswith("defect: ValueError at ")
    assert answer.headers["x-request-id"] in told
    assert "rf_canary" not in answer.text + caplog.text
    assert await house.metric("refrain_requests_total", status="500") == 1


async def test_where_everybody_is_let_in_replays_are_public(house: Inside):
    """A proxy's cache in front of an open server would keep nothing."""
    address = (await house.client.post(SPEECH, json=BODY)).headers["content-location"]
    assert (await house.client.get(address)).headers["cache-control"].startswith("public, max-age=")

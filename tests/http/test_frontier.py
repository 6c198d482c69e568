"""Which names the server answers to, and whose pages may have it speak."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from app.settings import parse
from tests.http.servers import VOICES, Inside, Valkey, inside

SPEECH = "/v1/audio/speech"
BODY = {"input": "Who goes there?", "response_format": "pcm"}
LISTED = "https://app.example.com"
FOREIGN = "https://evil.example.org"


@pytest.fixture
async def listing(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """A house that one foreign page may speak with, and that has a name of its own."""
    valkey.command("FLUSHALL")
    server = {"allowed_origins": [LISTED], "allowed_hosts": ["voice.example.com"]}
    async with inside(monkeypatch, valkey.url, **server) as running:
        yield running


async def ask(house: Inside, method: str = "POST", path: str = SPEECH, **headers: str) -> httpx.Response:
    """A request with headers; `_` in their names stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await house.client.request(method, path, json=BODY if method == "POST" else None, headers=named)


async def status(house: Inside, request: bytes) -> int:
    """Of the answer to a request that no client library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    writer.write(request)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


def assert_forbidden(answer: httpx.Response, key: str) -> None:
    """Refused, with the setting that would let it in."""
    assert answer.status_code == 403, answer.text
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert error["code"] == "forbidden"
    assert key in error["message"]


@pytest.mark.parametrize(
    "host",
    ["evil.example.org", "evil.example.org:8000", "localhost.evil.org", "127.0.0.1.evil.org", "", "[::2]"],
)
async def test_a_strange_name_is_refused_on_this_machine(house: Inside, host: str):
    """A page whose own name was given this machine's address would be taken for the server's own (DNS rebinding)."""
    assert_forbidden(await ask(house, host=host), "server.allowed_hosts")
    assert (await ask(house, "GET", "/v1/providers", host=host)).status_code == 403
    assert not house.calls


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"]
)
async def test_this_machine_is_called_by_its_own_names(house: Inside, host: str):
    """Whoever forwards a port, or types localhost, would be refused."""
    assert (await ask(house, host=host)).status_code == 200


async def test_a_name_that_is_listed_is_answered(listing: Inside):
    """Behind a proxy that passes the name on, nobody would be served; this machine's names go on being good."""
    assert (await ask(listing, host="voice.example.com:8443")).status_code == 200
    assert (await ask(listing)).status_code == 200
    assert_forbidden(await ask(listing, host="other.example.com"), "server.allowed_hosts")


async def test_two_names_are_none(house: Inside):
    """What one reader of the request takes for its host another would not."""
    request = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example.org\r\n\r\n"
    assert await status(house, request) == 403
    assert await status(house, b"GET /v1/models HTTP/1.0\r\n\r\n") == 403


async def test_probes_come_by_any_name(house: Inside):
    """An orchestrator asks by an address of its own, and would end a process that is well."""
    assert (await ask(house, "GET", "/healthz", host="10.2.3.4")).status_code == 200
    assert (await ask(house, "GET", "/readyz", host="10.2.3.4")).status_code == 200


async def test_reached_by_others_it_has_any_name(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """A server in a container does not know by which name it is called."""
    own = {"host": "0.0.0.0"}  # the settings' only: the test's socket is on loopback all the same
    async with inside(monkeypatch, valkey.url, **own) as house:
        assert (await ask(house, host="whatever.example.com")).status_code == 200


@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "http://127.0.0.1", "http://127.0.0.1:1", f"{LISTED}.evil.org"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", SPEECH), ("POST", "/v1/speech/plan"), ("DELETE", "/v1/speech/" + "0" * 40)]
)
async def test_a_foreign_page_changes_nothing(listing: Inside, origin: str, method: str, path: str):
    """A page of anybody's would speak at the cost of whoever looks at it."""
    answer = await ask(listing, method, path, origin=origin)
    assert answer.status_code == 403
    assert "server.allowed_origins" in answer.text
    assert "access-control-allow-origin" not in answer.headers
    assert not listing.calls


async def test_a_foreign_page_reads_nothing(listing: Inside):
    """It may ask, as any address can be written into a page; the browser keeps the answer from it."""
    answer = await ask(listing, "GET", "/v1/audio/voices", origin=FOREIGN)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"


async def test_the_servers_own_page_speaks(house: Inside):
    """The page at `/` would fall silent."""
    own = str(house.client.base_url).rstrip("/")
    answer = await ask(house, origin=own)
    assert answer.status_code == 200
    assert "vary" not in answer.headers
    # With TLS taken off by a proxy, its scheme is another than ours.
    assert (await ask(house, origin=own.replace("http://", "https://"))).status_code == 200


async def test_a_port_that_goes_without_saying_may_be_said(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """Behind a proxy that writes it out, or by a list that has it, pages that may speak would be refused."""
    async with inside(
        monkeypatch, valkey.url, allowed_hosts=["*"], allowed_origins=[f"{LISTED}:443"]
    ) as house:
        for origin, host, expected in (
            ("https://voice.example.com", "voice.example.com:443", 200),
            ("http://voice.example.com", "voice.example.com:80", 200),
            ("http://voice.example.com", "voice.example.com:443", 403),
            (LISTED, "voice.example.com", 200),
        ):
            assert (await ask(house, origin=origin, host=host)).status_code == expected


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", "[::1]", "::ffff:127.0.0.1"])
def test_this_machine_is_known_however_it_is_written(host: str):
    """Such a server would answer to every name, and strangers' pages have it speak."""
    assert parse(f'[server]\nhost = "{host}"\n[auth]\nmode = "open"', {}).server.hosts is not None


async def test_a_listed_page_speaks_and_reads(listing: Inside):
    """Its script would get neither the sound nor its address."""
    answer = await ask(listing, origin=LISTED)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == LISTED
    read = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"content-location", "etag", "cache-status", "x-request-id", "ratelimit"} <= set(read)
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


async def test_errors_are_read_by_a_listed_page(listing: Inside):
    """Its script would see a network error in place of the reason."""
    answer = await listing.client.post(
        SPEECH, content=b"{", headers={"Origin": LISTED, "Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == LISTED


@pytest.mark.parametrize("path", [SPEECH, "/v1/speech/plan", "/v1/speech/" + "0" * 40, "/v1/audio/voices"])
async def test_a_listed_pages_preflight_is_answered(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, path: str
):
    """The browser would not send the request behind it; a preflight carries no key, whatever the server asks for."""
    server = {"allowed_origins": [LISTED]}
    async with inside(monkeypatch, valkey.url, f'[auth]\nmode = "keys"\n{VOICES}', **server) as house:
        asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}
        answer = await ask(house, "OPTIONS", path, origin=LISTED, **asked)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == LISTED
        allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "xi-api-key", "content-type", "idempotency-key"} <= set(allowed)
        assert {"range", "if-range", "if-match", "if-none-match"} <= set(allowed), (
            "or no page resumes a download"
        )
        assert {"POST", "DELETE", "PUT"} <= set(answer.headers["access-control-allow-methods"].split(", "))
        refused = await ask(house, "OPTIONS", path, origin=FOREIGN, **asked)
        assert refused.status_code == 403
        assert not [name for name in refused.headers if name.startswith("access-control")]
        # What is listed is not let in by that: it needs a key like everybody.
        assert (await ask(house, origin=LISTED)).status_code == 401


async def test_who_sends_no_origin_is_no_page(house: Inside):
    """Programs would have to learn of it."""
    answer = await ask(house)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]

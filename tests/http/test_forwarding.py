"""Forwarding headers are believed from the operator's proxies, and from nobody else."""

import tempfile
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from litestar.types import HTTPScope

from app.http.forwarding import MOST_PROXIES, Proxies
from app.settings import BadConfiguration, parse
from tests.http.servers import VOICES, Server, Valkey, inside

SPOOFED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "voice.example.com",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;host=voice.example.com;proto=https",
}
OURS = "10.0.0.1"


@pytest.fixture(scope="module")
def logging_server() -> Iterator[Server]:
    """A server as it is installed, which writes down who asks."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Server(Path(home), VOICES, options=["--access-log"])
        yield running
        running.stop()


def seen(headers: dict[str, str], client: str = OURS) -> HTTPScope:
    """What the service sees of a request behind two networks of proxies."""
    raw = [(name.lower().encode(), value.encode()) for name, value in {"Host": "inside", **headers}.items()]
    scope = {"type": "http", "client": (client, 4711), "scheme": "http", "headers": raw}
    Proxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")]).heed(scope)  # type: ignore[arg-type]
    return scope  # type: ignore[return-value]


def test_a_spoofed_address_is_not_written_down(logging_server: Server):
    """Whoever asks from this machine could put his deeds on anybody; uvicorn by itself believes him."""
    before = len(logging_server.log.read_text())
    assert logging_server.client.get("/v1/models", headers=SPOOFED).status_code == 200
    told = logging_server.log.read_text()[before:]
    assert "127.0.0.1:" in told
    assert "203.0.113.9" not in told


async def test_a_spoofed_host_opens_nothing(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """A stranger's page would be taken for the server's own, or its name for one that is allowed."""
    async with inside(monkeypatch, valkey.url, allowed_hosts=["voice.example.com"]) as house:
        headers = {**SPOOFED, "Host": "evil.example.org"}
        assert (await house.client.get("/v1/models", headers=headers)).status_code == 403
        page = {**SPOOFED, "Origin": "https://voice.example.com"}
        assert (
            await house.client.post("/v1/audio/speech", json={"input": "No."}, headers=page)
        ).status_code == 403


async def test_a_trusted_proxy_tells_the_name(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """Behind a proxy that rewrites Host, the server's own page could not have it speak."""
    server = {"allowed_hosts": ["voice.example.com"], "trusted_proxies": ["127.0.0.1"]}
    async with inside(monkeypatch, valkey.url, **server) as house:
        page = {**SPOOFED, "Origin": "https://voice.example.com"}
        answer = await house.client.post("/v1/audio/speech", json={"input": "Yes."}, headers=page)
        assert answer.status_code == 200
        strange = {"X-Forwarded-Host": "evil.example.org"}
        assert (await house.client.get("/v1/models", headers=strange)).status_code == 403


def test_a_stranger_is_not_believed():
    """The law."""
    scope = seen(SPOOFED, client="192.0.2.7")
    assert (scope["client"], scope["scheme"]) == (("192.0.2.7", 4711), "http")
    assert (b"host", b"inside") in scope["headers"]


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.7", "203.0.113.9"),  # what a client wrote itself stands before it
        ("203.0.113.9:5060, 10.0.0.7", "203.0.113.9"),
        ("[2001:db8::9]:443", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.8, 10.0.0.7", "10.0.0.8"),
        ("203.0.113.9, unknown, 10.0.0.7", "10.0.0.7"),
        ("fe80::1%any words, 10.0.0.7", "10.0.0.7"),
        ("nonsense", OURS),
        ("", OURS),
    ],
)
def test_the_client_is_the_farthest_that_is_vouched_for(told: str, client: str):
    """Counted from the other end, everybody could choose his address behind a proxy, too."""
    scope = seen({"X-Forwarded-For": told})
    assert scope["client"] is not None
    assert scope["client"][0] == client


def test_of_a_thousand_proxies_the_nearest_are_looked_at():
    """Who is himself in a trusted network would have everybody wait for each of his requests."""
    chain = ["203.0.113.9", *[f"10.0.1.{number % 250}" for number in range(1000)], "10.0.2.1"]
    scope = seen({"X-Forwarded-For": ", ".join(chain)})
    assert scope["client"] == (chain[-MOST_PROXIES], 0)


@pytest.mark.parametrize("proto", ["ftp", "https, http", "", "javascript"])
def test_another_scheme_is_none(proto: str):
    """An address made of it would lead anywhere."""
    assert seen({"X-Forwarded-Proto": proto})["scheme"] == "http"


@pytest.mark.parametrize("host", ["a, b", "evil host", "a/b", "", "x" * 300])
def test_a_host_that_is_none_is_not_taken(host: str):
    """What two proxies disagree about is nobody's name."""
    assert (b"host", b"inside") in seen({"X-Forwarded-Host": host})["headers"]


@pytest.mark.parametrize("written", ["::ffff:10.0.0.7", "::ffff:10.0.0.0/104"])
def test_a_proxy_is_known_however_it_is_written(written: str):
    """A server on an IPv6 socket sees it so; who copies that would trust nobody."""
    (network,) = parse(f'[server]\ntrusted_proxies = ["{written}"]', {}).server.trusted_proxies
    scope = {"type": "http", "client": ("::ffff:10.0.0.7", 1), "scheme": "http"}
    scope["headers"] = [(b"x-forwarded-for", b"203.0.113.9")]
    Proxies([network]).heed(scope)  # type: ignore[arg-type]
    assert scope["client"] == ("203.0.113.9", 0)


def test_a_number_is_no_proxy():
    """`true` would be the address 0.0.0.1."""
    with pytest.raises(BadConfiguration, match="use an address, or a network"):
        parse("[server]\ntrusted_proxies = [true]", {})


@pytest.mark.parametrize("proxy", ["proxy.internal", "10.0.0.1/8", "all", "*"])
def test_a_proxy_that_is_none_is_a_mistake(proxy: str):
    """An operator would trust nobody, or everybody, and not know."""
    with pytest.raises(BadConfiguration, match=r"server\.trusted_proxies.*use an address, or a network"):
        parse(f'[server]\ntrusted_proxies = ["{proxy}"]', {})

"""Tokens and passes through real servers: who comes in, who is shut out on all of them, and what no log has."""

import asyncio
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.http.connection import WithoutQueries, log_config
from app.users.keys import Keys
from app.users.store import Secret
from cache.link import RedisLink
from tests.cli.commands import refrain
from tests.http.servers import VOICES, Server, Valkey, inside
from tests.users.issuer import AUDIENCE, ISSUER, jwk, key_set, pem, token

SECRET = "of 32 characters and a few more than that"
PATIENCE = 30.0
"""Seconds for what takes five at the most on a machine that has nothing else to do."""


class _Published(BaseHTTPRequestHandler):
    """The issuer's keys."""

    def do_GET(self) -> None:
        body = key_set(jwk())
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nobody reads it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers on one Valkey, of which the first writes an access log; and a folder with their configuration."""

    first: Server
    second: Server
    valkey: Valkey
    home: Path

    @property
    def both(self) -> tuple[Server, Server]:
        """The servers."""
        return self.first, self.second

    def key(self, **more: str) -> tuple[str, str]:
        """A new key: its id, and what its user shows."""

        async def create() -> tuple[str, str]:
            link = RedisLink(self.valkey.url, timeout=5)
            key, presented = await Keys(link, Secret(link, SECRET)).create("ann", **more)
            await link.aclose()
            return key.id, presented

        return asyncio.run(create())

    def revoke_key(self, key_id: str) -> None:
        """Shut it out."""

        async def revoke() -> None:
            link = RedisLink(self.valkey.url, timeout=5)
            await Keys(link, Secret(link, SECRET)).revoke(key_id)
            await link.aclose()

        asyncio.run(revoke())

    def refrain(self, *words: str) -> None:
        """The command line, with the configuration of both."""
        done = refrain(self.home, *words, "--config", str(self.first.file))
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Running."""
    issuer = ThreadingHTTPServer(("127.0.0.1", 0), _Published)
    threading.Thread(target=issuer.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "valkey").mkdir()
        valkey = Valkey(home / "valkey")
        config = f"""
[redis]
url = "{valkey.url}"
timeout = "2s"
[auth]
mode = "keys+jwt"
secret = "{SECRET}"
[auth.jwt]
jwks_url = "http://127.0.0.1:{issuer.server_port}/keys"
audience = "{AUDIENCE}"
issuer = "{ISSUER}"
{VOICES}"""
        first = Server(home / "first", config, options=("--access-log",))
        second = Server(home / "second", config)
        yield Pair(first, second, valkey, home)
        first.stop()
        second.stop()
        valkey.stop()
    issuer.shutdown()
    issuer.server_close()


def bearer(credential: str) -> dict[str, str]:
    """As OpenAI's clients show it."""
    return {"Authorization": f"Bearer {credential}"}


def said(server: Server, credential: str, text: str = "Once.") -> httpx.Response:
    """Speech, for whom this is."""
    return server.client.post("/v1/audio/speech", json={"input": text}, headers=bearer(credential))


def a_pass(server: Server, credential: str, **body: object) -> str:
    """A pass, made from this."""
    answer = server.client.post("/v1/tokens", json=body, headers=bearer(credential))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    issued: str = answer.json()["token"]
    return issued


def test_who_was_shut_out_is_so_on_all_servers(pair: Pair):
    """A stolen token or key would be good on the servers that have not heard, or for as long as they remember."""
    key_id, key = pair.key()
    stolen, outcast = token(jti="stolen"), token(sub="bob", iat=int(time.time()) - 60)
    address = said(pair.first, key).headers["content-location"]
    passes = [a_pass(pair.first, credential) for credential in (key, stolen, outcast)]

    def answers() -> Iterator[httpx.Response]:
        for server in pair.both:
            yield from (said(server, credential) for credential in (key, stolen, outcast))
            yield from (server.client.get(address, params={"token": presented}) for presented in passes)

    assert [answer.status_code for answer in answers()] == [200] * 12
    pair.revoke_key(key_id)
    pair.refrain("tokens", "revoke", "--jti", "stolen")
    pair.refrain("tokens", "revoke", "--user", "bob")
    wait(lambda: all(answer.status_code == 401 for answer in answers()))
    assert {answer.json().get("code") or answer.json()["error"]["code"] for answer in answers()} == {
        "revoked"
    }
    for server in pair.both:
        assert said(server, token()).status_code == 200, "ann's other tokens"
        assert said(server, token(sub="bob", iat=int(time.time()) + 2)).status_code == 200, "bob's new one"


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


BAD = {
    "another key": lambda: token("second"),
    "audience": lambda: token(aud="other"),
    "issuer": lambda: token(iss="https://other.example"),
    "expired": lambda: token(exp=1_000_000_000),
    "nobody": lambda: token(sub=None),
    "for ever": lambda: token(exp=None),
    "too long": lambda: token(filler="x" * 9000),
    "none": lambda: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.",
    "words": lambda: "a.b.c",
    "dots": lambda: "..",
    "octets": lambda: "\xff.\xfe.\xfd",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_token_is_refused(pair: Pair, bad: str):
    """A stranger would speak at somebody's cost, or make errors in the log."""
    credential = BAD[bad]()
    headers = {"Authorization": b"Bearer " + credential.encode("latin-1")}
    answer = pair.first.client.post("/v1/audio/speech", json={"input": "Once."}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert credential not in answer.text


def test_a_player_hears_by_its_address_alone(pair: Pair):
    """An `<audio>` element can send no header: it would hear nothing, or not from the middle on."""
    user = token()
    speech = said(pair.first, user, "A player hears this.")
    address = speech.headers["content-location"]
    presented = {"token": a_pass(pair.first, user)}
    for server in pair.both:
        assert server.client.get(address).status_code == 401
        whole = server.client.get(address, params=presented)
        assert whole.content == speech.content
        part = server.client.get(address, params=presented, headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, speech.content[100:200])
        assert server.client.head(address, params=presented).status_code == 200
        captions = server.client.get(f"{address}/captions.vtt", params=presented)
        assert captions.status_code == 200
        for answer in (whole, part, captions):
            assert answer.headers["cache-control"].startswith("private, "), (
                "nothing on the way gives it to others"
            )


def test_a_pass_opens_nothing_else(pair: Pair):
    """An address that somebody copies would speak at its owner's cost, or delete."""
    _, key = pair.key(role="admin")
    address = said(pair.first, key).headers["content-location"]
    presented = a_pass(pair.first, key)
    client, params = pair.first.client, {"token": presented}
    for answer in (
        client.post("/v1/audio/speech", params=params, json={"input": "Once."}),
        client.post("/v1/speech/plan", params=params, json={"input": "Once."}),
        client.post("/v1/tokens", params=params),
        client.delete(address, params=params),
        client.get("/v1/providers", params=params),
        client.get(address, headers=bearer(presented)),
        client.get(address, headers={"xi-api-key": presented}),
    ):
        assert answer.status_code == 401
    assert client.get(address, params=params).status_code == 200


def test_a_pass_for_one_speech_opens_no_other(pair: Pair):
    """Who passes on one speech would pass on all that he can hear."""
    user = token()
    one, other = (said(pair.first, user, text).headers["content-location"] for text in ("One.", "Other."))
    params = {"token": a_pass(pair.first, user, path=one, expires_in=60)}
    assert pair.second.client.get(one, params=params).status_code == 200
    assert pair.second.client.get(f"{one}.mp3", params=params).status_code == 200
    assert pair.second.client.get(other, params=params).status_code == 401


def test_no_log_has_a_token(pair: Pair):
    """Whoever reads logs could speak and hear as anybody."""
    _, key = pair.key()
    user = token()
    secrets = [key.rsplit("_", 1)[1], *user.split(".")[1:]]
    address = said(pair.first, user).headers["content-location"]
    for credential in (key, user):
        presented = a_pass(pair.first, credential)
        secrets += presented.split(".")[1:]
        client = pair.first.client
        client.get(address, params={"token": presented})
        client.get(address, params={"token": f"{presented}x"})
        client.get("/v1/nowhere", params={"token": presented})
        client.request("PUT", address, params={"token": presented, "xi-api-key": credential})
        client.post("/v1/audio/speech", params={"token": presented}, content=b"{", headers=bearer(credential))
    wait(lambda: b"PUT" in pair.first.log.read_bytes())
    log = pair.first.log.read_text()
    assert f'"GET {address} HTTP/1.1" 200' in log, "it has what was asked for"
    names = pair.valkey.command("KEYS", "*").decode()
    metrics = pair.first.client.get("/metrics").text
    for secret in secrets:
        for place in (log, pair.second.log.read_text(), names, metrics):
            assert secret not in place


def test_lines_about_websockets_have_no_query_either():
    """They are told of in another log, whether there is one of accesses or not."""
    line = logging.LogRecord(
        "uvicorn.error",
        logging.INFO,
        "",
        0,
        '%s - "WebSocket %s" [accepted]',
        (("::1", 5), "/v1/x?token=y"),
        None,
    )
    assert log_config()["loggers"]["uvicorn.error"]["filters"] == ["without_queries"]
    assert WithoutQueries().filter(line)
    assert line.getMessage().endswith('"WebSocket /v1/x" [accepted]')


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"[]", "invalid_input", None),
        (b"{", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b'{"expires_in": 0}', "invalid_input", "expires_in"),
        (b'{"expires_in": 901}', "invalid_input", "expires_in"),
        (b'{"expires_in": 1e9}', "invalid_input", "expires_in"),
        (b'{"expires_in": "60"}', "invalid_input", "expires_in"),
        (b'{"role": "admin"}', "invalid_input", None),
        (b'{"path": 7}', "invalid_input", "path"),
        (b'{"path": ""}', "invalid_input", "path"),
        (b'{"path": "/v1/speech/"}', "invalid_input", "path"),
        (b'{"path": "/v1/usage"}', "invalid_input", "path"),
        (b'{"path": "/v1/speech/\\u0000"}', "invalid_input", "path"),
    ],
)
def test_what_cannot_be_made_is_said(pair: Pair, body: bytes, code: str, param: str | None):
    """A page's author would not learn what is wrong, or get a token that is good for nothing, or for too much."""
    headers = {**bearer(token()), "Content-Type": "application/json"}
    answer = pair.first.client.post("/v1/tokens", content=body, headers=headers)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json().get("param")) == (code, param)


def test_a_body_may_be_left_out(pair: Pair):
    """A page's `fetch` without a body would be refused for its missing type."""
    headers = {**bearer(token()), "Origin": pair.first.url}
    answer = pair.first.client.post("/v1/tokens", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 900
    assert pair.first.client.get("/v1/tokens", headers=headers).status_code == 405
    assert pair.first.client.post("/v1/tokens").json()["code"] == "missing_key"


def test_a_token_without_an_audience_is_warned_of_once(tmp_path: Path, valkey: Valkey):
    """An operator would not learn that tokens for his other services speak here."""
    config = f'[redis]\nurl = "{valkey.url}"\n[auth]\nmode = "jwt"\n[auth.jwt]\npublic_key = """{pem()}"""\n{VOICES}'
    server = Server(tmp_path, config)
    assert said(server, token(aud="anything")).status_code == 200
    assert server.log.read_text().count("auth.jwt.audience is empty") == 1
    server.stop()


async def test_where_everybody_is_let_in_a_token_is_given_all_the_same(
    monkeypatch: pytest.MonkeyPatch, valkey: Valkey
):
    """The same page would break at the operator's own machine; or, with sound kept apart, its player hear nothing."""
    async with inside(monkeypatch, valkey.url, f'[cache]\nscope = "user"\n{VOICES}') as house:
        mine = bearer("something")
        speech = await house.client.post("/v1/audio/speech", json={"input": "Mine."}, headers=mine)
        address = speech.headers["content-location"]
        issued = (await house.client.post("/v1/tokens", headers=mine)).json()
        assert (await house.client.get(address)).status_code == 404
        heard = await house.client.get(address, params={"token": issued["token"]})
        assert heard.content == speech.content
        nobodys = await house.client.post("/v1/audio/speech", json={"input": "Nobody's."})
        rubbish = {"token": "rubbish"}
        assert (
            await house.client.get(nobodys.headers["content-location"], params=rubbish)
        ).status_code == 200


@pytest.mark.parametrize("words", [(), ("--jti", ""), ("--user", "")])
def test_what_is_to_be_revoked_must_be_said(tmp_path: Path, words: tuple[str, ...]):
    """Somebody in a hurry would think that he had shut somebody out."""
    assert refrain(tmp_path, "tokens", "revoke", *words).returncode == 2


def test_a_revocation_that_did_not_happen_is_said(tmp_path: Path):
    """The same, with Redis away."""
    (tmp_path / "refrain.toml").write_text(f'[redis]\nurl = "unix://{tmp_path}/nowhere"\n')
    done = refrain(tmp_path, "tokens", "revoke", "--user", "ann")
    assert done.returncode == 1
    assert "Redis does not answer" in done.stderr


def test_the_embedded_server_knows_revocations(tmp_path: Path):
    """Whoever runs without a Redis of his own could revoke nothing."""
    done = refrain(tmp_path, "tokens", "revoke", "--jti", "x", "--user", "ann")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Revoked, on every server within five seconds.\n"

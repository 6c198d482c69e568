"""Google without an API key: service accounts, users' credentials, a machine's own account; each over real sockets."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers import errors
from providers.google import Google
from providers.google_credentials import AUDIENCE, EARLY, LIFETIME, PAUSE, VARIABLE, Bearer
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from tests.providers import google_wire
from tests.providers.google_wire import JSON
from tests.providers.vendor_server import Reply, Request, VendorServer, vendor_server

UTTERANCE = Utterance("A short sentence to say.", ProviderVoice("wire", "en-US-Neural2-A"))
SECRET = "1//canary-refresh-token"
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ACCOUNT = {
    "type": "service_account",
    "client_email": "voice@project.iam.gserviceaccount.com",
    "private_key_id": "k1",
    "private_key": PEM,
    "token_uri": "https://oauth2.googleapis.com/token",
}


class Clock:
    """Seconds since the epoch, as far as they have been let pass."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        """See `time.time`."""
        return self.now


def answer(request: Request) -> Reply:
    """Speech, or a token for an hour."""
    if "token" in request.path:
        return Reply(headers=JSON, body=b'{"access_token": "t1", "expires_in": 3600, "token_type": "Bearer"}')
    return google_wire.answer(request)


def granted(value: str, seconds: object = 3_600) -> Reply:
    """A token."""
    return Reply(headers=JSON, body=json.dumps({"access_token": value, "expires_in": seconds}).encode())


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """Google's speech and its tokens, on a real socket."""
    async with vendor_server(answer) as running:
        yield running


@pytest.fixture
def user(server: VendorServer, tmp_path: Path) -> Path:
    """What gcloud's application-default login writes."""
    file = tmp_path / "user.json"
    told = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": SECRET}
    file.write_text(json.dumps({**told, "token_uri": f"{server.url}/token", "quota_project_id": "theirs"}))
    return file


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """The key of a service account."""
    file = tmp_path / "account.json"
    file.write_text(json.dumps(ACCOUNT))
    return file


Make = Callable[..., Google]


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Make]:
    """Providers of that server, closed at the end."""
    made: list[Google] = []

    def one(api_key: str | None = None, **options: str) -> Google:
        settings = ProviderSettings(
            "wire", "google", api_key=api_key, base_url=server.url, options=tuple(options.items())
        )
        assert KINDS["google"].check(settings) == []
        made.append(Google(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


@pytest.fixture
async def bearer(user: Path) -> AsyncGenerator[tuple[Bearer, Clock]]:
    """A user's tokens, and the clock that they go by."""
    clock = Clock()
    made = Bearer("wire", str(user), timeout=5.0, clock=clock)
    yield made, clock
    await made.aclose()


async def heard(provider: Google) -> None:
    """Read to the end."""
    async with provider.speak(UTTERANCE) as sound:
        async for _ in sound.pieces:
            pass


def tokens(server: VendorServer) -> list[Request]:
    """Requests for one."""
    return [one for one in server.requests if "token" in one.path]


def claims(authorization: str) -> dict[str, Any]:
    """Of a token that this account's key has really signed."""
    return jwt.decode(
        authorization.removeprefix("Bearer "), KEY.public_key(), algorithms=["RS256"], audience=AUDIENCE
    )


async def test_a_service_account_signs_for_itself(server: VendorServer, make: Make, account: Path) -> None:
    """The signature is checked with the public key, as Google does; and nobody is asked for a token."""
    await heard(make(credentials=f"file:{account}"))
    (sent,) = server.requests
    said = claims(sent.headers["authorization"])
    assert (said["iss"], said["sub"]) == (ACCOUNT["client_email"], ACCOUNT["client_email"])
    assert said["exp"] - said["iat"] == LIFETIME
    head = jwt.get_unverified_header(sent.headers["authorization"].removeprefix("Bearer "))
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert "x-goog-api-key" not in sent.headers


async def test_where_google_looks_for_a_file(
    server: VendorServer, make: Make, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of a host on Google Cloud is enough; a key in the configuration wins."""
    monkeypatch.setenv(VARIABLE, str(account))
    await heard(make())
    assert claims(server.requests[0].headers["authorization"])
    await heard(make(api_key="k"))
    assert server.requests[1].headers["x-goog-api-key"] == "k"
    assert "authorization" not in server.requests[1].headers


async def test_a_users_token(server: VendorServer, make: Make, user: Path) -> None:
    """It is exchanged once, used for all, and says whom to bill, without which Google refuses users."""
    provider = make(credentials=f"file:{user}")
    await heard(provider)
    await heard(provider)
    asked, first, second = server.requests
    assert dict(parse_qsl(asked.raw.decode())) == {
        "grant_type": "refresh_token",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": SECRET,
    }
    assert [one.headers["authorization"] for one in (first, second)] == ["Bearer t1", "Bearer t1"]
    assert first.headers["x-goog-user-project"] == "theirs"
    await heard(make(credentials=f"file:{user}", quota_project="ours"))
    assert server.requests[-1].headers["x-goog-user-project"] == "ours"


async def test_a_machines_own_account(
    server: VendorServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Google's machines there is no file at all."""
    monkeypatch.setenv("GCE_METADATA_HOST", server.url.removeprefix("http://"))
    provider = make(credentials="metadata")
    assert provider._bearer is not None
    assert not provider._bearer._client.trust_env  # a proxy would be asked for an account of its own
    await heard(provider)
    asked, spoken = server.requests
    assert asked.path == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert asked.headers["metadata-flavor"] == "Google"
    assert spoken.headers["authorization"] == "Bearer t1"


async def test_one_request_for_all_who_wait(server: VendorServer, bearer: tuple[Bearer, Clock]) -> None:
    """A hundred listeners after an idle hour are one request for a token; who leaves takes it from nobody."""
    server.silent.clear()
    waiting = [asyncio.create_task(bearer[0].token()) for _ in range(20)]
    await server.arrived.wait()
    waiting[0].cancel()
    server.silent.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert {token.value for token in told[1:] if not isinstance(token, BaseException)} == {"t1"}
    assert len(tokens(server)) == 1


async def test_it_is_renewed_before_its_end(server: VendorServer, bearer: tuple[Bearer, Clock]) -> None:
    """Nobody waits for that while the old one is good."""
    credentials, clock = bearer
    await credentials.token()
    clock.now += 3_600 - EARLY
    server.replies.append(granted("t2"))
    assert (await credentials.token()).value == "t1"
    assert credentials._task is not None
    await credentials._task
    assert (await credentials.token()).value == "t2"
    assert len(tokens(server)) == 2


async def test_trouble_while_the_old_one_is_good(server: VendorServer, bearer: tuple[Bearer, Clock]) -> None:
    """An outage of Google's tokens is felt when the last one has ended, and is not asked about at every request."""
    credentials, clock = bearer
    await credentials.token()
    clock.now += 3_600 - EARLY
    server.replies.append(Reply(status=503))
    await credentials.token()
    assert credentials._task is not None
    await asyncio.wait((credentials._task,))
    assert (await credentials.token()).value == "t1"
    assert len(tokens(server)) == 2
    clock.now += PAUSE
    await credentials.token()
    await credentials._task
    assert len(tokens(server)) == 3


async def test_an_outage_when_it_has_ended(server: VendorServer, bearer: tuple[Bearer, Clock]) -> None:
    """It may pass: the next request asks again."""
    credentials, clock = bearer
    await credentials.token()
    clock.now += 3_600
    server.replies.append(Reply(status=503))
    with pytest.raises(errors.Unavailable):
        await credentials.token()
    server.replies.append(granted("t2", "3600"))
    assert (await credentials.token()).value == "t2"


async def test_a_token_that_is_refused(server: VendorServer, make: Make, user: Path) -> None:
    """Kept until its end, a revoked one would have everything refused for an hour after the key was put right."""
    provider = make(credentials=f"file:{user}")
    server.replies += [granted("old"), Reply(status=401, body=b"{}")]
    with pytest.raises(errors.BadCredentials):
        await heard(provider)
    server.replies.append(granted("new"))
    await heard(provider)
    assert server.requests[-1].headers["authorization"] == "Bearer new"


REFUSALS: dict[str, tuple[Reply, type[errors.ProviderError]]] = {
    "revoked": (Reply(status=400, body=b'{"error": "invalid_grant"}'), errors.BadCredentials),
    "client": (Reply(status=401, body=b'{"error": "invalid_client"}'), errors.BadCredentials),
    "rights": (Reply(status=403, body=b"{}"), errors.BadCredentials),
    "many": (Reply(status=429, body=b"{}"), errors.RateLimited),
    "down": (Reply(status=500, body=SECRET.encode()), errors.Unavailable),
    "page": (Reply(body=b"<html>"), errors.Unavailable),
    "empty": (Reply(body=b'{"access_token": "t"}'), errors.Unavailable),
    "cut": (Reply(body=b'{"access_token": "t"}', short=4), errors.Unavailable),
}


@pytest.mark.parametrize("row", REFUSALS)
async def test_no_token(server: VendorServer, make: Make, user: Path, row: str) -> None:
    """The next in the chain speaks, or Google is asked again; no error carries what the file says."""
    reply, expected = REFUSALS[row]
    server.replies.append(reply)
    with pytest.raises(errors.ProviderError) as raised:
        await heard(make(credentials=f"file:{user}"))
    assert type(raised.value) is expected
    assert raised.value.provider == "wire"
    assert SECRET not in str(raised.value)
    assert str(user) not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    "told", ["", "{", "[]", '{"type": "external_account"}', json.dumps({**ACCOUNT, "private_key": "canary"})]
)
async def test_a_file_without_credentials(
    server: VendorServer, make: Make, tmp_path: Path, told: str
) -> None:
    """`refrain doctor` says so; the key in it is in no error."""
    file = tmp_path / "key.json"
    if told:
        file.write_text(told)
    provider = make(credentials=f"file:{file}")
    with pytest.raises(errors.BadCredentials) as raised:
        await provider.warm()
    assert "canary" not in str(raised.value)
    health = await provider.health()
    assert not health.ok
    assert server.requests == []


async def test_closed_while_somebody_waits(server: VendorServer, make: Make, user: Path) -> None:
    """Who waits for a token of a provider that a reload replaced hears of it."""
    provider = make(credentials=f"file:{user}")
    server.silent.clear()
    waiting = asyncio.create_task(heard(provider))
    await server.arrived.wait()
    assert provider._bearer is not None
    await provider._bearer.aclose()
    with pytest.raises(errors.Unavailable):
        await waiting


def test_one_of_both_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out at the start, not by the first listener."""
    monkeypatch.delenv(VARIABLE, raising=False)
    check = KINDS["google"].check
    assert "credentials" in check(ProviderSettings("wire", "google"))[0]
    both = ProviderSettings("wire", "google", api_key="k", options=(("credentials", "file:x"),))
    assert check(both) == ["give api_key or credentials, not both."]
    empty = ProviderSettings("wire", "google", options=(("credentials", "file:"),))
    assert check(empty)

"""Tokens that others have signed, and their revocation, with a real Valkey."""

import base64
import hashlib
import hmac
import json
import math
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidKey, Revoked
from app.settings import BadConfiguration, parse
from app.settings.signing import verifying_keys
from app.settings.tables import Jwt
from app.users.doorman import Doorman
from app.users.revocations import Issued, Revocations, id_of
from app.users.store import Secret, named
from app.users.tokens import LONGEST, GivenKey, JwtTokens
from cache.errors import Away
from cache.link import RedisLink
from tests.http.servers import Valkey
from tests.users.issuer import AUDIENCE, ISSUER, claims, jwk, pem, private, token

SECRET = "of 32 characters and a few more than that"
RULES = {"audience": AUDIENCE, "issuer": ISSUER}


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A Valkey for this module."""
    with tempfile.TemporaryDirectory() as home:
        server = Valkey(Path(home))
        yield server
        server.stop()


@pytest.fixture
async def link(valkey: Valkey) -> AsyncIterator[RedisLink]:
    """The way to it, empty."""
    valkey.command("FLUSHALL")
    way = RedisLink(valkey.url, timeout=5)
    yield way
    await way.aclose()


@pytest.fixture
def revocations(link: RedisLink) -> Revocations:
    """What is revoked."""
    return Revocations(link, kept=3600)


class Nothing(Revocations):
    """For what is refused before anybody looks, and for what need not be looked up."""

    def __init__(self) -> None:
        pass

    async def revoked(self, user: str, token: Issued) -> bool:
        """Nothing is."""
        return False


def tokens(revocations: Revocations | None = None, key: str | None = None, **rules: object) -> JwtTokens:
    """What checks them, by the issuer's first key unless another is given."""
    table = Jwt.model_validate({**RULES, **rules})
    keys = GivenKey(verifying_keys(key or pem(), table.algorithms))
    return JwtTokens(table, keys, revocations or Nothing(), Secret(None, SECRET))


def raw(header: object, payload: object, signature: bytes = b"x" * 256) -> str:
    """A token made by hand."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


async def test_a_token_says_who_asks():
    """Users of the operator's own log-in could not speak, or not as who they are."""
    user, until = await tokens().find(token(sub="ann@example.com", plan="gold", role="admin"))
    assert (user.id, user.plan, user.role) == ("ann@example.com", "gold", "admin")
    assert until == pytest.approx(time.time() + 3610, abs=60)
    again, _ = await tokens().find(token(sub="ann@example.com"))
    assert again.owner == user.owner, "his sound is his with each of his tokens"


async def test_what_a_token_leaves_out_is_the_least():
    """Somebody would get a plan or a role that nobody gave him."""
    for changed in ({}, {"plan": 7, "role": ["admin"]}, {"plan": "", "role": "Admin"}, {"plan": "x\n"}):
        user, _ = await tokens().find(token(**changed))
        assert (user.plan, user.role) == ("default", "user")


async def test_the_configuration_names_the_claims():
    """Issuers with names of their own could not say what a user may."""
    checked = tokens(plan_claim="https://example.com/plan", role_claim="group")
    presented = token(**{"https://example.com/plan": "gold", "group": "admin", "plan": "tin", "role": "user"})
    user, _ = await checked.find(presented)
    assert (user.plan, user.role) == ("gold", "admin")


async def test_a_credential_does_not_give_the_token_away():
    """The audit would be a list of tokens that can be used."""
    presented = token(jti="the-very-id")
    user, _ = await tokens().find(presented)
    assert "the-very-id" not in user.credential
    assert not any(part in user.credential for part in presented.split("."))


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
async def test_each_algorithm_works_with_a_written_key(algorithm: str):
    """An issuer's choice of algorithm would shut all its users out."""
    checked = tokens(key=pem(algorithm, algorithm), algorithms=[algorithm])
    user, _ = await checked.find(token(algorithm, algorithm))
    assert user.id == "ann"


async def test_a_shared_secret_works():
    """Backends that sign for their own users with a secret would need a key pair."""
    shared = "s" * 64
    checked = tokens(key=shared, algorithms=["HS256", "HS512"])
    for algorithm in ("HS256", "HS512"):
        user, _ = await checked.find(jwt.encode(claims(), shared, algorithm=algorithm))
        assert user.id == "ann"


def swapped() -> str:
    """Signed with what everybody knows, as if it were a secret."""
    unsigned = raw({"alg": "HS256", "typ": "JWT"}, claims()).rpartition(".")[0]
    signature = hmac.digest(pem().encode(), unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def changed_claims() -> str:
    """A good signature of other claims."""
    header, _, signature = token().split(".")
    claims_part = raw({}, claims(sub="bob")).split(".")[1]
    return f"{header}.{claims_part}.{signature}"


def unencoded() -> str:
    """Well signed, its claims apart from it (RFC 7797)."""
    header = raw({"alg": "RS256", "b64": False, "crit": ["b64"]}, {}).split(".")[0]
    signed = f"{header}.".encode() + json.dumps(claims()).encode()
    signature = private().sign(signed, PKCS1v15(), SHA256())
    return f"{header}..{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


NOW = int(time.time())
REFUSED = {
    "none": lambda: raw({"alg": "none"}, claims(), b""),
    "none, in other letters": lambda: raw({"alg": "nOnE"}, claims(), b""),
    "no algorithm": lambda: raw({}, claims()),
    "a list of algorithms": lambda: raw({"alg": ["RS256"]}, claims()),
    # By hand: the library refuses to make it.
    "the public key as a secret": swapped,
    "another algorithm of the same key": lambda: token(algorithm="RS512"),
    "another algorithm": lambda: token("other", "ES256"),
    "another key": lambda: token("second"),
    "a key of its own in the header": lambda: token("second", headers={"jwk": jwk("second")}),
    "a certificate's address in the header": lambda: token("second", headers={"x5u": "https://example.com"}),
    "something critical that nobody knows": lambda: token(headers={"crit": ["strange"], "strange": 1}),
    "changed claims": changed_claims,
    "no signature": lambda: token().rpartition(".")[0] + ".",
    "wrong audience": lambda: token(aud="other"),
    "wrong audiences": lambda: token(aud=["other", "another"]),
    "no audience": lambda: token(aud=None),
    "wrong issuer": lambda: token(iss="https://other.example"),
    "no issuer": lambda: token(iss=None),
    "expired": lambda: token(iat=NOW - 7200, exp=NOW - 3600),
    "not yet valid": lambda: token(nbf=NOW + 3600),
    "issued in the future": lambda: token(iat=NOW + 3600),
    "no subject": lambda: token(sub=None),
    "an empty subject": lambda: token(sub=""),
    "a subject with a line's end": lambda: token(sub="ann\nbob"),
    "half a character for a subject": lambda: token(sub="\ud800"),
    "a subject that is too long": lambda: token(sub="a" * 256),
    "no expiry": lambda: token(exp=None),
    "expiry in words": lambda: token(exp="tomorrow"),
    "expiry without end": lambda: token(exp=math.inf),
    "expiry of many digits": lambda: token(exp=10**400),
    "good for too long": lambda: token(exp=NOW + 400 * 86400),
    "good for too long, without its issue": lambda: token(iat=None, exp=NOW + 400 * 86400),
    "the notice of a log-out": lambda: token(
        headers={"typ": "logout+jwt"},
        events={"http://schemas.openid.net/event/backchannel-logout": {}},
    ),
    "a payload that is not encoded": unencoded,
    "too long": lambda: token(filler="x" * LONGEST),
    "a number for an id": lambda: token(jti=7),
    "no object": lambda: raw({"alg": "RS256"}, [1]),
    "no token": lambda: "a.b.c",
    "deep": lambda: raw(b"[" * 3000, {}),
    "other letters": lambda: f"{token()}é",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused(name: str):
    """A stranger would speak as whoever he likes, or his rubbish would be an error of ours."""
    presented = REFUSED[name]()
    with pytest.raises(InvalidKey) as refused:
        await tokens().find(presented)
    assert presented not in refused.value.message
    assert "ann" not in refused.value.message.split()


async def test_without_an_audience_all_are_taken():
    """Who has left it empty, and was warned, would still let nobody in."""
    checked = tokens(audience="", issuer="")
    for presented in (token(aud=None, iss=None), token(aud="anything"), token(iss="anybody")):
        assert (await checked.find(presented))[0].id == "ann"


async def test_clocks_may_differ_a_little():
    """A user would be refused because the issuer's clock is two seconds ahead."""
    assert await tokens().find(token(iat=int(time.time()) + 5, nbf=int(time.time()) + 5))
    assert await tokens().find(token(exp=int(time.time()) - 5))
    with pytest.raises(InvalidKey):
        await tokens(leeway=0).find(token(exp=int(time.time()) - 5))


WORDS = st.sampled_from(["", "ann", "é", "\n", "\0", "\ud800", "-1", "1e999", "admin", "a" * 300])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from(["sub", "exp", "iat", "nbf", "jti", "aud", "iss", "plan", "role"])


@settings(deadline=None)  # the first one makes a key
@given(st.dictionaries(NAMES, JSON))
async def test_whatever_an_issuer_signs_is_a_user_or_refused(said: dict[str, Any]):
    """One odd claim of the issuer's would be an error of ours at each request."""
    presented = jwt.encode({**claims(), **said}, private()) if _signs(said) else token()
    try:
        user, until = await tokens().find(presented)
    except InvalidKey:
        return
    assert user.id
    assert math.isfinite(until)


def _signs(said: dict[str, Any]) -> bool:
    """Whether the library signs this: it looks at some claims itself."""
    try:
        jwt.encode({**claims(), **said}, private())
    except TypeError:
        return False
    return True


@settings(deadline=None)  # the first one makes a key
@given(
    JSON | st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ"]), JSON),
    JSON,
    st.binary(max_size=8),
)
async def test_whatever_a_stranger_sends_is_refused(header: object, payload: object, signature: bytes):
    """Strangers would make errors, and the log would fill with them."""
    with pytest.raises(InvalidKey):
        await tokens().find(raw(header, payload, signature))


@settings(deadline=None)  # the first one makes a key
@given(st.binary(max_size=60).map(lambda octets: octets.decode("latin-1")))
async def test_whatever_is_in_the_header_is_refused(presented: str):
    """The same, by a doorman who is asked first."""
    doorman = Doorman(None, tokens(), Secret(None, SECRET))
    with pytest.raises(InvalidKey):
        await doorman.check(f"{presented}..x")


async def test_one_token_is_revoked(revocations: Revocations):
    """A token that was stolen would be good until it expires."""
    checked = tokens(revocations)
    stolen, other = token(jti="stolen"), token(jti="other")
    before, _ = await checked.find(stolen)
    assert await checked.still_good(before)
    await revocations.revoke_token("stolen")
    with pytest.raises(Revoked):
        await checked.find(stolen)
    assert not await checked.still_good(before)
    assert (await checked.find(other))[0].id == "ann"


async def test_a_users_tokens_are_revoked_and_he_may_have_new_ones(revocations: Revocations, link: RedisLink):
    """Who was thrown out would stay in, or could never come back; or everybody would be thrown out."""
    checked = tokens(revocations)
    await revocations.revoke_user("ann")
    ((_, since),) = await link.client.zrange(named("revoked"), 0, -1, withscores=True)
    second = int(since)
    old, same, new = (token(iat=second + later, exp=second + 900) for later in (-60, 0, 1))
    silent, another = token(iat=None), token(sub="bob", iat=second - 60)
    for presented in (old, same, silent):
        with pytest.raises(Revoked):
            await checked.find(presented)
    assert (await checked.find(new))[0].id == "ann"
    assert (await checked.find(another))[0].id == "bob"


async def test_it_is_redis_that_tells_the_time(
    revocations: Revocations, link: RedisLink, monkeypatch: pytest.MonkeyPatch
):
    """By the slow clock of an operator's machine, what was issued in the last minutes would stay good."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    await revocations.revoke_user("ann")
    seconds, _ = await link.client.time()
    assert await revocations.revoked("ann", Issued("", seconds - 1, seconds + 900))
    assert not await revocations.revoked("ann", Issued("", seconds + 1, seconds + 900))


async def test_a_later_revocation_is_not_undone_by_a_slower_clock(revocations: Revocations, link: RedisLink):
    """After a fail-over to a server whose clock is behind, a token that was revoked would be good again."""
    await revocations.revoke_user("ann")
    ((member, since),) = await link.client.zrange(named("revoked"), 0, -1, withscores=True)
    await link.client.zadd(named("revoked"), {member: since + 60})
    await revocations.revoke_user("ann")
    assert await revocations.revoked("ann", Issued("", since + 30, since + 900))


async def test_revocations_outlive_tokens_and_no_more(
    revocations: Revocations, link: RedisLink, valkey: Valkey
):
    """A revoked token would be good again before it expires; or Redis would fill with what nobody needs."""
    place = named("revoked")
    await revocations.revoke_token("first")
    assert valkey.command("PTTL", place) == b":-1\r\n", "a full Redis throws out what has a lifetime"
    ((member, _),) = await link.client.zrange(place, 0, -1, withscores=True)
    first = Issued(id_of("first"), 0.0, 0.0)
    seconds, _ = await link.client.time()
    await link.client.zadd(place, {member: seconds - 3600})
    await revocations.revoke_token("second")
    assert await revocations.revoked("ann", first), "the longest token may have been issued just before"
    await link.client.zadd(place, {member: seconds - 7201})
    await revocations.revoke_token("third")
    assert not await revocations.revoked("ann", first)
    assert valkey.command("ZCARD", place) == b":2\r\n"


async def test_a_revocation_without_end_is_kept(link: RedisLink):
    """With `max_lifetime = inf` a second one would take the first out."""
    endless = Revocations(link, kept=math.inf)
    for jti in ("first", "second"):
        await endless.revoke_token(jti)
        assert await endless.revoked("ann", Issued(id_of("first"), 0.0, 0.0))


async def test_what_cannot_be_looked_up_is_not_waved_through(revocations: Revocations, link: RedisLink):
    """With Redis away every revoked token would be good."""
    checked = tokens(revocations)
    link.servers.client.connection_pool.connection_kwargs["path"] = "/nowhere"
    with pytest.raises(Away):
        await checked.find(token())


async def test_no_name_is_in_redis(revocations: Revocations, valkey: Valkey):
    """Who can read Redis' keys and members would read who was thrown out."""
    await revocations.revoke_user("ann@example.com")
    await revocations.revoke_token("the-very-id")
    everything = valkey.command("KEYS", "*") + valkey.command("ZRANGE", named("revoked"), "0", "-1")
    assert b"ann" not in everything
    assert b"the-very-id" not in everything


def test_a_credential_of_a_token_can_be_read_again():
    """A connection could not find out that its token has been revoked."""
    issued = Issued(id_of("x"), 1732452000.25, 1732455600.0)
    assert Issued.of(str(issued)) == issued
    assert Issued.of("key:abc") is None
    assert Issued.of("") is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "needs jwks_url or public_key"),
        ('public_key = "no key"', "is no key for the algorithms"),
        ('algorithms = ["ES256"]\npublic_key = """PEM"""', "is no key for the algorithms"),
        ('public_key = """SHORT"""', "is too weak"),
        ('algorithms = ["HS512"]\npublic_key = "' + "s" * 40 + '"', "is too weak"),
        ('public_key = """PRIVATE"""', "is a private key"),
        ('algorithms = ["HS256", "RS256"]\npublic_key = """PEM"""', "may not be mixed"),
        ('algorithms = ["HS256"]\npublic_key = """PEM"""', "is no key for the algorithms"),
        ('algorithms = ["none"]\njwks_url = "https://a.example"', "algorithms"),
        ('jwks_url = "http://issuer.example/keys"', "needs https"),
        ('jwks_url = "http://127.0.0.1.example/keys"', "needs https"),
        ('jwks_url = "https://"', "jwks_url"),
        ('jwks_url = "https://a.example:99999/keys"', "is no URL"),
        ('jwks_url = "https://a.example:http/keys"', "is no URL"),
        ('jwks_url = "https://a example/keys"', "is no URL"),
        ('jwks_url = "https://a.example"\npublic_key = """PEM"""', "has both"),
    ],
)
def test_mistakes_in_the_configuration_are_told(lines: str, said: str):
    """An operator would find out at the first request that nobody can come in, or that anybody can."""
    hidden = private().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for name, written in (("PEM", pem()), ("SHORT", pem("short")), ("PRIVATE", hidden)):
        lines = lines.replace(f'"""{name}"""', f'"""{written}"""')
    with pytest.raises(BadConfiguration) as found:
        parse(f'[auth]\nmode = "jwt"\n[auth.jwt]\n{lines}\n', {})
    assert said in str(found.value)
    assert "BEGIN" not in str(found.value)


@pytest.mark.parametrize(
    "url", ["https://issuer.example/keys", "http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost/k"]
)
def test_keys_may_be_fetched_safely(url: str):
    """A sidecar on the same machine, or any issuer, could not be used."""
    settings = parse(f'[auth]\nmode = "jwt"\n[auth.jwt]\njwks_url = "{url}"\n', {})
    assert settings.auth.jwt.jwks_url == url

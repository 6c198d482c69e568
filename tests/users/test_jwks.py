"""Keys that an issuer publishes, from a real server that rotates, hangs and sends rubbish."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator

import jwt
import pytest

from app.users import jwks
from app.users.jwks import AGAIN, AGED, FRESH, KEPT, MOST_BYTES, PublishedKeys
from cache.errors import Away
from tests.users.issuer import Publisher, jwk, key_set, private, publisher, token


class Clock:
    """Seconds, as the test has them."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Now."""
        return self.seconds


@pytest.fixture
async def place() -> AsyncIterator[Publisher]:
    """Where the issuer has his keys."""
    async with publisher() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    """The time of the keys."""
    return Clock()


@pytest.fixture
async def keys(place: Publisher, clock: Clock) -> AsyncIterator[PublishedKeys]:
    """The keys, as a server has them."""
    published = PublishedKeys(place.url, clock=clock)
    yield published
    await published.aclose()


async def test_a_key_is_found_by_its_name_and_checks_what_it_signed(keys: PublishedKeys):
    """Nobody with a token of the issuer would be let in."""
    (key,) = await keys.find("first", "RS256")
    assert jwt.decode(token(), key, algorithms=["RS256"], audience="refrain")["sub"] == "ann"


async def test_all_who_wait_have_one_fetch(keys: PublishedKeys, place: Publisher):
    """The issuer would be flooded by every server that starts under load."""
    found = await asyncio.gather(*(keys.find("first", "RS256") for _ in range(200)))
    assert all(found)
    assert place.requests == 1


async def test_fresh_keys_are_not_fetched_again(keys: PublishedKeys, place: Publisher, clock: Clock):
    """Each request would wait for the issuer."""
    await keys.find("first", "RS256")
    clock.seconds += FRESH
    await keys.find("first", "RS256")
    assert place.requests == 1


async def test_a_new_key_is_fetched_when_somebody_names_it(
    keys: PublishedKeys, place: Publisher, clock: Clock
):
    """After a rotation everybody would be refused until the old keys are no longer fresh."""
    await keys.find("first", "RS256")
    place.body = key_set(jwk("second"))
    clock.seconds += AGAIN
    assert await keys.find("second", "RS256")
    assert place.requests == 2
    clock.seconds += AGAIN
    assert not await keys.find("first", "RS256"), "what the issuer has withdrawn is believed no longer"


async def test_keys_that_nobody_knows_do_not_flood_the_issuer(
    keys: PublishedKeys, place: Publisher, clock: Clock
):
    """Anybody could have us ask the issuer as often as he likes."""
    await keys.find("first", "RS256")
    clock.seconds += AGAIN
    for number in range(100):
        assert not await keys.find(f"made up {number}", "RS256")
    assert place.requests == 2


async def test_older_keys_are_fetched_behind_who_asks(keys: PublishedKeys, place: Publisher, clock: Clock):
    """Every five minutes somebody would wait for the issuer."""
    await keys.find("first", "RS256")
    clock.seconds += FRESH + 1
    place.hold.clear()
    place.arrived.clear()
    assert await keys.find("first", "RS256")
    await place.arrived.wait()
    assert await keys.find("first", "RS256")
    assert place.requests == 2


async def test_aged_keys_are_fetched_first(keys: PublishedKeys, place: Publisher, clock: Clock):
    """After a quiet night a key that was withdrawn would be believed once more."""
    await keys.find("first", "RS256")
    place.body = key_set(jwk("second"))
    clock.seconds += AGED + 1
    assert not await keys.find("first", "RS256")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("HTTP/1.1 500 X", b""),
        ("HTTP/1.1 200 OK", b""),
        ("HTTP/1.1 200 OK", b"<html>"),
        ("HTTP/1.1 200 OK", b"[]"),
        ("HTTP/1.1 200 OK", b"{}"),
        ("HTTP/1.1 200 OK", b'{"keys": {}}'),
        ("HTTP/1.1 200 OK", b'{"keys": []}'),
        ("HTTP/1.1 200 OK", b'{"keys": [1, null, {}, [], "x"]}'),
        ("HTTP/1.1 200 OK", b'{"keys": [{"kty": "RSA", "n": 5, "e": []}]}'),
        ("HTTP/1.1 200 OK", b'{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}'),
        ("HTTP/1.1 200 OK", b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}'),
        ("HTTP/1.1 200 OK", b'{"keys": "\xff\xfe"}'),
        ("HTTP/1.1 200 OK", b'{"keys": ' + b"[" * 100_000),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", gzip.compress(key_set(jwk("second")))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10000", key_set(jwk("second"))),
        ("what is this", b""),
    ],
    ids=lambda part: part[:40] if isinstance(part, str) else None,
)
async def test_rubbish_leaves_the_old_keys_in_force(
    keys: PublishedKeys, place: Publisher, clock: Clock, head: str, body: bytes
):
    """An issuer's bad minute would lock everybody out, or a stranger's page would bring keys."""
    await keys.find("first", "RS256")
    place.head, place.body = (head,), body
    clock.seconds += AGED + 1
    assert await keys.find("first", "RS256")
    assert place.requests == 2


async def test_rubbish_from_the_beginning_is_not_an_answer(keys: PublishedKeys, place: Publisher):
    """A good token would be called invalid, and its user would throw it away."""
    place.body = b"no keys"
    with pytest.raises(Away):
        await keys.find("first", "RS256")
    with pytest.raises(Away):
        await keys.find("first", "RS256")
    assert place.requests == 1, "who comes a moment later does not ask again"


async def test_old_keys_are_kept_for_a_day_while_the_url_is_away(
    place: Publisher, clock: Clock, caplog: pytest.LogCaptureFixture
):
    """An issuer's outage would be ours; or a stolen key be good for ever to one who can shut the issuer off."""
    keys = PublishedKeys(place.url, clock=clock)
    await keys.find("first", "RS256")
    place.head = ("HTTP/1.1 503 X",)
    for _ in range(10):
        clock.seconds += AGED + 1
        assert await keys.find("first", "RS256")
        if keys._fetching is not None:
            await asyncio.wait([keys._fetching])
    assert place.requests == 11, "it goes on asking"
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1, "and says so once"
    clock.seconds = 1000.0 + KEPT + 1
    with pytest.raises(Away):
        await keys.find("first", "RS256")
    place.head, place.body = ("HTTP/1.1 200 OK",), key_set(jwk())
    clock.seconds += AGAIN
    assert await keys.find("first", "RS256")
    await keys.aclose()


async def test_while_the_url_is_away_nobody_waits_for_it(keys: PublishedKeys, place: Publisher, clock: Clock):
    """Each request would hang with the issuer, although there are keys."""
    await keys.find("first", "RS256")
    place.head = ("HTTP/1.1 503 X",)
    clock.seconds += AGED + 1
    await keys.find("first", "RS256")
    place.hold.clear()
    clock.seconds += AGAIN
    assert await keys.find("first", "RS256")


async def test_an_issuer_that_hangs_is_given_up(
    keys: PublishedKeys, place: Publisher, monkeypatch: pytest.MonkeyPatch
):
    """The first request of each server would hang for ever."""
    monkeypatch.setattr(jwks, "_WHOLE", 0.05)
    place.hold.clear()
    with pytest.raises(Away):
        await keys.find("first", "RS256")


async def test_a_body_without_end_is_cut(
    keys: PublishedKeys, place: Publisher, caplog: pytest.LogCaptureFixture
):
    """Memory would grow until the server is killed."""
    place.endless = True
    with pytest.raises(Away):
        await keys.find("first", "RS256")
    assert f"over {MOST_BYTES} bytes" in caplog.text


async def test_no_redirect_is_followed(keys: PublishedKeys, place: Publisher):
    """Who can have the issuer redirect would bring keys of his own."""
    async with publisher() as other:
        place.head = ("HTTP/1.1 302 Found", f"Location: {other.url}")
        with pytest.raises(Away):
            await keys.find("first", "RS256")
        assert other.requests == 0


async def test_no_proxy_is_asked_for_keys_of_this_machine(
    place: Publisher, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """A proxy of the environment would read along in plain text, and could sign tokens of its own."""
    async with publisher() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/keys"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        keys = PublishedKeys(place.url, clock=clock)
        assert await keys.find("first", "RS256")
        await keys.aclose()
        assert (proxy.requests, place.requests) == (0, 1)


async def test_who_leaves_does_not_end_the_fetch_of_others(keys: PublishedKeys, place: Publisher):
    """A client that hangs up would have all others refused."""
    place.hold.clear()
    leaving, staying = (asyncio.create_task(keys.find("first", "RS256")) for _ in range(2))
    await place.arrived.wait()
    leaving.cancel()
    place.hold.set()
    assert await staying
    assert place.requests == 1


async def test_closing_ends_a_fetch_that_hangs(place: Publisher, clock: Clock):
    """A server that is told to end would wait for the issuer."""
    keys = PublishedKeys(place.url, clock=clock)
    place.hold.clear()
    waiting = asyncio.create_task(keys.find("first", "RS256"))
    await place.arrived.wait()
    await keys.aclose()
    with pytest.raises(Away):
        await waiting
    await keys.aclose()


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
async def test_every_kind_of_key_is_taken(keys: PublishedKeys, place: Publisher, algorithm: str):
    """The tokens of issuers with other keys than RSA would be refused."""
    place.body = key_set(jwk(algorithm, algorithm))
    (key,) = await keys.find(algorithm, algorithm)
    presented = token(algorithm, algorithm)
    assert jwt.decode(presented, key, algorithms=[algorithm], audience="refrain")


@pytest.mark.parametrize(
    ("bad", "algorithm"),
    [
        (jwk("bad", use="enc"), "RS256"),
        (jwk("bad", key_ops=["encrypt"]), "RS256"),
        (jwk("bad", alg="RSA-OAEP"), "RS256"),
        (jwk("bad", alg="RS512"), "RS256"),
        (jwk("bad", alg=["RS256"]), "RS256"),
        (jwk("short") | {"kid": "bad"}, "RS256"),
        (jwk("bad", "ES384"), "ES256"),
        ({"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "bad"}, "HS256"),
    ],
)
async def test_a_key_is_used_for_what_it_is_for(
    keys: PublishedKeys, place: Publisher, bad: dict[str, object], algorithm: str
):
    """A key for encryption, a weak one or a published secret would sign tokens; or one such would spoil the others."""
    place.body = key_set(bad, jwk())
    assert not await keys.find("bad", algorithm)
    assert await keys.find("first", "RS256")


async def test_a_private_key_among_them_is_taken_for_the_public_one(keys: PublishedKeys, place: Publisher):
    """An issuer's mistake would become an error in ours."""
    whole = jwt.algorithms.RSAAlgorithm.to_jwk(private(), as_dict=True)
    place.body = key_set({**whole, "kid": "first", "key_ops": ["sign", "verify"]})
    (key,) = await keys.find("first", "RS256")
    assert jwt.decode(token(), key, algorithms=["RS256"], audience="refrain")


async def test_a_token_that_names_no_key_may_be_of_each(keys: PublishedKeys, place: Publisher):
    """Issuers that name no keys would be shut out."""
    place.body = key_set(jwk("first"), jwk("second"), jwk("third", "ES256"))
    assert len(await keys.find(None, "RS256")) == 2

"""The keys of an issuer, fetched from where he publishes them (RFC 7517), and fetched anew when they change."""

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import jwt
import msgspec

from app.settings.signing import VerifyingKey
from cache.errors import Away
from cache.tending import tell_of

FRESH: Final = 300.0
"""Seconds for which keys are believed without a question; from then on they are fetched anew behind who asks."""
AGED: Final = 600.0
"""Seconds after which who asks waits for that: nobody has asked for a while, and much may have changed."""
KEPT: Final = 86400.0
"""Seconds for which keys are used while they cannot be fetched anew."""
AGAIN: Final = 5.0
"""Seconds between two fetches at least: keys that nobody knows can be named by anybody."""
_CONNECT: Final = 2.0
_READ: Final = 3.0
_WHOLE: Final = 5.0
"""Seconds for all of it, however it drips."""
MOST_BYTES: Final = 2**18
_MOST_KEYS: Final = 100
_LONGEST_RSA: Final = 8192
"""Bits. Checking takes the longer the more there are."""

_MEMBERS: Final = ("kty", "crv", "n", "e", "x", "y")
"""Of a public key. What else there is, private parts among it, is not looked at."""
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}

log = logging.getLogger("refrain")


class Unusable(Exception):
    """There is no set of keys to be had; says why, and not what was in what came."""


class _Set(msgspec.Struct, frozen=True):
    keys: list[Any]


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """One of the issuer's, and what it may be used for."""

    id: str | None
    algorithms: frozenset[str]
    key: VerifyingKey = field(repr=False)


class PublishedKeys:
    """Those at a URL. One fetch is for all who wait for it. `clock` is monotonic, in seconds."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._client = httpx.AsyncClient(
            headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(_READ, connect=_CONNECT),
            follow_redirects=False,
            # Plain http is for this machine only: a proxy of the environment would read it, and answer in its place.
            trust_env=url.startswith("https:"),
        )
        self._keys: tuple[PublishedKey, ...] = ()
        self._fetched = self._ended = -math.inf
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> Sequence[VerifyingKey]:
        """Those that a token with this `kid` (None: without one) and algorithm may be signed with.

        Raises:
            Away: that cannot be known now.
        """
        age = self._clock() - self._fetched
        if age > FRESH:
            fetching = self._fetch()
            # While the URL is away nobody waits for it, as long as there are keys.
            if fetching is not None and (age > KEPT or (age > AGED and not self._failed)):
                await asyncio.wait([fetching])
        keys = self._fitting(key_id, algorithm)
        if not keys and (fetching := self._fetch()) is not None:
            await asyncio.wait([fetching])
            keys = self._fitting(key_id, algorithm)
        if not keys and self._failed:
            raise Away("signing keys")
        return keys

    async def published(self) -> tuple[PublishedKey, ...]:
        """All that can be used of what is there now, fetched anew.

        Raises:
            Unusable: nothing came, or no such key.
        """
        try:
            async with asyncio.timeout(_WHOLE):
                return parsed(await self._read())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise Unusable(type(error).__name__) from None

    async def aclose(self) -> None:
        """End what is under way, and close all connections. Idempotent."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._client.aclose()

    def _fitting(self, key_id: str | None, algorithm: str) -> list[VerifyingKey]:
        if self._clock() - self._fetched > KEPT:
            return []
        return [
            published.key
            for published in self._keys
            if algorithm in published.algorithms and (key_id is None or key_id == published.id)
        ]

    def _fetch(self) -> "asyncio.Task[None] | None":
        """The fetch that is under way, or a new one; None: the last one was a moment ago."""
        # No await between looking and setting: there is one at a time.
        if self._fetching is None and self._clock() - self._ended >= AGAIN:
            # An empty context: it goes for many, and is nobody's request.
            self._fetching = asyncio.create_task(self._fetch_now(), context=contextvars.Context())
            self._fetching.add_done_callback(tell_of("signing keys"))
        return self._fetching

    async def _fetch_now(self) -> None:
        begun = self._clock()
        try:
            keys = await self.published()
        except Unusable as error:
            self._note_failure(str(error))
        except BaseException:
            # Cut short, or a defect of ours: who waits is told that nobody knows, and not that his token is bad.
            self._failed = True
            raise
        else:
            if self._failed:
                log.warning("the keys at auth.jwt.jwks_url can be fetched again")
            self._keys, self._fetched, self._failed = keys, begun, False
        finally:
            self._ended = self._clock()
            self._fetching = None

    def _note_failure(self, why: str) -> None:
        if not self._failed:
            kept = "those of before stay in force for a day" if self._keys else "no token can be checked"
            log.warning("the keys at auth.jwt.jwks_url cannot be fetched (%s); %s", why, kept)
        self._failed = True

    async def _read(self) -> bytes:
        async with self._client.stream("GET", self._url) as answer:
            if answer.status_code != httpx.codes.OK:
                # A redirect too: where it leads to was not configured.
                raise Unusable(f"status {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise Unusable("compressed, which was not asked for")
            body = bytearray()
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise Unusable(f"over {MOST_BYTES} bytes")
            return bytes(body)


def parsed(body: bytes) -> tuple[PublishedKey, ...]:
    """The keys that can be used, of a set as it is sent.

    Raises:
        Unusable: it is none, or there is no such key in it.
    """
    try:
        found = msgspec.json.decode(body, type=_Set).keys
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unusable("not a set of keys") from None
    keys = tuple(key for raw in found[:_MOST_KEYS] if (key := _published(raw)) is not None)
    if not keys:
        raise Unusable("no key in it can be used")
    return keys


def _published(raw: Any) -> PublishedKey | None:
    """One key; None: it is for something else, or for nobody. Secrets (`oct`) are none that can be published."""
    if not isinstance(raw, dict) or raw.get("use", "sig") != "sig":
        return None
    operations = raw.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    public = {name: value for name in _MEMBERS if isinstance(value := raw.get(name), str)}
    fits = _algorithms_of(public)
    said = raw.get("alg")
    if said is not None:
        fits = frozenset({said}) & fits if isinstance(said, str) else frozenset()
    if not fits:
        return None
    try:
        key = jwt.PyJWK(public)
        too_short = key.Algorithm.check_key_length(key.key)
    except Exception:  # noqa: BLE001 - one that is rubbish must not spoil the others
        return None
    if too_short or getattr(key.key, "key_size", 0) > _LONGEST_RSA:
        return None
    key_id = raw.get("kid")
    return PublishedKey(key_id if isinstance(key_id, str) else None, fits, key.key)


def _algorithms_of(public: dict[str, str]) -> frozenset[str]:
    match public.get("kty"):
        case "RSA":
            return _RSA
        case "EC" | "OKP":
            name = _CURVES.get(public.get("crv", ""))
            return frozenset() if name is None else frozenset({name})
        case _:
            return frozenset()

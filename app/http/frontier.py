"""Which names this server answers to, and whose pages may have a browser speak with it.

A browser carries out what a page tells it, also a stranger's, and reaches what the stranger does not: a server that
listens on this machine only. Two things of a request tell of that, and no page can forge either: `Host` is the name
by which the browser came here, and `Origin` is whose page sent it. Programs send whatever they like; to them these
are no hindrance, nor meant to be one.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from litestar.enums import ScopeType
from litestar.types import HTTPScope, WebSocketScope

from app.errors import Forbidden
from app.http.wire import Headers

_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Asked by whatever name an orchestrator knows, and telling nobody anything."""
_PORT: Final = re.compile(r":\d*$")
_OWN_PORTS: Final = {b"http": b":80", b"https": b":443"}
_METHODS: Final = b"GET, HEAD, POST, PUT, DELETE"
_SENT: Final = (
    b"Authorization, xi-api-key, Content-Type, Idempotency-Key, X-Request-Id, Range, If-Range, If-Match, "
    b"If-None-Match, Last-Event-ID"
)
_READ: Final = (
    b"Content-Location, ETag, Cache-Status, Content-Range, Accept-Ranges, Server-Timing, X-Request-Id, "
    b"X-Refrain-Provider, X-Refrain-Characters, RateLimit-Policy, RateLimit, Retry-After, Retry-After-Ms, "
    b"X-Should-Retry, Location, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
    b"x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
_REMEMBERED_SECONDS: Final = b"600"

_FOREIGN_NAME = (
    "This server does not answer to that name. List the host that you called it by in server.allowed_hosts."
)
_FOREIGN_PAGE = (
    "Pages of that origin may not speak with this server. List it in server.allowed_origins, if they should."
)


@dataclass(frozen=True, slots=True)
class Crossing:
    """What comes of a request at the frontier.

    `headers` go with every answer to it. `refusal`: it goes no further, and why. `is_preflight`: nor has it to, it
    is answered with these headers alone.
    """

    headers: Headers
    refusal: str = ""
    is_preflight: bool = False


class Frontier:
    """Looked at before anything else of a request."""

    def __init__(self, hosts: frozenset[str] | None, origins: Iterable[str]) -> None:
        """`hosts`: lower case, without ports; None: any. `origins`: as browsers send them."""
        self._origins = frozenset(origin.encode() for origin in origins)
        self._hosts = hosts
        # Whoever may read an answer is in its headers: one kept for a page must not be given to another's.
        self._at_home = Crossing([(b"vary", b"Origin")] if self._origins else [])
        # Remembered, since a client comes by the same name each time; of strangers' names only so many.
        self._is_ours = functools.lru_cache(256)(self._answers_to)

    def crossing(self, scope: HTTPScope | WebSocketScope) -> Crossing:
        """What comes of this request. A foreign page may not open a socket; reading is up to the browser."""
        hosts: list[bytes] = []
        origins: list[bytes] = []
        asked = False
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origins.append(value)
            elif name == b"access-control-request-method":
                asked = True
        if self._hosts is not None and not self._is_called_right(scope["path"], hosts):
            return Crossing(self._at_home.headers, _FOREIGN_NAME)
        if not origins:
            return self._at_home
        method = scope["method"] if scope["type"] == ScopeType.HTTP else ""
        return self._of_page(method, hosts, origins, is_preflight=asked and method == "OPTIONS")

    def _of_page(
        self, method: str, hosts: list[bytes], origins: list[bytes], *, is_preflight: bool
    ) -> Crossing:
        headers = self._at_home.headers
        if len(origins) == 1 and (origin := origins[0].lower()) in self._origins:
            headers = [
                *headers,
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", _READ),
            ]
            if not is_preflight:
                return Crossing(headers)
            answers = (
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", _SENT),
                (b"access-control-max-age", _REMEMBERED_SECONDS),
            )
            return Crossing([*headers, *answers], is_preflight=True)
        is_safe = bool(method) and method not in _CHANGING and not is_preflight
        if is_safe or _is_own(origins, hosts):
            return self._at_home
        return Crossing(headers, _FOREIGN_PAGE)

    def _is_called_right(self, path: str, hosts: list[bytes]) -> bool:
        return path in _PROBES or (len(hosts) == 1 and self._is_ours(hosts[0]))

    def _answers_to(self, host: bytes) -> bool:
        assert self._hosts is not None
        return _PORT.sub("", host.decode("latin-1")).lower() in self._hosts


def refused(crossing: Crossing) -> Forbidden:
    """The error for one that goes no further."""
    return Forbidden(crossing.refusal)


def _is_own(origins: list[bytes], hosts: list[bytes]) -> bool:
    """Whether the page came from here: by the name and port alone, since a proxy may have taken the TLS off."""
    if len(origins) != 1 or len(hosts) != 1:
        return False
    scheme, _, authority = origins[0].lower().partition(b"://")
    # A proxy may write out the port that browsers leave out.
    port = _OWN_PORTS.get(scheme)
    return port is not None and authority == hosts[0].lower().removesuffix(port)

"""Around every request: its id, its line in the metrics, and HEAD for whatever has GET."""

import re
import uuid

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.http.operations import Lifecycle
from app.http.wire import HEAD, header
from app.metrics import Metrics

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class Envelope:
    """Puts `X-Request-Id` on every answer, 404s among them, and counts it by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope).encode("ascii")
        head = scope["method"] == "HEAD"
        if head:
            scope = _as_get(scope)

        async def enveloped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                route = scope.get("path_template") or "unmatched"
                self._metrics.requests.labels(route=route, status=str(message["status"])).inc()
            elif head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        with self._lifecycle.request():
            await self._app(scope, receive, enveloped)


def _as_get(scope: HTTPScope) -> HTTPScope:
    """A copy, as the server must still see HEAD; without Range, which is defined for GET only (RFC 9110, 14.2)."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
    # Long answers need not be made for nothing: `wire.is_head` tells them.
    extensions = {**(scope.get("extensions") or {}), HEAD: {}}
    as_get: HTTPScope = {**scope, "method": HttpMethod.GET, "headers": headers, "extensions": extensions}
    return as_get


def _request_id(scope: HTTPScope) -> str:
    """The caller's, if it is sane; else a new one."""
    given = header(scope, b"x-request-id")
    return given if given and _SANE.fullmatch(given) else uuid.uuid4().hex

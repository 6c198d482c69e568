"""Around every request: its id, its line in the metrics, and HEAD for whatever has GET."""

import asyncio
import functools
import logging

from litestar.enums import HttpMethod, ScopeType
from litestar.status_codes import HTTP_101_SWITCHING_PROTOCOLS, HTTP_204_NO_CONTENT
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send, WebSocketScope
from litestar.utils import normalize_path

from app.errors import RefrainError, whereabouts
from app.http import request_id
from app.http.doorway import Doorway
from app.http.forwarding import Proxies
from app.http.frontier import Crossing, Frontier, refused
from app.http.guards import Guards
from app.http.operations import Lifecycle, draining
from app.http.problems import allowed, defect, send_error
from app.http.sockets import Sockets
from app.http.wire import HEAD, send_whole
from app.metrics import Metrics
from cache.asker import asking

log = logging.getLogger("refrain")


class Envelope:
    """Puts `X-Request-Id` on every answer, 404s among them, and counts it by route and status."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        proxies: Proxies,
        frontier: Frontier,
        guards: Guards,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> None:
        """The `doorway` is there when the service is open, and so are the `sockets`."""
        self._app = app
        self._proxies = proxies
        self._frontier = frontier
        self._guards = guards
        self.doorway: Doorway | None = None
        self.sockets: Sockets | None = None
        self._lifecycle = lifecycle
        # Remembered, as finding one among the labels costs more than counting: routes and statuses are few.
        self._counter = functools.cache(
            lambda route, status: metrics.requests.labels(route=route, status=str(status))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != ScopeType.HTTP:
            await self._let_through(scope, receive, send)
            return
        # As the router will read it: whoever asks is looked at by the path that is really gone to.
        scope["path"] = _as_routed(scope["path"])
        own_id = request_id.begin(scope).encode("ascii")
        self._proxies.heed(scope)
        crossing = self._frontier.crossing(scope)
        head = scope["method"] == "HEAD"
        if head:
            scope = _as_get(scope)
        elif scope["method"] == HttpMethod.OPTIONS and not crossing.is_preflight:
            send = _telling_all_methods(scope, send)

        begun = False

        async def enveloped(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = ((b"x-request-id", own_id), *crossing.headers)
                guards = self._guards.of(scope["path"], message["status"])
                message["headers"] = [*message["headers"], *own, *guards]
                self._counter(scope.get("path_template") or "unmatched", message["status"]).inc()
            elif head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        with self._lifecycle.request():
            try:
                await self._let_in(scope, receive, enveloped, crossing)
            except asyncio.CancelledError:
                if not self._lifecycle.draining:
                    raise
                # By the server, whose time is over: who has heard nothing yet is told so, everybody else is cut.
                log.warning("cut short: draining (request %s)", request_id.current())
                if not begun:
                    await send_error(scope["path"], draining(), enveloped)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """WebSockets and the lifespan."""
        if scope["type"] == ScopeType.WEBSOCKET:
            await self._open(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _open(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        """A WebSocket: it never comes to Litestar's routes."""
        scope["path"] = _as_routed(scope["path"])
        own = (b"x-request-id", request_id.begin(scope).encode("ascii"))
        self._proxies.heed(scope)
        crossing = self._frontier.crossing(scope)

        async def enveloped(message: Message) -> None:
            if message["type"] == "websocket.accept":
                self._counter(scope["path_template"], HTTP_101_SWITCHING_PROTOCOLS).inc()
                message["headers"] = [*message["headers"], own, *crossing.headers]
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
                self._counter(scope.get("path_template") or "unmatched", status).inc()
                guards = self._guards.of(scope["path"], status)
                message["headers"] = [*message["headers"], own, *crossing.headers, *guards]
            await send(message)

        assert self.sockets is not None, "requests come when the service is open"
        with self._lifecycle.request():
            try:
                await self.sockets.serve(scope, receive, enveloped, crossing)
            except asyncio.CancelledError:
                if not self._lifecycle.draining:
                    raise
                log.warning("cut short: draining (request %s)", request_id.current())

    async def _let_in(self, scope: HTTPScope, receive: Receive, send: Send, crossing: Crossing) -> None:
        if crossing.refusal:
            await send_error(scope["path"], refused(crossing), send)
            return
        if crossing.is_preflight:
            await send_whole(send, HTTP_204_NO_CONTENT, [])
            return
        assert self.doorway is not None, "requests come when the service is open"
        try:
            user = await self.doorway.enter(scope)
        except RefrainError as error:
            await send_error(scope["path"], error, send)
            return
        except Exception as error:  # noqa: BLE001 - uvicorn would write down its message, and a key may be in that
            log.error("defect: %s (request %s)", whereabouts(error), request_id.current())  # noqa: TRY400
            await send_error(scope["path"], defect(), send)
            return
        with asking(user.owner):
            await self._app(scope, receive, send)


def _as_routed(path: str) -> str:
    """Only where it may change: its patterns cost a microsecond."""
    return normalize_path(path) if "//" in path or path.endswith("/") else path


def _as_get(scope: HTTPScope) -> HTTPScope:
    """A copy, as the server must still see HEAD; without Range, which is defined for GET only (RFC 9110, 14.2)."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
    # Long answers need not be made for nothing: `wire.is_head` tells them.
    extensions = {**(scope.get("extensions") or {}), HEAD: {}}
    as_get: HTTPScope = {**scope, "method": HttpMethod.GET, "headers": headers, "extensions": extensions}
    return as_get


def _telling_all_methods(scope: HTTPScope, send: Send) -> Send:
    """Litestar's own answer knows of no HEAD, and at an address that two have registered of the first one only."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == HTTP_204_NO_CONTENT:
            others = [pair for pair in message["headers"] if pair[0] != b"allow"]
            message["headers"] = [*others, (b"allow", ", ".join(allowed(scope)).encode("ascii"))]
        await send(message)

    return told

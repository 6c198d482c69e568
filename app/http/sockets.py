"""WebSockets: who may open one, how long it stays, and how it ends. What is said in it is its route's affair.

Refused, one is never opened: the answer is HTTP's, as for other requests. An open one ends by a close frame:

| Code | Ended by |
|---|---|
| 1000 | its route, which has said all |
| 1008 | a revoked key or token; too long a silence; a refusal by its route |
| 1009, 1007 | a message that is too large, or no text (`websocket.py`) |
| 1011 | a defect of ours, or a client who answers no ping |
| 1012 | the end of this process |
| 1013 | a key that could not be looked up for long |
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar.status_codes import (
    HTTP_500_INTERNAL_SERVER_ERROR,
    WS_1000_NORMAL_CLOSURE,
    WS_1008_POLICY_VIOLATION,
    WS_1011_INTERNAL_ERROR,
    WS_1013_TRY_AGAIN_LATER,
)
from litestar.types import Message, Receive, Send, WebSocketScope

from app.errors import NotFound, RefrainError, whereabouts
from app.http import request_id
from app.http.doorway import Doorway, user_of
from app.http.frontier import Crossing, refused
from app.http.operations import Lifecycle, draining
from app.http.problems import defect, send_error
from app.http.wire import ClientGone
from app.users.desk import Desk
from app.users.user import User
from cache.asker import asking

log = logging.getLogger("refrain")

UNTAKEN: Final = 8
"""Messages that lie ready for a route; with more of them its client is not read, and his leaving not noticed."""
LONGEST_REASON: Final = 123
"""Bytes, by RFC 6455."""
_ANSWERS: Final = "websocket.http.response"
"""The extension by which a server answers a handshake as it does any other request."""


class Socket:
    """An open WebSocket, as its route sees it.

    `named` has what stands in the place of the braces in the route's path; `query` the query but for its token, of each
    name the last.
    """

    def __init__(self, user: User, named: Mapping[str, str], query: Mapping[str, str], line: "_Line") -> None:
        self.user = user
        self.named = named
        self.query = query
        self._line = line

    @property
    def idle_after(self) -> float:
        """Seconds without a message, in either direction, after which it is closed. A route may change it."""
        return self._line.idle_after

    @idle_after.setter
    def idle_after(self, seconds: float) -> None:
        self._line.idle_after = seconds
        self._line.stir()

    async def receive(self) -> str | bytes:
        """The next message, text or bytes as it was sent. When the client leaves, its route is cancelled."""
        return await self._line.unread.get()

    async def send(self, message: str | bytes) -> None:
        """One message; not before what was sent so far has been taken, but for a little. It lies in memory whole.

        Raises:
            ClientGone: he has left. There is nothing more to do.
        """
        await self._line.send(message)


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """`speak` at this path, where `{name}` stands for what has no slash in it.

    When `speak` returns, the socket is closed (1000). What it raises of `RefrainError` is the reason that the client is
    told. Cancelled, it must come to an end soon: the client has left, or has to.
    """

    path: str
    speak: Callable[[Socket], Awaitable[None]]


class SocketRoutes:
    """All that there are."""

    def __init__(self, routes: Iterable[SocketRoute] = ()) -> None:
        self._routes = [(_pattern(route.path), route) for route in routes]

    def find(self, path: str) -> tuple[SocketRoute, dict[str, str]] | None:
        """The one at this path, and what is named in it."""
        for pattern, route in self._routes:
            if match := pattern.fullmatch(path):
                return route, match.groupdict()
        return None

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.find(path) is not None


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    )


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str = ""


class _Line:
    """What comes and goes, and since when nothing has."""

    def __init__(self, receive: Receive, send: Send, idle_after: float) -> None:
        self.unread: asyncio.Queue[str | bytes] = asyncio.Queue(UNTAKEN)
        self.idle_after = idle_after
        self._receive = receive
        self._send = send
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """Something was said, or is to be waited for in another way."""
        self._stirred.set()

    async def read(self) -> None:
        """Until the client leaves."""
        while (message := await self._receive())["type"] == "websocket.receive":
            self.stir()
            text = message["text"] if message.get("text") is not None else None
            await self.unread.put(bytes(message["bytes"] or b"") if text is None else text)

    async def rest(self) -> None:
        """Until nothing has been said for long."""
        with suppress(TimeoutError):
            while True:
                self._stirred.clear()
                async with asyncio.timeout(self.idle_after):
                    await self._stirred.wait()

    async def open(self) -> None:
        """Take the client in."""
        await self._tell({"type": "websocket.accept", "subprotocol": None, "headers": []})

    async def send(self, message: str | bytes) -> None:
        """One message."""
        kind = "text" if isinstance(message, str) else "bytes"
        await self._tell({"type": "websocket.send", kind: message})
        self.stir()

    async def close(self, close: _Close) -> None:
        """Say goodbye."""
        await self._tell({"type": "websocket.close", "code": close.code, "reason": _cut(close.reason)})

    async def _tell(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)  # type: ignore[arg-type]  # one of ASGI's, each of its own type
        except OSError:  # by which a server says so
            raise ClientGone from None


class Sockets:
    """Opens them for whom the doorway lets in, and sees to their end."""

    def __init__(
        self, routes: SocketRoutes, doorway: Doorway, desk: Desk, lifecycle: Lifecycle, idle_after: float
    ) -> None:
        """`idle_after`: see `Socket`."""
        self._routes = routes
        self._doorway = doorway
        self._desk = desk
        self._lifecycle = lifecycle
        self._idle_after = idle_after

    async def serve(self, scope: WebSocketScope, receive: Receive, send: Send, crossing: Crossing) -> None:
        """One handshake, and all that comes of it."""
        await receive()  # which says that it is one
        async with AsyncExitStack() as stack:
            try:
                route, named = await self._let_in(scope, crossing)
                await stack.enter_async_context(self._desk.places.place(user_of(scope)))
            except RefrainError as error:
                await _refuse(scope, error, send)
                return
            except Exception as error:  # noqa: BLE001 - the server would log its message, too
                await _refuse(scope, _defect(error), send)
                return
            with suppress(ClientGone):
                await self._converse(scope, _Line(receive, send, self._idle_after), route, named)

    async def _let_in(self, scope: WebSocketScope, crossing: Crossing) -> tuple[SocketRoute, dict[str, str]]:
        """The route, for whom it may take.

        Raises:
            Forbidden, Draining, NotFound: it goes no further.
            RefrainError: as `Doorway.enter`.
        """
        found = self._routes.find(scope["path"])
        if found is not None:
            scope["path_template"] = found[0].path
        if crossing.refusal:
            raise refused(crossing)
        if self._lifecycle.draining:
            # A request may still be answered in time; this would be cut.
            raise draining()
        # Also where nothing is: who has no key need not learn of that.
        await self._doorway.enter(scope)
        if found is None:
            raise NotFound("No WebSocket is at this address. See /docs for what is.")
        return found

    async def _converse(
        self, scope: WebSocketScope, line: _Line, route: SocketRoute, named: Mapping[str, str]
    ) -> None:
        user = user_of(scope)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        query.pop("token", None)
        await line.open()
        with asking(user.owner):
            close = await self._until_its_end(route.speak(Socket(user, named, query, line)), line, user)
        if close is not None:
            await line.close(close)

    async def _until_its_end(self, speak: Awaitable[None], line: _Line, user: User) -> _Close | None:
        """How it is to be closed; None: the client has done so."""
        reading, speaking, idle, revoked = tasks = (
            asyncio.create_task(line.read(), name="socket: reading"),
            asyncio.create_task(_run(speak), name="socket: speaking"),
            asyncio.create_task(line.rest(), name="socket: idle"),
            asyncio.create_task(self._desk.doorman.until_revoked(user), name="socket: revocation"),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            first = next(task for task in tasks if task.done())
        finally:
            await _cancelled(tasks)
        errors = {task: _error_of(task) for task in tasks}
        match errors[first]:
            case ClientGone():
                return None
            case RefrainError() as error:
                return _Close(_code_of(error), error.message)
        return {
            reading: None,
            speaking: _Close(WS_1000_NORMAL_CLOSURE),
            idle: _Close(
                WS_1008_POLICY_VIOLATION,
                f"Nothing was said for {line.idle_after:g} s. Connect again to go on.",
            ),
            revoked: _Close(
                WS_1008_POLICY_VIOLATION, "Your key or token has been revoked. Connect with another one."
            ),
        }[first]


async def _cancelled(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Until all are. Cancelled meanwhile, too, as a server does that must end: nobody else would see to their end."""
    for task in tasks:
        task.cancel()
    again = False
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            again = True
    if again:
        raise asyncio.CancelledError


async def _run(speak: Awaitable[None]) -> None:
    await speak


def _error_of(task: "asyncio.Task[None]") -> BaseException | None:
    """What it ended by; of a defect it is told here, and what the client may know of it remains."""
    if task.cancelled():
        return None
    error = task.exception()
    if error is None or isinstance(error, ClientGone | RefrainError):
        return error
    return _defect(error)


def _defect(error: BaseException) -> RefrainError:
    """Its type and place are logged, never its message, which may carry text."""
    log.error("defect: %s (request %s)", whereabouts(error), request_id.current())
    return defect()


def _code_of(error: RefrainError) -> int:
    if error.retry_after is not None:
        return WS_1013_TRY_AGAIN_LATER
    is_ours = error.row.status >= HTTP_500_INTERNAL_SERVER_ERROR
    return WS_1011_INTERNAL_ERROR if is_ours else WS_1008_POLICY_VIOLATION


def _cut(reason: str) -> str:
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")


async def _refuse(scope: WebSocketScope, error: RefrainError, send: Send) -> None:
    """Before it is opened: as an answer to a request, or as well as the server can."""
    if _ANSWERS not in (scope.get("extensions") or {}):
        reason = _cut(error.message)
        await send({"type": "websocket.close", "code": WS_1008_POLICY_VIOLATION, "reason": reason})
        return

    async def answer(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})  # type: ignore[arg-type]

    await send_error(scope["path"], error, answer)

"""uvicorn's HTTP, with bounds: for heads and bodies without end or in no hurry, and for readers who have stopped."""

import asyncio
import copy
import itertools
import json
import logging
import socket
import sys
from typing import Any, Final

import httptools
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE
from uvicorn._types import ASGI3Application
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.http import request_id
from app.http.guards import Guards
from app.http.patience import Patience

UNSENT: Final = 2**17
"""Bytes that the kernel takes for a connection beyond what is on its way. Left to itself it takes up to 4 MB for
each reader who reads nothing."""
_BUFFERED: Final = 2**14
"""Bytes that may lie in the process for a connection before its answer has to wait, besides one slice. Heads and
small bodies still leave together."""

HEAD_BYTES: Final = 2**15
"""Of a request's line and headers; the parser by itself takes as much as is sent, and holds it."""
HEAD_FIELDS: Final = 100
HEAD_SECONDS: Final = 30.0
"""In which a head must have come, from the connection's beginning or the answer before it on."""
BODY_PACE: Final = 2**13
"""Bytes of a body that must have come for each second that it takes beyond `HEAD_SECONDS`: what has come lies in
memory until the rest is there."""
PIPELINED: Final = 16
"""Requests that may be sent ahead of their turn; thousands fit into a packet, and each takes kilobytes here."""

_TOO_MUCH: Final = (
    f"A request's line and headers may have {HEAD_BYTES} bytes and {HEAD_FIELDS} fields. Send less."
)
_GUARDS: Final = Guards(embedded=False).of("", HTTP_400_BAD_REQUEST)


def bound_unsent(listening: socket.socket) -> None:
    """For all that are accepted from here; where the system has no such bound, nothing."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, UNSENT)


class WithoutQueries(logging.Filter):
    """For uvicorn's lines about requests: there are tokens in queries, and whatever else people put there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Take the query out of a request's line."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                part.partition("?")[0] if isinstance(part, str) else part for part in record.args
            )
        return True


def log_config() -> dict[str, Any]:
    """Uvicorn's own, without queries. As data: its workers set it up anew."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["filters"] = {"without_queries": {"()": WithoutQueries}}
    for name in ("uvicorn.access", "uvicorn.error"):  # WebSockets are told of in the second
        config["loggers"][name]["filters"] = ["without_queries"]
    return config


def no_request(status: int, code: str, detail: str, more: bytes = b"") -> bytes:
    """The answer to what is none, in the form of other errors, which are far from here. `more`: further fields."""
    title = code.replace("_", " ").capitalize()
    told = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    body = json.dumps(told).encode()
    head = (
        b"content-type: application/problem+json\r\ncontent-length: %d\r\nx-request-id: %s\r\n"
        b"%sconnection: close\r\n" % (len(body), request_id.new().encode("ascii"), more)
    )
    guards = b"".join(b"%s: %s\r\n" % guard for guard in _GUARDS)
    return b"".join([STATUS_LINE[status], head, guards, b"\r\n", body])


class Connection(HttpToolsProtocol):
    """As it is, but with bounds."""

    _patience: Patience
    _head_since: float | None = None
    _head_watch: asyncio.TimerHandle | None = None
    _in_head = False
    _is_too_much = False
    _read = 0
    _got_on = False
    _body_since = 0.0
    _body = 0
    _is_set_aside = False
    _fed = b""
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of the interface."""
        transport.set_write_buffer_limits(high=_BUFFERED)
        super().connection_made(transport)
        self._patience = Patience(transport, self.loop)
        self._await_head()
        self._watch_head(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Of the interface. A field that has not ended is in no callback's count, before a body or behind it."""
        self._got_on = False
        self._fed = data
        super().data_received(data)
        self._fed = b""
        if self.transport.is_closing():
            return
        self._read = 0 if self._got_on else self._read + len(data)
        if self._read > HEAD_BYTES:
            self._is_too_much = True
            self.send_400_response("")
        nobody_answers = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # at first
        if self._in_head or nobody_answers:
            self._await_head()

    def on_message_begin(self) -> None:
        """Of the parser."""
        self._in_head = True
        self._read = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Of the parser."""
        self._in_head = False
        self._head_since = None
        self._got_on = True
        # Here, not field by field, which each request would pay for: what has not ended is bounded by `_read`, and what
        # has by that and one reading (256 KiB).
        size = len(self.url) + sum(map(len, itertools.chain.from_iterable(self.headers)))
        if len(self.headers) > HEAD_FIELDS or size > HEAD_BYTES:
            self._is_too_much = True
            raise ValueError(_TOO_MUCH)  # to the parser, which stops
        if len(self.pipeline) >= PIPELINED:
            raise ValueError(PIPELINED)  # to the parser, which stops
        upgrades = self.parser.should_upgrade()
        self._is_set_aside = upgrades and self._is_let_be()
        if not self._is_set_aside:
            super().on_headers_complete()
        if not upgrades:
            # Fields behind a body would get among those that were looked at before it.
            self.headers = []

    def on_body(self, body: bytes) -> None:
        """Of the parser."""
        self._got_on = True
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Of the parser."""
        if not self._is_set_aside:
            super().on_message_complete()

    def _is_let_be(self) -> bool:
        """Whether this request, which asks for another protocol, is answered as if it had not.

        One whose connection becomes a tunnel (CONNECT) is none of ours. Nor is one behind another that is being
        answered: of many in one packet each would have the rest parsed anew.
        """
        if self.parser.get_method() == b"CONNECT" or self._should_upgrade():
            return False
        if self._answered is not None:
            raise ValueError("upgrade")  # to the parser, which stops
        return True

    def _unsupported_upgrade_warning(self) -> None:
        """Of uvicorn: nobody here speaks what is asked for. It goes without saying (RFC 9110, 7.8).

        The parser has left the body out, for another protocol's, and would take it for the next request: whoever
        sends it through a proxy would have two answers to one. So it is given the request once more, without that.
        """
        if not self._is_set_aside:
            return
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade)
        behind = self._fed[upgrade.args[0] :]
        is_last = any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        fields = [(name, value) for name, value in self.headers if name not in {b"connection", b"upgrade"}]
        fields += [(b"connection", b"close")] if is_last else []
        line = b"%s %s HTTP/%s\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode("ascii"),
        )
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([line, *(b"%s: %s\r\n" % field for field in fields), b"\r\n", behind]))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Of uvicorn, which knows of the last request only: those before it are answered first."""
        self._answering = cycle
        self._body_since, self._body = self.loop.time(), 0
        super()._start_asgi_task(cycle, app)

    @property
    def _answered(self) -> RequestResponseCycle | None:
        """The request that is being answered."""
        return None if self._answering is None or self._answering.response_complete else self._answering

    def send_400_response(self, msg: str) -> None:
        """The end of a connection whose request is none.

        In the middle of an answer to the one before it would be taken for sound: that is cut instead.
        """
        if (answered := self._answered) is not None and (
            answered.response_started or answered is not self.cycle
        ):
            self.transport.abort()
            return
        status, code, detail = (
            (HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", _TOO_MUCH)
            if self._is_too_much
            else (HTTP_400_BAD_REQUEST, "invalid_http", msg)
        )
        self.transport.write(no_request(status, code, detail))
        self.transport.close()

    def pause_writing(self) -> None:
        """More lies ready than is taken."""
        super().pause_writing()
        self._patience.begin()

    def resume_writing(self) -> None:
        """It has been taken."""
        super().resume_writing()
        self._patience.end()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for a while; the rest of an answer may lie here still."""
        super().timeout_keep_alive_handler()
        self._patience.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of the interface."""
        self._leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is a `WebSocketConnection`'s: nothing of it comes to this one any more."""
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]  # at first
            # Its answer would stand among the frames.
            self.send_400_response("A WebSocket begins behind no other request that is still being answered.")
            return
        self._leave()
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # as it does itself: the two hold each other

    def _leave(self) -> None:
        self._patience.end()
        if self._head_watch is not None:
            self._head_watch.cancel()
        if (answered := self._answered) is not None:
            answered.disconnected = True
            answered.message_event.set()

    def _await_head(self) -> None:
        if self._head_since is None:
            self._head_since = self.loop.time()

    def _watch_head(self, seconds: float) -> None:
        """One timer for a connection: set and cancelled at each request it would cost more than all of its parsing."""
        self._head_watch = self.loop.call_later(seconds, self._look_for_head)

    def _look_for_head(self) -> None:
        left = self._left()
        if left <= 0:
            self.transport.abort()
        else:
            self._watch_head(left)

    def _left(self) -> float:
        """Seconds that what is waited for may take yet."""
        now = self.loop.time()
        if self._head_since is not None:
            return HEAD_SECONDS - (now - self._head_since)
        if self._answered is not None and self._answered is self.cycle and self.cycle.more_body:
            return HEAD_SECONDS + self._body / BODY_PACE - (now - self._body_since)
        return HEAD_SECONDS

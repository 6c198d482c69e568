"""uvicorn's WebSockets, with bounds: what a client sends, or does not take, costs little memory and no line of log."""

import asyncio
from typing import Any, Final

from litestar.status_codes import (
    HTTP_101_SWITCHING_PROTOCOLS,
    HTTP_400_BAD_REQUEST,
    HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTP_503_SERVICE_UNAVAILABLE,
    WS_1011_INTERNAL_ERROR,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.frames import CloseCode, Frame
from websockets.http11 import MAX_LINE_LENGTH, Request

from app.http.connection import no_request
from app.http.patience import Patience

FRAGMENTS: Final = 1024
"""Frames of one message. Empty ones add nothing to its size, and are held all the same."""
LINGERING: Final = 2.0
"""Seconds for which what still comes of a refused message is thrown away. Were the connection closed with something
unread in it, the system would send a reset, and the client seldom hear the reason."""
PING_EVERY: Final = 20.0
"""Seconds between two pings. A client who is not heard of for as long behind one is gone."""

_TOO_LONG: Final = f"A WebSocket's request may have lines of {MAX_LINE_LENGTH} bytes. Send less."
_NO_HANDSHAKE: Final = "This is no handshake of a WebSocket: GET, version 13 (RFC 6455), without a body."
_ENDING: Final = "This process is ending. Ask another one."


def server_options(max_message: int) -> dict[str, Any]:
    """For `uvicorn.Config`. `max_message` in bytes.

    Nothing is compressed: sound does not get smaller and texts are short, while each socket would hold two windows,
    and a few bytes could become a large message.
    """
    return {
        "ws": WebSocketConnection,
        "ws_max_size": max_message,
        "ws_per_message_deflate": False,
        "ws_ping_interval": PING_EVERY,
        "ws_ping_timeout": PING_EVERY,
    }


class WebSocketConnection(WebSocketsSansIOProtocol):
    """As it is, but with bounds. A message over `ws_max_size` is refused by the head of its frame."""

    _patience: Patience
    _pong = b""
    _is_failed = False

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.conn.debug = False  # heads and frames, which are keys and texts, would be in the log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of the interface."""
        super().connection_made(transport)
        self._patience = Patience(self.transport, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of the interface."""
        self._patience.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Of the interface. What comes first is the whole of the request's head."""
        if self._is_failed:
            return
        if not self.handshake_initiated:
            super().data_received(data)
            if not self.handshake_initiated:
                self._refuse()
        elif self.handshake_complete:
            super().data_received(data)
        else:
            # Before anybody has said that it may: no client does.
            self.transport.abort()

    def handle_connect(self, event: Request) -> None:
        """Of the parser."""
        if self.conn.accept(event).status_code == HTTP_101_SWITCHING_PROTOCOLS:
            super().handle_connect(event)
        else:
            self._refuse()

    def handle_cont(self, event: Frame) -> None:
        """Of the parser."""
        if len(self.frames) < FRAGMENTS:
            super().handle_cont(event)
        else:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"A message may have {FRAGMENTS} frames.")

    def send_receive_event_to_app(self) -> None:
        """Of the parser: a message is whole. For one that is no text there would be a stack trace in the log."""
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._fail(CloseCode.INVALID_DATA, "A text must be UTF-8.")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Of the parser. For who takes nothing they would pile up: of several the last is enough (RFC 6455, 5.5.3)."""
        pongs = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pongs)
        elif pongs:  # those of pings that came together are in the first one's
            self._pong = pongs

    def handle_parser_exception(self) -> None:
        """What came may not be. The client is told, and may say the rest to nobody."""
        close = self.conn.close_sent
        assert close is not None, "it could send frames, so it had been accepted"
        self._is_failed = True
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": int(close.code), "reason": close.reason}
        )
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(LINGERING, self.transport.close)

    def keepalive_timeout(self) -> None:
        """Nothing was heard for long. Where we do not listen, since what came before has not been taken, go on."""
        if self.read_paused:
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        # Not once what lies ready has been sent, which nobody may take any more.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": WS_1011_INTERNAL_ERROR})
        self._patience.begin()

    def pause_writing(self) -> None:
        """More lies ready than is taken."""
        super().pause_writing()
        self._patience.begin()

    def resume_writing(self) -> None:
        """It has been taken."""
        super().resume_writing()
        self._patience.end()
        if self._pong and not self.close_sent:
            self.transport.write(self._pong)
        self._pong = b""

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        """Nobody here has anything to say any more; what was said may lie here still."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._patience.begin()

    def send_500_response(self) -> None:
        """To who has not been let in by the end of this process, which is what it is called for."""
        if self.handshake_complete or self.initial_response:
            return
        self.handshake_complete = self.close_sent = True
        told = no_request(HTTP_503_SERVICE_UNAVAILABLE, "draining", _ENDING, b"retry-after: 1\r\n")
        self.transport.write(told)

    async def send(self, message: Any) -> None:
        """ASGI."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # it would complain in the log that nothing came of it

    async def receive(self) -> Any:
        """ASGI. Who sends messages is there; and his answer to a ping may have waited behind them."""
        message = await super().receive()
        if self.pong_timer is not None:
            self.pong_timer.cancel()
            self.pong_timer = self.loop.call_later(PING_EVERY, self.keepalive_timeout)
        return message

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def _refuse(self) -> None:
        """What came is no request for a WebSocket."""
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        if isinstance(self.conn.handshake_exc, SecurityError):
            told = no_request(HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", _TOO_LONG)
        else:
            version = b"sec-websocket-version: 13\r\n"
            told = no_request(HTTP_400_BAD_REQUEST, "invalid_http", _NO_HANDSHAKE, version)
        self.transport.write(told)
        self.transport.close()


def _is_text(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True

"""uvicorn's HTTP, but for readers who have stopped reading: they are cut, and hold little until then."""

import asyncio
import copy
import fcntl
import logging
import socket
import sys
import termios
from contextlib import suppress
from typing import Any, Final

from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http import wire

UNSENT: Final = 2**17
"""Bytes that the kernel takes for a connection beyond what is on its way. Left to itself it takes up to 4 MB for
each reader who reads nothing."""
_BUFFERED: Final = 2**14
"""Bytes that may lie in the process for a connection before its answer has to wait, besides one slice. Heads and
small bodies still leave together."""


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


class Connection(HttpToolsProtocol):
    """Closed at once when nothing of what lies ready has been taken for `wire.STALLED` seconds.

    uvicorn only closes, which waits until all has been taken: of a reader who has stalled, for ever.
    """

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of the interface."""
        transport.set_write_buffer_limits(high=_BUFFERED)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """More lies ready than is taken."""
        super().pause_writing()
        self._begin()

    def resume_writing(self) -> None:
        """It has been taken."""
        super().resume_writing()
        self._end()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for a while; the rest of an answer may lie here still."""
        super().timeout_keep_alive_handler()
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of the interface."""
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._end()
        self._patience = self.loop.call_later(wire.STALLED, self._judge, self._ready())

    def _judge(self, before: int) -> None:
        """Cut who has taken nothing. Who plays as he reads takes 4 kB a second, and the kernel tells of it in lumps."""
        if self._ready() < before:
            self._begin()
        else:
            self.transport.abort()

    def _ready(self) -> int:
        """Bytes that lie ready, in the process and, where the system tells, in the kernel."""
        ready = self.transport.get_write_buffer_size()
        listening = self.transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):
            ready += int.from_bytes(
                fcntl.ioctl(listening.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder
            )
        return ready

    def _end(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

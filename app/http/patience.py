"""For readers who have stopped reading: what lies ready for them lies in memory."""

import asyncio
import fcntl
import sys
import termios
from contextlib import suppress

from app.http import wire


class Patience:
    """With one connection: it is cut when nothing of what lies ready has been taken for `wire.STALLED` seconds.

    uvicorn only closes, which waits until all has been taken: of a reader who has stalled, for ever.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """More lies ready than is taken, or all that will be; from now on something must be taken."""
        self.end()
        self._timer = self._loop.call_later(wire.STALLED, self._judge, self._ready())

    def end(self) -> None:
        """It has been taken, or there is nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _judge(self, before: int) -> None:
        """Cut who has taken nothing. Who plays as he reads takes 4 kB a second, and the kernel tells of it in lumps."""
        if self._ready() < before:
            self.begin()
        else:
            self._transport.abort()

    def _ready(self) -> int:
        """Bytes that lie ready, in the process and, where the system tells, in the kernel."""
        ready = self._transport.get_write_buffer_size()
        connected = self._transport.get_extra_info("socket")
        with suppress(OSError, AttributeError, ValueError):  # closed, it has no number
            ready += int.from_bytes(
                fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder
            )
        return ready

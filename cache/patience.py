"""Time-outs that blame the other side only for its own silence."""

import asyncio
from types import TracebackType

# Of the loop after the time is up: a reading takes one to arrive, one to wake, one for each part.
_PASSES = 16


class patient_timeout:  # noqa: N801 - as `asyncio.timeout`
    """As `asyncio.timeout`, but a stall of the event loop alone does not count as the other side's silence.

    When the loop was busy past the deadline, the answer may be lying in the socket, unread, while the timer is
    already due. So the loop is given some more passes to read it: microseconds where it is idle, and as long
    as they take where it is not. A class, as every call of Redis is in one.
    """

    __slots__ = ("_limit", "_loop", "_seconds", "_waiting")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        # No await from here on: whoever is cancelled has left, or has it cancelled.
        self._waiting: asyncio.Handle = self._loop.call_later(self._seconds, self._due, _PASSES)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _due(self, passes: int) -> None:
        if passes:
            self._waiting = self._loop.call_soon(self._due, passes - 1)
        else:
            self._limit.reschedule(self._loop.time())

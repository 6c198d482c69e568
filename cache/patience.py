"""Time-outs that blame the other side only for its own silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Of the loop after the time is up: a reading takes one to arrive, one to wake, one for each part.
_PASSES = 16


@asynccontextmanager
async def patient_timeout(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, but a stall of the event loop alone does not count as the other side's silence.

    When the loop was busy past the deadline, the answer may be lying in the socket, unread, while the timer is
    already due. So the loop is given some more passes to read it: microseconds where it is idle, and as long
    as they take where it is not.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        waiting: asyncio.Handle

        def due(passes: int) -> None:
            nonlocal waiting
            if passes:
                waiting = loop.call_soon(due, passes - 1)
            else:
                limit.reschedule(loop.time())

        waiting = loop.call_later(seconds, due, _PASSES)
        try:
            yield
        finally:
            waiting.cancel()

"""Sound of known length on its way out: in one send where it is little, else joined as the listener takes it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from logging import getLogger
from typing import Final

from litestar.types import Receive, Send

from app.errors import RefrainError
from app.http import request_id
from app.http.wire import (
    ClientGone,
    Headers,
    WhileConnected,
    send_end,
    send_head,
    send_slices,
    send_whole,
)
from app.speech.shelf import MadeAnew

log = getLogger("refrain")

TRIES: Final = 3
"""Times that a speech is looked for, where each time some of it has gone between look-up and read."""

Windows = AsyncGenerator[list[bytes | memoryview]]


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the body. `length` is that of the body, in bytes."""

    status: int
    headers: Headers
    length: int


async def send_sound(receive: Receive, send: Send, head: Head, windows: Windows) -> None:
    """An answer. Without an end, which makes the server cut the connection, where some are missing.

    Raises:
        NotFound, MadeAnew, ValueError: as reading the first window; nothing was sent.
    """
    async with aclosing(windows):
        first: Sequence[bytes | memoryview] = await anext(windows, [])
        try:
            if sum(map(len, first)) == head.length:
                await send_whole(send, head.status, head.headers, first)
                return
            # Somebody who leaves early must not have an hour decoded for nobody.
            async with WhileConnected(receive):
                await send_head(send, head.status, head.headers)
                await _send_parts(send, first)
                async for window in windows:
                    await _send_parts(send, window)
                await send_end(send)
        except ClientGone:
            return
        except (RefrainError, MadeAnew, ValueError) as error:
            log.warning("replay cut short: %s (request %s)", type(error).__name__, request_id.current())


async def send_following(
    receive: Receive, send: Send, headers: Headers, sound: AsyncGenerator[bytes]
) -> None:
    """An answer whose length nobody knows yet. Without an end, as `send_sound`, where its making has failed.

    Raises:
        NotFound, ValueError: as reading the first of it; nothing was sent.
    """
    try:
        async with WhileConnected(receive):
            first = await anext(sound)
            try:
                await send_head(send, 200, headers)
                await send_slices(send, first)
                async for piece in sound:
                    await send_slices(send, piece)
                await send_end(send)
            except (RefrainError, ValueError) as error:
                log.warning(
                    "following cut short: %s (request %s)", type(error).__name__, request_id.current()
                )
    except ClientGone:
        return


async def _send_parts(send: Send, parts: Sequence[bytes | memoryview]) -> None:
    for part in parts:
        await send_slices(send, part)

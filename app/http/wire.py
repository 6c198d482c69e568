"""ASGI at close quarters: bodies read under a bound, bytes sent in slices, listeners who have gone."""

import asyncio
import functools
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from litestar.types import HTTPScope, Receive, Send, WebSocketScope

from app.errors import BodyTooLarge, MethodNotAllowed, UnsupportedMedia

Headers = list[tuple[bytes, bytes]]

SLICE = 32 * 1024
"""Bytes in one send: a large one is copied whole into the buffer of every stalled reader (16 MB to 60 of them
took 1,061 MB, in slices 51 MB; 500 of them grew the process by 78 MiB with 64 KiB, by 58 with these)."""
WHOLE = 64 * 1024
"""Bytes of an answer that leaves in one send all the same: it is all that its reader may leave lying."""
STALLED = 30.0
"""Seconds that one slice may take to be taken by the reader; the connection is cut after that."""


HEAD = "refrain.head"
"""Among the scope's extensions where GET stands for HEAD."""


class ClientGone(Exception):
    """The client closed the connection, or stopped reading, before the answer was complete."""


def encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    """As ASGI takes them. Values are ours or checked: latin-1, without line ends."""
    return [(_encoded_name(name), value.encode("latin-1")) for name, value in headers]


@functools.lru_cache(256)
def _encoded_name(name: str) -> bytes:
    return name.lower().encode("ascii")


def header(scope: HTTPScope | WebSocketScope, name: bytes) -> str | None:
    """The first value of a request header; `name` in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


def is_head(scope: HTTPScope) -> bool:
    """Whether nobody reads the body."""
    return HEAD in (scope.get("extensions") or {})


def require_method(scope: HTTPScope, *allowed: str) -> None:
    """Raw ASGI routes get every method.

    Raises:
        MethodNotAllowed: with the list for the Allow header.
    """
    if scope["method"] not in allowed:
        allow = ", ".join(allowed)
        raise MethodNotAllowed(f"This address takes {allow}.", allow=allow)


async def read_json_body(scope: HTTPScope, receive: Receive, limit: int) -> bytes:
    """The request's body, at most `limit` bytes of it ever in memory.

    Raises:
        UnsupportedMedia: it is announced as something other than JSON.
        BodyTooLarge: announced or found to be over the limit.
        ClientGone: the connection closed before all of it came.
    """
    # Without a type a page of anybody's may send it, unasked, from the browser of one who can reach this server:
    # it would cost money. Programs that leave it out send no Origin.
    untyped = "" if header(scope, b"origin") else "application/json"
    media = (header(scope, b"content-type") or untyped).split(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise UnsupportedMedia("Send the body as JSON, with Content-Type: application/json.")
    announced = header(scope, b"content-length") or ""
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    left = limit
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        part = message["body"]
        left -= len(part)
        if left < 0:
            raise _too_large(limit)
        if not parts and not message["more_body"]:
            return part
        parts.append(part)
        if not message["more_body"]:
            return b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is over {limit} bytes. Send the text in parts.")


async def send_head(send: Send, status: int, headers: Headers) -> None:
    """Status and headers."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_slices(send: Send, data: bytes | memoryview) -> None:
    """Bytes of a body that goes on, in slices. Who reads nothing is cut by `Connection`, who reads slowly is not."""
    view = memoryview(data)
    for start in range(0, len(view), SLICE):
        piece = bytes(view[start : start + SLICE])
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def send_end(send: Send) -> None:
    """The clean end of a body."""
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_whole(
    send: Send, status: int, headers: Headers, parts: Sequence[bytes | memoryview] = ()
) -> None:
    """A complete answer of known length; small ones leave in a single send."""
    await send_head(send, status, headers)
    size = sum(len(part) for part in parts)
    if size <= WHOLE:
        await send({"type": "http.response.body", "body": b"".join(parts), "more_body": False})
        return
    for part in parts:
        await send_slices(send, part)
    await send_end(send)


class WhileConnected:
    """`async with WhileConnected(receive)`: the block is cancelled when the client closes the connection.

    Without it nobody would notice before the next send, and a synthesis nobody waits for would go on. Raises
    `ClientGone` in that case. The request's body must have been read.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False
        self._gone = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watcher = asyncio.create_task(self._watch(), name="client watch")
        return self

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        # No await between the test and the cancel: the block cannot end in between.
        if not self._over:
            self._gone = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # First, and without an await: from here on the watcher cancels nobody.
        self._over = True
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        if self._gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise ClientGone from None

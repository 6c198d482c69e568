"""A WebSocket route for the tests, registered as the real ones are, and a client's way to it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response

from app.errors import InvalidInput
from app.http.sockets import Socket, SocketRoute
from app.server import House

ROOM = "/rooms/{room}/talk"
PRELUDE = (
    "import functools, app.cli.serve as serve; from tests.http.rooms import rooms; "
    "serve.create_app = functools.partial(serve.create_app, sockets=rooms)"
)
"""For a server in a process of its own."""

log = logging.getLogger("refrain")


class Rooms:
    """What goes on in them, for tests in the same loop."""

    def __init__(self) -> None:
        self.entered = 0
        self.cancelled = 0
        self.left = 0
        self.busy = asyncio.Event()
        self.go_on = asyncio.Event()

    async def talk(self, socket: Socket) -> None:
        """Say back what is said, or do as told."""
        self.entered += 1
        try:
            while True:
                await self._answer(socket, await socket.receive())
        except EOFError:
            return
        except asyncio.CancelledError:
            self.cancelled += 1
            log.warning("the room %s was left", socket.named["room"])
            raise
        finally:
            self.left += 1

    async def _answer(self, socket: Socket, message: str | bytes) -> None:
        word, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
        match word:
            case "who":
                told = {"user": socket.user.id, "named": socket.named, "query": socket.query}
                await socket.send(json.dumps(told))
            case "end" | "fail" | "refuse":
                raise {"end": EOFError, "fail": ValueError, "refuse": InvalidInput}[word](rest)
            case "idle":
                socket.idle_after = float(rest)
            case "work":
                self.busy.set()
                await self.go_on.wait()
            case "hum" | "flood":
                pause, sound = (0.1, "hm") if word == "hum" else (0.0, b"x" * 2**15)
                for _ in range(int(rest)):
                    await asyncio.sleep(pause)
                    await socket.send(sound)
            case _ if word != "listen":
                await socket.send(message)


def rooms(_house: House) -> tuple[SocketRoute, ...]:
    """The routes."""
    return (SocketRoute(ROOM, Rooms().talk),)


def address(url: str, room: str = "one", query: str = "") -> str:
    """Of a room in the server at this URL."""
    return f"{url.rstrip('/').replace('http://', 'ws://')}/rooms/{room}/talk{query}"


def opened(uri: str, key: str = "", **more: object) -> connect:
    """A client, connected while the block lasts."""
    own = {"additional_headers": {"Authorization": f"Bearer {key}"}} if key else {}
    return connect(uri, proxy=None, **{"compression": None, **own, **more})


async def refusal(uri: str, key: str = "", **more: object) -> Response:
    """The answer to a handshake that must be refused."""
    try:
        async with opened(uri, key, **more):
            raise AssertionError("it was let in")
    except InvalidStatus as error:
        return error.response


async def turned_away(uri: str, key: str) -> str:
    """What a handshake is refused with; empty: it is not, and was only tried."""
    try:
        async with opened(uri, key):
            return ""
    except InvalidStatus as error:
        return error.response.body.decode()


async def ending(client: ClientConnection) -> tuple[int, str]:
    """Code and reason by which the server closes it; what comes before is let be."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    received = client.protocol.close_rcvd
    assert received is not None, "cut, without a close frame"
    return received.code, received.reason


@asynccontextmanager
async def conversing(uri: str, key: str = "", **more: object) -> AsyncIterator[ClientConnection]:
    """A client whose room has answered once: it is there."""
    async with opened(uri, key, **more) as client:
        await client.send("here")
        assert await client.recv() == "here"
        yield client

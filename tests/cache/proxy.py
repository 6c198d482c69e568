"""A network that misbehaves on request: a TCP proxy in front of a server, its faults switched while it is used.

    async with proxied(victim.socket) as proxy:
        shared = share(proxy.url)
        await proxy.switch("lose")             # the command runs, its reply never comes
        ...
        await proxy.switch("pass")

| Mode    | Connections that live, and new ones                                                             |
|---------|-------------------------------------------------------------------------------------------------|
| pass    | as if there were no proxy                                                                       |
| delay   | each piece of a reply comes `seconds` late                                                      |
| trickle | a reply comes byte by byte, `seconds` apart                                                     |
| lose    | requests arrive, replies are dropped, the connection stays open: a reply lost on the way        |
| snap    | requests arrive, and in the place of the reply the connection is cut                            |
| hole    | neither arrives, and nothing is said: a black hole, or a server that hangs                      |
| cut     | closed at once; new ones are taken and closed                                                   |
| refuse  | closed at once; new ones are refused                                                            |

A stream that has lost bytes is not mended by switching back: what comes after a lost reply would be taken for
it. Such a connection stays as it is until the client closes it, as a real one would.

`when` narrows a fault to connections that sent a certain request, from that request on: `when=lambda request:
b"SUBSCRIBE" in request`. (Not for cut and refuse.) `struck` is set as soon as any request was hit.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

Mode = Literal["pass", "delay", "trickle", "lose", "snap", "hole", "cut", "refuse"]
Address = str | tuple[str, int]

# Made once, for a hundred years, for localhost; the authority's own key is thrown away. They guard nothing.
AUTHORITY = Path(__file__).parent / "tls" / "authority.pem"

_PIECE = 65536
_CLOSED: tuple[Mode, ...] = ("cut", "refuse")
_FOR_GOOD: tuple[Mode, ...] = ("lose", "hole")


class _Line:
    """One client's connection, and its way to the server."""

    def __init__(self, proxy: "Proxy", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._broken: Mode | None = None  # what it stays, whatever the proxy does next
        self._hit = False  # whether it has sent a request that the fault is meant for

    def forgive(self) -> None:
        """Another fault begins: what was sent before does not count."""
        self._hit = False

    def cut(self) -> None:
        """Close it without a word."""
        self._writer.transport.abort()

    async def run(self) -> None:
        """Carry both ways until either side is gone."""
        reader, writer = await self._proxy.reach()
        ways = [asyncio.create_task(self._ask(writer)), asyncio.create_task(self._reply(reader))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.transport.abort()  # first: this task may be cancelled once more while it waits
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    @property
    def _mode(self) -> Mode:
        return self._broken or (self._proxy.mode if self._hit else "pass")

    async def _ask(self, server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while request := await self._reader.read(_PIECE):
                if not self._hit and self._proxy.mode != "pass" and self._proxy.meant(request):
                    self._hit = True
                    self._proxy.struck.set()
                if self._mode == "hole":
                    self._broken = "hole"
                    continue
                server.write(request)
                await server.drain()

    async def _reply(self, server: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while reply := await server.read(_PIECE):
                mode = self._mode
                if mode in _FOR_GOOD:
                    self._broken = mode
                elif mode == "snap":
                    self.cut()
                    return
                elif mode == "trickle":
                    for place in range(len(reply)):
                        await asyncio.sleep(self._proxy.seconds)
                        await self._write(reply[place : place + 1])
                else:
                    if mode == "delay":
                        await asyncio.sleep(self._proxy.seconds)
                    await self._write(reply)

    async def _write(self, reply: bytes) -> None:
        self._writer.write(reply)
        await self._writer.drain()


class Proxy:
    """Listens on a port of its own on 127.0.0.1, in the test's loop; made by `proxied`."""

    def __init__(self, server: Address, tls: ssl.SSLContext | None = None) -> None:
        self.mode: Mode = "pass"
        self.seconds = 0.0
        self.struck = asyncio.Event()
        self.accepted = 0
        self.meant: Callable[[bytes], bool] = _all
        self.port = 0
        self.server = server
        self._tls = tls
        self._listening: asyncio.Server | None = None
        self._lines: dict[asyncio.Task[None], _Line] = {}

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"redis{'s' if self._tls else ''}://127.0.0.1:{self.port}/0"

    @property
    def live(self) -> int:
        """How many connections there are now."""
        return len(self._lines)

    async def switch(
        self, mode: Mode, *, seconds: float = 0.0, when: Callable[[bytes], bool] | None = None
    ) -> None:
        """Begin another fault, or none; in force when this returns."""
        self.mode, self.seconds, self.meant = mode, seconds, when or _all
        self.struck.clear()
        for line in self._lines.values():
            line.forgive()
            if mode in _CLOSED:
                line.cut()
        if mode == "refuse":
            await self._deafen()
        elif self._listening is None:
            await self.listen()

    async def listen(self) -> None:
        """Take connections, always on the same port."""
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server behind."""
        if isinstance(self.server, str):
            return await asyncio.open_unix_connection(self.server)
        return await asyncio.open_connection(*self.server)

    async def aclose(self) -> None:
        """Close everything."""
        await self._deafen()
        lines = list(self._lines)
        for task in lines:
            task.cancel()
        if lines:
            await asyncio.wait(lines)

    async def _deafen(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        line = _Line(self, reader, writer)
        self._lines[task] = line
        try:
            if self.mode not in _CLOSED:
                # The server may be gone: then the client finds its connection closed, as it would.
                with suppress(OSError):
                    await line.run()
        except asyncio.CancelledError:
            return  # by `aclose`; asyncio's own streams would report it
        finally:
            del self._lines[task]
            line.cut()


def _all(_request: bytes) -> bool:
    return True


def tls() -> ssl.SSLContext:
    """What a proxy needs to be trusted by those who trust `AUTHORITY`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(AUTHORITY.with_name("server.pem"), AUTHORITY.with_name("server.key"))
    return context


@asynccontextmanager
async def proxied(server: Address, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy in front of a Unix socket, or of a host and port; with `tls` it ends TLS for a server without."""
    proxy = Proxy(server, tls)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.aclose()

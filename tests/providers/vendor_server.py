"""A vendor's server on loopback: real sockets, tones for speech, and every fault that we know of."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PCM = (("content-type", "audio/pcm"),)
PAGE = b"<html><body><h1>It works!</h1></body></html>"


@dataclass
class Request:
    """What arrived, and how its connection ended."""

    line: str
    headers: dict[str, str]
    raw: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def method(self) -> str:
        """GET or POST."""
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """Path and query, as sent."""
        return self.line.split(" ")[1]

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def body(self) -> Any:
        """The body's JSON; None where there is no body."""
        return json.loads(self.raw) if self.raw else None


@dataclass(frozen=True)
class Reply:
    """What is answered: a head and a body, `short` bytes less than announced.

    `headers` and `body` None: those of the answer that the vendor would give. `to` is the method that it waits for.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] | None = None
    body: bytes | None = None
    short: int = 0
    reason: str = "X"
    to: str = ""
    chunked: bool = False
    cut: bool = False


Answer = Callable[[Request], Reply]


class VendorServer:
    """Answers `replies` in order, then as `vendor` does.

    `hold` stops a POST's answer behind the first piece of its body until set.
    """

    def __init__(self, vendor: Answer) -> None:
        self.vendor = vendor
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.silent = asyncio.Event()
        self.silent.set()
        self.arrived = asyncio.Event()
        self.connections = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, as many requests as come."""
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                self.arrived.set()
                if not await self._answered_whole(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for request in self.requests:
                request.left.set()
            writer.close()

    async def _answered_whole(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Write the answer, or stop when the client hangs up; whether the connection may go on."""
        writing = asyncio.create_task(self._write(request, writer))
        hearing = asyncio.create_task(reader.read(1))
        await asyncio.wait((writing, hearing), return_when=asyncio.FIRST_COMPLETED)
        # A client of ours never pipelines: anything but silence while we write is a disconnect.
        going_on = writing.done() and not hearing.done()
        for task in (writing, hearing):
            task.cancel()
        done = await asyncio.gather(writing, hearing, return_exceptions=True)
        return going_on and done[0] is True

    async def _write(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        await self.silent.wait()
        if request.method == "HEAD":  # of the address alone, which no vendor has anything at
            writer.write(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return True
        usual = self.vendor(request)
        planned = self.replies and self.replies[0].to in {"", request.method}
        reply = self.replies.pop(0) if planned else usual
        body = reply.body if reply.body is not None else usual.body or b""
        headers = reply.headers if reply.headers is not None else usual.headers or PCM
        head = f"HTTP/1.1 {reply.status} {reply.reason}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers)
        head += "transfer-encoding: chunked\r\n" if reply.chunked else f"content-length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n")
        sent = body[: len(body) - reply.short]
        for start in range(0, len(sent), 4_801):
            piece = sent[start : start + 4_801]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if reply.chunked else piece)
            await writer.drain()
            if request.method == "POST":
                await self.hold.wait()
        if reply.chunked and not reply.cut:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not (reply.short or reply.cut)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (each.partition(":") for each in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(line, headers, raw)


@asynccontextmanager
async def vendor_server(vendor: Answer) -> AsyncGenerator[VendorServer]:
    """A running server; every connection is closed at the end."""
    double = VendorServer(vendor)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await double.answer(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield double
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

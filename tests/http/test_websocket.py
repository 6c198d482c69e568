"""The server's end of a WebSocket: what a client sends, or does not take, costs little."""

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from websockets.frames import Frame, Opcode

from app.http import websocket, wire
from app.http.sockets import SocketRoute
from app.http.websocket import FRAGMENTS
from tests.http.rooms import PRELUDE, ROOM, Rooms, address, conversing, ending, opened
from tests.http.servers import VOICES, Inside, Server, Valkey, inside, until

MIB = 2**20
LARGEST = 2**16
Opening = Callable[..., AbstractAsyncContextManager[Inside]]


@pytest.fixture
def rooms() -> Rooms:
    """Of this test's own."""
    return Rooms()


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, valkey: Valkey, rooms: Rooms) -> Opening:
    """Servers with those rooms on the common Valkey."""

    def open_one(**server: object) -> AbstractAsyncContextManager[Inside]:
        return inside(monkeypatch, valkey.url, VOICES, sockets=(SocketRoute(ROOM, rooms.talk),), **server)

    return open_one


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One in a process of its own, with rooms."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Server(Path(home), VOICES, prelude=PRELUDE)
        yield running
        running.stop()


def handshake(
    *fields: str, path: str = "/rooms/one/talk", method: str = "GET", **changed: str | None
) -> bytes:
    """Of a client that no library is; of its usual fields None takes one out."""
    key = base64.b64encode(os.urandom(16)).decode()
    usual: dict[str, str | None] = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    usual |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in usual.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, *fields, "", ""]).encode("latin-1")


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """As a client sends it."""
    return Frame(opcode, data, fin).serialize(mask=True)


class Raw:
    """A connection to a server, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """All of it, as far as it is taken."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, str]:
        """Status and head of an answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        return int(head.split()[1]), head.lower()

    async def frame(self) -> tuple[Opcode, bytes]:
        """The next one."""
        first, second = await self.reader.readexactly(2)
        size = second & 127
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return Opcode(first & 15), await self.reader.readexactly(size)

    async def closing(self) -> tuple[int, str]:
        """Code and reason of the close frame; what comes before is let be."""
        while True:
            opcode, data = await self.frame()
            if opcode is Opcode.CLOSE:
                return int.from_bytes(data[:2], "big"), data[2:].decode()


@asynccontextmanager
async def connected(port: int, *, is_open: bool = True) -> AsyncIterator[Raw]:
    """A connection; unless told otherwise, with the handshake behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    raw = Raw(reader, writer)
    try:
        if is_open:
            await raw.send(handshake())
            assert (await raw.head())[0] == 101
        yield raw
    finally:
        writer.transport.abort()


def port(house: Inside) -> int:
    """Of a server."""
    number = house.client.base_url.port
    assert number is not None
    return number


def url(house: Inside) -> str:
    """Of a server."""
    return str(house.client.base_url)


@pytest.mark.parametrize("kind", [str, bytes])
async def test_a_message_over_the_limit_is_refused_with_its_reason(
    opening: Opening, kind: type, monkeypatch: pytest.MonkeyPatch
):
    """Whoever sends a book in one piece would see a connection that breaks, or fill the memory with it."""
    monkeypatch.setattr(websocket, "LINGERING", 0.3)
    async with opening() as house:
        largest, larger = ("x" * size if kind is str else b"x" * size for size in (LARGEST, 64 * LARGEST))
        async with opened(address(url(house)), max_size=None) as client:
            await client.send(largest)
            assert await client.recv() == largest
            with suppress(Exception):  # it is not taken whole
                await client.send(larger)
            assert (await ending(client))[0] == 1009
        async with opened(address(url(house))) as client:
            await client.send([largest, largest[:1]])
            assert (await ending(client))[0] == 1009


async def test_the_reason_is_heard_by_who_goes_on_sending(opening: Opening, monkeypatch: pytest.MonkeyPatch):
    """Closed with something unread in it, a connection is reset: the client would see that it broke, and try again."""
    monkeypatch.setattr(websocket, "LINGERING", 30.0)
    async with opening() as house, connected(port(house)) as raw:
        await raw.send(frame(Opcode.BINARY, b"x" * 8 * MIB))
        assert (await raw.closing())[0] == 1009


async def test_a_large_message_is_refused_by_its_head(server: Server):
    """A hundred of them would end the process, however large each may be in the end."""
    process = psutil.Process(server.process.pid)
    number = int(server.url.rpartition(":")[2])
    async with connected(number) as raw:
        before = process.memory_info().rss
        head = frame(Opcode.BINARY, b"x" * 2**17)[:14]
        await raw.send(head[:2] + (2**40).to_bytes(8, "big") + head[10:])
        assert (await raw.closing())[0] == 1009
        with suppress(OSError):
            for _ in range(1024):
                await raw.send(b"x" * 2**16)
        assert process.memory_info().rss - before < 8 * MIB


async def test_frames_without_end_are_no_message(opening: Opening):
    """Frames with nothing in them have no size, but each is held until the last has come."""
    async with opening() as house, connected(port(house)) as raw:
        await raw.send(frame(Opcode.TEXT, b"in", fin=False))
        await raw.send(frame(Opcode.CONT, b"", fin=False) * (FRAGMENTS - 2))
        await raw.send(frame(Opcode.CONT, b" pieces"))
        assert await raw.frame() == (Opcode.TEXT, b"in pieces")
        await raw.send(frame(Opcode.TEXT, b"in", fin=False))
        await raw.send(frame(Opcode.CONT, b"", fin=False) * FRAGMENTS)
        assert await raw.closing() == (1009, f"A message may have {FRAGMENTS} frames.")


async def test_nothing_is_compressed(opening: Opening):
    """A few bytes could become a message of any size."""
    async with opening() as house:
        async with opened(address(url(house)), compression="deflate") as client:
            assert client.response is not None
            assert "sec-websocket-extensions" not in client.response.headers
        async with connected(port(house)) as raw:
            plain = frame(Opcode.TEXT, b"\xf2H\xcd\xc9\xc9\x07\x00")
            await raw.send(bytes([plain[0] | 0x40]) + plain[1:])
            assert (await raw.closing())[0] == 1002


async def test_what_is_no_text_is_refused(opening: Opening, caplog: pytest.LogCaptureFixture):
    """A route would be given something else than text; and anybody could fill the log with stack traces."""
    async with opening() as house:
        for data in (
            frame(Opcode.TEXT, b"\xff"),
            frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT),
        ):
            async with connected(port(house)) as raw:
                await raw.send(data)
                assert await raw.closing() == (1007, "A text must be UTF-8.")
        # Half a character is no mistake at the end of a frame.
        async with connected(port(house)) as raw:
            await raw.send(frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"\xa4"))
            assert await raw.frame() == (Opcode.TEXT, "ä".encode())
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


NONE = {
    "no key": (handshake(Sec_WebSocket_Key=None), 400),
    "a strange key": (handshake(Sec_WebSocket_Key="<script>"), 400),
    "another version": (handshake(Sec_WebSocket_Version="8"), 400),
    "another method": (handshake(method="POST"), 400),
    "a body": (handshake("Content-Length: 3") + b"abc", 400),
    "a chunked body": (handshake("Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "two origins": (handshake("Origin: http://a", "Origin: http://b"), 400),
    "a long line": (handshake(f"A: {'b' * 9000}"), 431),
    "a long path": (handshake(path="/rooms/" + "a" * 9000), 431),
    "a long head": (handshake(*["A: " + "b" * 8000] * 5), 431),
    "many fields": (handshake(*["A: b"] * 100), 431),
    "frames too early": (handshake() + frame(Opcode.TEXT, b"x"), 101),
}


@pytest.mark.parametrize("name", NONE)
async def test_what_is_no_handshake_is_answered_as_such(server: Server, name: str):
    """A client would wait for an answer for ever, and hold a connection; or an error of ours would be in the log."""
    request, expected = NONE[name]
    async with connected(int(server.url.rpartition(":")[2]), is_open=False) as raw:
        await raw.send(request)
        status, head = await raw.head()
        assert status == expected
        if status != 101:
            assert "content-type: application/problem+json" in head
            told = json.loads(await raw.reader.read())
            assert told["code"] == ("head_too_large" if status == 431 else "invalid_http")
            assert "script" not in str(told)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "without completing" not in log


async def test_behind_a_request_that_is_being_answered_there_is_none(opening: Opening):
    """Frames would stand in the middle of somebody's sound."""
    async with opening() as house, connected(port(house), is_open=False) as raw:
        body = json.dumps(
            {"input": "A sentence that takes its time. " * 400, "response_format": "wav"}
        ).encode()
        head = (
            "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        await raw.send(head.encode() + body)
        got = await raw.reader.read(2**12)
        await raw.send(handshake())
        with suppress(ConnectionError):
            got += await raw.reader.read()
        assert got.startswith(b"HTTP/1.1 200")
        assert b"101 Switching" not in got
        async with connected(port(house), is_open=False) as other:
            await other.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await other.head())[0] == 200
            await other.reader.readexactly(len(b'{"status":"ok"}'))
            await other.send(handshake())
            assert (await other.head())[0] == 101


async def test_it_outlives_the_time_for_a_head(tmp_path: Path):
    """Every conversation would be cut half a minute after its beginning."""
    prelude = f"{PRELUDE}; import app.http.connection; app.http.connection.HEAD_SECONDS = 0.2"
    server = await asyncio.to_thread(Server, tmp_path, VOICES, prelude=prelude)
    try:
        async with conversing(address(server.url)) as client:
            await asyncio.sleep(0.6)
            await client.send("still here")
            assert await client.recv() == "still here"
    finally:
        await asyncio.to_thread(server.stop)


async def test_who_vanishes_is_noticed(opening: Opening, rooms: Rooms, monkeypatch: pytest.MonkeyPatch):
    """A telephone without a network says nothing, not even that it leaves: its room would be kept for hours."""
    monkeypatch.setattr(websocket, "PING_EVERY", 0.1)
    async with opening() as house, connected(port(house)):
        await until(lambda: rooms.cancelled == 1)


async def test_who_is_there_is_not_taken_for_gone(
    opening: Opening, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
):
    """Where a room is busy its client's messages lie unread, and his answers to pings behind them."""
    monkeypatch.setattr(websocket, "PING_EVERY", 0.5)
    async with opening() as house, opened(address(url(house)), ping_interval=None) as client:
        await client.send("work")
        await rooms.busy.wait()
        for number in range(100):
            await client.send(f"message {number}")
        await asyncio.sleep(1.5)
        assert not rooms.cancelled
        rooms.go_on.set()
        assert [await client.recv() for _ in range(100)] == [f"message {number}" for number in range(100)]


async def test_who_reads_nothing_is_cut(opening: Opening, rooms: Rooms, monkeypatch: pytest.MonkeyPatch):
    """What he was sent would lie in memory for as long as he likes, and his room wait for him."""
    monkeypatch.setattr(wire, "STALLED", 0.3)
    monkeypatch.setattr(websocket, "PING_EVERY", 3600.0)
    async with opening() as house, connected(port(house)) as raw:
        raw.writer.transport.pause_reading()
        await raw.send(frame(Opcode.TEXT, b"flood 10000"))
        await until(lambda: rooms.left == 1)


async def test_answers_to_pings_do_not_pile_up(server: Server):
    """Who sends pings and reads nothing would fill the memory with answers."""
    process = psutil.Process(server.process.pid)
    async with connected(int(server.url.rpartition(":")[2])) as raw:
        raw.writer.transport.pause_reading()
        before = process.memory_info().rss
        pings = frame(Opcode.PING, b"x" * 125) * 500
        for _ in range(400):
            await raw.send(pings)
        assert process.memory_info().rss - before < 12 * MIB
        raw.writer.transport.resume_reading()
        await raw.send(frame(Opcode.PING, b"the last"))
        while await raw.frame() != (Opcode.PONG, b"the last"):
            pass


async def test_small_messages_without_end_are_held_back(server: Server):
    """A room that is busy would have all of them lie in memory."""
    process = psutil.Process(server.process.pid)
    async with connected(int(server.url.rpartition(":")[2])) as raw:
        await raw.send(frame(Opcode.TEXT, b"idle 2") + frame(Opcode.TEXT, b"work"))
        before = process.memory_info().rss
        many = frame(Opcode.TEXT, b"x") * 10_000
        with suppress(TimeoutError):  # from some point on they are not taken
            async with asyncio.timeout(1.0):
                for _ in range(1000):
                    await raw.send(many)
        assert process.memory_info().rss - before < 16 * MIB

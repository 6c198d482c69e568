"""One request over and over on many connections: a client that costs little beside a server in Python.

A blocking loop over epoll that looks for nothing but the head's end, `Content-Length` and `Server-Timing`.
"""

import selectors
import socket
import time
from dataclasses import dataclass, field

_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it.

    `waits` are seconds from sending a request to the last byte of its answer; `server` is `Server-Timing`'s
    `first_audio` in ms, where sent. `seconds` is how long all of it took.
    """

    seconds: float
    waits: list[float]
    server: list[float]

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.waits) / self.seconds


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    sent: float = 0.0
    head: bytearray = field(default_factory=bytearray)
    left: int = -1
    """Bytes of the body that are still to come; -1 while the head is."""


def post(path: str, data: bytes) -> bytes:
    """A whole request."""
    head = (
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
    )
    return "\r\n".join((*head, "", "")).encode() + data


def hammer(port: int, request: bytes, *, connections: int, seconds: float) -> Load:
    """Ask again on each connection as soon as its answer is complete, for so long."""
    waits: list[float] = []
    server: list[float] = []
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
        began = time.perf_counter()
        for one in opened:
            selector.register(one.socket, selectors.EVENT_READ, one)
            _send(one, request)
        while (now := time.perf_counter()) < began + seconds:
            for key, _ in selector.select(1.0):
                one = key.data
                if _read(one, server):
                    waits.append(time.perf_counter() - one.sent)
                    _send(one, request)
        for one in opened:
            one.socket.close()
    return Load(now - began, waits, server)


def _send(one: _Connection, request: bytes) -> None:
    one.sent = time.perf_counter()
    one.socket.sendall(request)


def _read(one: _Connection, server: list[float]) -> bool:
    """Whether the answer is complete."""
    data = one.socket.recv(_PIECE)
    if not data:
        raise SystemExit("The server closed a connection.")
    if one.left < 0:
        one.head += data
        end = one.head.find(b"\r\n\r\n")
        if end < 0:
            return False
        one.left = _length(one.head[:end], server) - (len(one.head) - end - 4)
        one.head.clear()
    else:
        one.left -= len(data)
    if one.left:
        return False
    one.left = -1
    return True


def _length(head: bytearray, server: list[float]) -> int:
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"The server answered {bytes(head[:200])!r}")
    if timing := _after(head, b"first_audio;dur="):
        server.append(float(timing.partition(b",")[0]))
    return int(_after(head, b"content-length: "))


def _after(head: bytearray, name: bytes) -> bytes:
    at = head.find(name)
    return bytes(head[at + len(name) :]).partition(b"\r\n")[0] if at >= 0 else b""

"""Speech asked for over HTTP by blocking clients, and how long it took."""

import hashlib
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARTICLE = Path(__file__).resolve().parent.parent / "samples" / "article.txt"
MP3_BYTES_PER_SECOND = 8_000
"""64 kbit/s, constant: an mp3's length says its duration."""
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """`first` and `total` are seconds from sending the request to the first and the last byte of sound."""

    first: float
    total: float
    size: int
    sha256: str
    cache_status: str


def body(text: str, **fields: Any) -> bytes:
    """The request's JSON."""
    return json.dumps({"input": text, "voice": "default", **fields}).encode()


def ask(port: int, text: str, **fields: Any) -> Answer:
    """One request over a connection of its own, which is open before the clock starts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.connect()
        return _asked(connection, body(text, **fields))
    finally:
        connection.close()


def ask_together(ports: list[int], text: str, **fields: Any) -> list[Answer]:
    """One request to each of the ports (which may repeat), all at once."""
    with ThreadPoolExecutor(len(ports)) as askers:
        return list(askers.map(lambda port: ask(port, text, **fields), ports))


def plan(port: int, text: str) -> dict[str, Any]:
    """The dry run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/speech/plan", body(text), {"Content-Type": "application/json"})
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()


def _asked(connection: http.client.HTTPConnection, data: bytes) -> Answer:
    began = time.perf_counter()
    connection.request("POST", "/v1/audio/speech", data, {"Content-Type": "application/json"})
    response = connection.getresponse()
    piece = response.read1(_PIECE)
    first = time.perf_counter() - began
    if response.status != http.client.OK:
        raise SystemExit(f"The server answered {response.status}: {piece[:200]!r}")
    size, named = len(piece), hashlib.sha256(piece)
    while piece := response.read1(_PIECE):
        size += len(piece)
        named.update(piece)
    total = time.perf_counter() - began
    return Answer(first, total, size, named.hexdigest(), response.headers["Cache-Status"])

"""What stands in a request's head: bounded, and nothing of it gets where it does not belong."""

import json
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from app.http.connection import HEAD_BYTES, HEAD_FIELDS
from tests.http.servers import VOICES, Server

MIB = 2**20
SPLIT = "x-injected"


def port(server: Server) -> int:
    """Of a server."""
    return int(server.url.rpartition(":")[2])


def sent(server: Server, *parts: bytes) -> bytes:
    """All that comes back for these bytes until the connection is closed, by the server."""
    got: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port(server)), timeout=20) as line:
        with suppress(OSError):  # what was refused before its end is read all the same
            for part in parts:
                line.sendall(part)
        with suppress(ConnectionResetError):
            while piece := line.recv(2**16):
                got.append(piece)
    return b"".join(got)


def asking(*fields: bytes, path: bytes = b"/v1/models") -> bytes:
    """A request with these fields."""
    return b"\r\n".join(
        [b"GET " + path + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *fields, b"", b""]
    )


def head_of(answer: bytes) -> tuple[int, str]:
    """Status and head, in lower case."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    return int(head.split()[1]), head


VALUES = [
    b"a\rb",
    b"a\nX-Injected: 1",
    b"a\r\n X-Injected: 1",
    b"a\x00b",
    b"\xc3\xa4",
    b"\xff",
    b"%0d%0aX-Injected:1",
    b"a b",
    b"x" * 200,
]
NAMES = [
    b"X-Request-Id",
    b"Idempotency-Key",
    b"Authorization",
    b"xi-api-key",
    b"Origin",
    b"If-None-Match",
    b"Range",
    b"X-Forwarded-Host",
]


@pytest.mark.parametrize("name", NAMES, ids=bytes.decode)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_strange_value_gets_into_no_head(server: Server, name: bytes, value: bytes):
    """Who chooses a value could write headers, or a whole answer, that others take for ours."""
    status, head = head_of(sent(server, asking(name + b": " + value)))
    assert status in {200, 400}
    assert not [line for line in head.splitlines() if line.startswith(SPLIT)]
    assert value.decode("latin-1").lower() not in head
    assert server.samples("refrain_requests_total", status="500") == 0


@pytest.mark.parametrize("given", ["caller-1", "7f3a:b.c_d", "a" * 128])
def test_a_sane_request_id_is_kept(server: Server, given: str):
    """A caller could not find his request in our log."""
    assert server.get("/v1/models", x_request_id=given).headers["x-request-id"] == given


PATHS = [
    b"/v1/speech/%0d%0aX-Injected:%201",
    b"/v1/models/%0d%0aX-Injected:%201",
    b"/page/%0d%0aX-Injected:%201",
    b"/v1/speech/%00",
    b"/v1/models/%ff%fe",
    b"/page/%2e%2e%2fserver.py",
    b"/page/..%2f..%2f..%2f..%2fetc%2fpasswd",
    b"/v1/models/\xc3\xa4",
    b"/%0d%0aX-Injected:%201/",
    b"//evil.example.org/%2e%2e",
]


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_strange_path_leads_nowhere(server: Server, path: bytes):
    """It could write headers, read files, or send a client to another's server."""
    status, head = head_of(sent(server, asking(path=path)))
    assert status in {400, 404}
    assert SPLIT not in head
    assert "location:" not in head


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\x00b", "\x1b[31m", "voice\nname", "ü\u0000"])
def test_strange_tags_and_voices_are_refused(server: Server, value: str):
    """They would get into logs and key names, for others to read."""
    for body in ({"tags": [value]}, {"voice": value}, {"language": value}, {"response_format": value}):
        answer = server.post(input="Hello.", **body)
        assert answer.status_code == 400
        assert SPLIT not in answer.headers
        assert value not in answer.text


def test_fields_behind_a_body_are_let_be(server: Server):
    """What was looked at before the body could be replaced behind it: the id here, elsewhere a key."""
    body = json.dumps({"input": "Hello.", "cache": "only"}).encode()
    head = (
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: first\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    trailers = b"0\r\nX-Request-Id: second\r\nOrigin: https://evil.example.org\r\n\r\n"
    _, told = head_of(sent(server, head, b"%x\r\n%s\r\n" % (len(body), body), trailers))
    assert "x-request-id: first" in told


SMUGGLED = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding : chunked",
]


@pytest.mark.parametrize("fields", SMUGGLED, ids=repr)
def test_a_body_of_two_lengths_is_refused(server: Server, fields: bytes):
    """A proxy that reads the other length would give one user's request to the next."""
    head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    status, _ = head_of(sent(server, head + fields + b"\r\n\r\n", b"0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n"))
    assert status == 400


def test_a_body_behind_an_upgrade_is_the_requests_own(server: Server):
    """Java's client asks for HTTP/2 by itself: its text would be lost. Through a proxy it would be a second request."""
    inner = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for body, status in (
        (json.dumps({"input": "Hello.", "response_format": "pcm"}).encode(), 200),
        (inner, 400),
    ):
        fields = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings, close\r\nHTTP2-Settings: AAMAAABk\r\n"
        head = (
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"%sContent-Length: %d\r\n\r\n" % (fields, len(body))
        )
        for parts in ([head, body], [head + body]):
            answer = sent(server, *parts)
            assert head_of(answer)[0] == status
            assert answer.count(b"HTTP/1.1 ") == 1
    assert head_of(sent(server, asking(b"Upgrade: foo", b"Connection: upgrade")))[0] == 200


def test_many_upgrades_at_once_are_cut(server: Server):
    """Each would have all that is behind it read once more: a packet would keep the process for seconds."""
    request = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n"
    assert sent(server, request * 2000).count(b"HTTP/1.1 ") <= 1


def test_a_tunnel_is_refused(server: Server):
    """Others would be reached from here."""
    assert head_of(sent(server, b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n"))[0] == 400


def test_requests_ahead_of_their_turn_are_answered_in_order(server: Server):
    """A client that does not wait, as it may, would take one answer for another."""
    paths = [b"/v1/models", b"/nothing", b"/healthz"]
    asked = [asking(path=path).replace(b"Connection: close\r\n", b"") for path in paths]
    answers = sent(server, b"".join([*asked, asking(path=b"/v1/audio/voices")]))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"404", b"200", b"200"]
    # A thousand of them are held for nobody.
    assert sent(server, asked[0] * 1000).count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("begun", [b"0\r\nA: ", b"0\r\nA", b"1;"], ids=["value", "name", "extension"])
def test_what_is_endless_behind_a_body_costs_no_memory(server: Server, begun: bytes):
    """Nobody is told of it before it has ended, so it is in nobody's count."""
    process = psutil.Process(server.process.pid)
    head = (
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    sent(server, asking())
    before = process.memory_info().rss
    with socket.create_connection(("127.0.0.1", port(server)), timeout=20) as line:
        line.sendall(head + b"2\r\n{}\r\n" + begun)
        with suppress(OSError):  # closed while it is written
            for _ in range(512):
                line.sendall(b"b" * 2**16)
            raise AssertionError("32 MiB were taken")
    assert process.memory_info().rss - before < 8 * MIB


TOO_MUCH = {
    "fields": [asking(*[b"A: b"] * HEAD_FIELDS)],
    "a field": [asking(b"A: " + b"b" * HEAD_BYTES)],
    "a field in pieces": [b"GET / HTTP/1.1\r\nA: ", *[b"b" * 4096] * 8],
    "a name in pieces": [b"GET / HTTP/1.1\r\n", *[b"b" * 4096] * 8],
    "a path": [asking(path=b"/" + b"a" * HEAD_BYTES)],
    "a path in pieces": [b"GET /", *[b"a" * 4096] * 8],
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_head_over_the_limit_is_refused(server: Server, name: str):
    """Anybody could fill the memory without a body; the parser by itself has no limit."""
    answer = sent(server, *TOO_MUCH[name])
    status, head = head_of(answer)
    assert status == 431
    assert "content-type: application/problem+json" in head
    assert re.search(r"^x-request-id: [0-9a-f]{32}\r$", head, re.MULTILINE)
    assert "content-security-policy: default-src 'none'; " in head
    assert "x-frame-options: deny" in head
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert problem["code"] == "head_too_large"
    assert str(HEAD_BYTES) in problem["detail"]


def test_a_head_under_the_limit_is_taken(server: Server):
    """Who comes with many cookies or a long token would be refused."""
    assert head_of(sent(server, asking(*[b"A: b"] * (HEAD_FIELDS - 2))))[0] == 200
    assert head_of(sent(server, asking(b"Cookie: " + b"b" * (HEAD_BYTES - 200))))[0] == 200


def test_an_endless_head_costs_no_memory(server: Server):
    """A hundred such connections would end the process."""
    process = psutil.Process(server.process.pid)
    sent(server, asking())
    before = process.memory_info().rss
    with socket.create_connection(("127.0.0.1", port(server)), timeout=20) as line:
        line.sendall(b"GET / HTTP/1.1\r\nA: ")
        with suppress(OSError):  # closed while it is written
            for _ in range(1024):
                line.sendall(b"b" * 2**16)
            raise AssertionError("64 MiB of a head were taken")
    assert process.memory_info().rss - before < 8 * MIB


@pytest.fixture
def impatient() -> Iterator[Server]:
    """A server that waits a moment for a head."""
    prelude = "import app.http.connection as c; c.HEAD_SECONDS = 0.3; c.BODY_PACE = 2**20"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Server(Path(home), VOICES, prelude=prelude)
        yield running
        running.stop()


def test_a_head_or_body_that_does_not_come_ends_the_connection(impatient: Server):
    """Whoever opens connections and says nothing, or a byte now and then, would hold them for good."""
    for begun in (b"", b"GET", b"\r\n", asking()[:-2]):
        with socket.create_connection(("127.0.0.1", port(impatient)), timeout=20) as line:
            line.sendall(begun)
            with suppress(ConnectionResetError):
                assert line.recv(1) == b""
    body = json.dumps({"input": "Hello."}).encode()
    post = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for length in (b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", port(impatient)), timeout=20) as line:
            line.sendall(post + length + b"\r\n\r\n" + (b"1\r\n{" if b"chunked" in length else body[:-1]))
            with suppress(ConnectionResetError):
                assert line.recv(1) == b""
    # An answer that takes longer than that is none of this.
    assert impatient.post(input="Hello there.", voice="backed").status_code == 200


def test_what_is_no_request_gets_into_no_sound(server: Server):
    """The refusal of what was sent behind a request would stand in the middle of the first one's answer."""
    body = json.dumps(
        {"input": "A sentence that takes its time. " * 400, "voice": "backed", "response_format": "wav"}
    )
    request = (
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body.encode())
    )
    for behind in (b"", asking()):
        with socket.create_connection(("127.0.0.1", port(server)), timeout=20) as line:
            line.sendall(request)
            got = line.recv(2**16)
            line.sendall(behind + b"no request at all\r\n\r\n")
            with suppress(ConnectionResetError):
                while piece := line.recv(2**16):
                    got += piece
        assert got.startswith(b"HTTP/1.1 200")
        assert b"invalid_http" not in got

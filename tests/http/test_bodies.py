"""Promise 25: a body without end is refused at the limit, and costs no memory."""

import select
import socket
from contextlib import suppress

import psutil
import pytest

from tests.http.servers import Server

MIB = 2**20
PIECE = b"%x\r\n%s\r\n" % (2**16, b"a" * 2**16)
HEAD = (
    b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    "size", [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.soak)], ids=["64 MiB", "1 GiB"]
)
@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/speech/plan", "/v1/cache/purge"])
def test_a_chunked_body_is_refused_at_the_limit(server: Server, path: str, size: int):
    """Anybody could fill the memory, by not saying how much is to come."""
    process = psutil.Process(server.process.pid)
    server.client.post(path, content=b"{}", headers={"Content-Type": "application/json"})
    before = most = process.memory_info().rss
    answer, sent, answered_at = b"", 0, 0
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=60) as line:
        line.sendall(HEAD % path.encode())
        with suppress(ConnectionError):  # cut, at a time of the server's
            while sent < size:
                line.sendall(PIECE)
                sent += len(PIECE)
                if not answer and select.select([line], [], [], 0)[0]:
                    answer, answered_at = line.recv(2**16), sent
                if sent % (64 * len(PIECE)) == 0:
                    most = max(most, process.memory_info().rss)
        answer = answer or line.recv(2**16)
    assert answer.split()[1] == b"413"
    # What the sockets hold in between has been sent, too, before anybody can know.
    assert 0 < answered_at < 24 * MIB
    assert most - before < 16 * MIB
    assert server.get("/healthz").status_code == 200

"""A server's end, whatever hangs; and what is left of it when it is killed: nothing."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from cache import keeper
from tests.cache.proxy import proxied
from tests.http.servers import UNTRUSTING, VOICES, Server, Valkey

GRACE = 1.5
GRACEFUL = f'[server]\ngrace = "{GRACE:g}s"\n'
SLOW = """
[providers.slow]
kind = "scripted"
pace = 0.05
[voices.slow]
chain = [{ provider = "slow", voice = "low" }]
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short path, as sockets need."""
    # The embedded server may still be saving there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as path:
        yield Path(path)


@asynccontextmanager
async def hole() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """The port of a server that takes requests and never answers, and whether it was asked to speak."""
    writers: list[asyncio.StreamWriter] = []
    asked = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError):
            while request := await reader.read(65536):
                if b"/audio/speech" in request:
                    asked.set()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, or waits for somebody else to reap it."""
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_is_gone_in_time_whatever_hangs(valkey: Valkey, home: Path, workers: str):
    """A roll-out would wait for it, or kill it in the middle of its writing: Redis, archive and provider hang."""
    async with hole() as (port, asked), proxied(valkey.socket) as redis:
        config = (
            f'[redis]\nurl = "{redis.url}"\n{GRACEFUL}{VOICES}'
            f'[providers.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:{port}"\nfirst_byte_timeout = "60s"\n'
            '[voices.far]\nchain = [{ provider = "far", voice = "x" }]\n'
        )
        bucket = {
            "REFRAIN_CACHE__ARCHIVE": "s3://bucket/prefix",
            "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        server = await asyncio.to_thread(Server, home, config, bucket, options=("--workers", workers))
        try:
            # What it writes behind hangs at the bucket from here on.
            made = await asyncio.to_thread(server.post, input="Somebody says a thing once.")
            assert made.status_code == 200
            await redis.switch("hole")
            async with httpx.AsyncClient(base_url=server.url, timeout=60, verify=UNTRUSTING) as client:
                waiting = asyncio.create_task(
                    client.post("/v1/audio/speech", json={"input": "Nobody says it.", "voice": "far"})
                )
                await asked.wait()
                began = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                code = await asyncio.to_thread(server.process.wait, 30)
                took = time.monotonic() - began
                refused = await waiting
            # Who has heard nothing yet is told to go elsewhere.
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
            assert refused.headers["x-request-id"] in server.log.read_text()
            # By itself, not by force; and with room for a busy machine: as it was, it took five times its grace.
            assert code in {0, -signal.SIGTERM}, server.log.read_text()
            assert took < GRACE + 4
        finally:
            await asyncio.to_thread(server.stop)


def test_it_is_gone_in_time_when_a_thread_of_its_own_hangs(home: Path):
    """The interpreter waits for every thread: one that hangs at a file system would keep the process for ever."""
    hanging = (
        "import threading as t; t.Thread(target=t.Event().wait).start(); from app.cli import main; main()"
    )
    server = Server(home, '[server]\ngrace = "1s"\n' + VOICES, program=("-c", hanging))
    server.client.close()
    # By SIGTERM it would end as soon as all is closed; after Ctrl-C the interpreter cleans up.
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == -signal.SIGALRM


def test_workers_whose_supervisor_was_killed_finish_what_they_do_and_leave(home: Path):
    """They would hold the port, and go on with nobody to end or replace them; and so would their Valkey."""
    server = Server(home, VOICES + SLOW, options=("--workers", "2"))
    supervisor = psutil.Process(server.process.pid)
    text = "This is spoken slowly, while the one who looks after its speaker is killed."
    body = {"input": text, "voice": "slow", "response_format": "pcm"}
    with server.client.stream("POST", "/v1/audio/speech", json=body) as answer:
        pieces = answer.iter_bytes()
        got = next(pieces)
        left = supervisor.children(recursive=True)
        assert len(left) >= 2
        server.process.kill()
        server.process.wait()
        got += b"".join(pieces)
    assert len(got) / 48_000 > len(text) * 0.06
    server.client.close()
    deadline = time.monotonic() + 30
    socket = str(home / "valkey" / "valkey.sock")
    while not all(map(ended, left)) or keeper.state(socket) != "gone":
        assert time.monotonic() < deadline, [one for one in left if not ended(one)]
        time.sleep(0.02)
    assert "it ends, too" in server.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_the_cache_comes_back_when_its_keeper_is_killed(home: Path):
    """Each server would go on without it until the last of them was started anew."""
    server = Server(home, VOICES, options=("--workers", "2"))
    try:
        made = server.post(input="It is there again.")
        (kept,) = [p for p in psutil.process_iter(["cmdline"]) if _keeps(p, home)]
        kept.kill()
        deadline = time.monotonic() + 30
        while ended(kept) and not any(_keeps(p, home) for p in psutil.process_iter(["cmdline"])):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        socket = str(home / "valkey" / "valkey.sock")
        while keeper.state(socket) != "ready":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        found = server.post(input="It is there again.", cache="only")
        assert (found.status_code, found.content) == (200, made.content)
    finally:
        server.stop()
    while keeper.state(socket) != "gone":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _keeps(process: psutil.Process, home: Path) -> bool:
    words = process.info["cmdline"] or []
    return keeper.__file__ in words and str(home / "valkey") in words and not ended(process)

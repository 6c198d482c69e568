"""`refrain warm` interrupted: what was made is kept, and going on makes nothing twice."""

import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from providers.tones import tone_pcm
from tests.cli.commands import environment, refrain
from tests.http.servers import Valkey

PROMPTS = 24
WARM = ("warm", "--lines", "--concurrency", "2", "prompts.txt")


class Upstream(ThreadingHTTPServer):
    """A vendor with OpenAI's wire that counts what it is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()


class _Answer(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        """Speech, after a moment."""
        body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.asked[body["input"]] += 1
        time.sleep(0.05)
        sound = tone_pcm(body["input"], "low")
        self.send_response(200)
        self.send_header("content-type", "audio/pcm")
        self.send_header("content-length", str(len(sound)))
        self.end_headers()
        self.wfile.write(sound)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Listening."""
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def folder(upstream: Upstream) -> Iterator[Path]:
    """A working folder with prompts, a provider and a Valkey."""
    with tempfile.TemporaryDirectory() as path:
        home = Path(path)
        valkey = Valkey(home)
        (home / "refrain.toml").write_text(
            f'[redis]\nurl = "{valkey.url}"\n'
            f'[providers.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:{upstream.server_address[1]}/v1"\n'
            "price_per_million_chars = 10.0\nattempts = 1\n"
            '[voices.default]\nchain = [{ provider = "far", voice = "alloy" }]\n'
        )
        lines = (
            f"This is prompt number {number}, and it is a sentence of its own." for number in range(PROMPTS)
        )
        (home / "prompts.txt").write_text("\n".join(lines))
        yield home
        valkey.stop()


def warming(folder: Path) -> "subprocess.Popen[str]":
    """The command under way."""
    return subprocess.Popen(
        [sys.executable, "-m", "app", *WARM],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(folder: Path) -> int:
    """Clips and manifests, by the metadata of clips."""
    with Redis(unix_socket_path=str(folder / "v.sock")) as redis:
        values = [redis.get(key) for key in redis.scan_iter("refrain:1:clip:*", count=1_000)]
    return sum(b'"samples":' in value and b'"clips":' not in value for value in values if value)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak), signal.SIGKILL]
)
def test_what_was_made_before_the_end_is_not_made_again(
    folder: Path, upstream: Upstream, number: signal.Signals
):
    """Whoever stops a night's work in the morning would pay for it twice."""
    first = warming(folder)
    while upstream.asked.total() < PROMPTS // 3:
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    first.send_signal(number)
    out, err = first.communicate(timeout=30)
    kept, asked = stored(folder), upstream.asked.total()
    assert PROMPTS // 3 - 4 <= kept < PROMPTS
    if number != signal.SIGKILL:
        assert first.returncode == 1
        done = re.search(r"Stopped after (\d+) of 24 texts. .* run the same command again to go on", err)
        assert done, err
        assert kept - 2 <= int(done[1]) <= kept
        made = re.search(r"(\d+) chunks were cached, (\d+) made", out)
        assert made, out
        assert 0 < int(made[2]) <= kept
    second = refrain(folder, *WARM)
    assert second.returncode == 0, second.stderr
    assert f"{PROMPTS} texts in mp3: {kept} chunks were cached, {PROMPTS - kept} made" in second.stdout
    # Asked for once more is only what was under way when it ended.
    assert upstream.asked.total() - asked == PROMPTS - kept
    assert upstream.asked.total() <= PROMPTS + 4
    assert f"{PROMPTS} chunks were cached, 0 made" in refrain(folder, *WARM).stdout
    assert stored(folder) == PROMPTS


def test_lines_are_read_as_they_are_said(folder: Path, upstream: Upstream):
    """A list that is still being written to a pipe would have to end before anything is made."""
    with subprocess.Popen(
        [sys.executable, "-m", "app", "warm", "--lines", "--concurrency", "1", "-"],
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as piped:
        assert piped.stdin is not None
        piped.stdin.write("".join(f"This is line number {n}, which comes by a pipe.\n" for n in range(3)))
        piped.stdin.close()
        assert piped.stdout is not None
        assert "3 texts in mp3: 0 chunks were cached, 3 made" in piped.stdout.read()
    assert upstream.asked.total() == 3


def test_a_file_that_cannot_be_read_costs_nothing(folder: Path, upstream: Upstream):
    """The mistake would be told after an hour of work."""
    (folder / "bad.txt").write_bytes(b"Good.\n\xff\xfe\n")
    done = refrain(folder, "warm", "--lines", "prompts.txt", "bad.txt")
    assert done.returncode == 2
    assert "Cannot read bad.txt as UTF-8 text" in done.stderr
    assert upstream.asked.total() == 0

"""Real server processes on loopback, each with an embedded Valkey and a directory of its own."""

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
"""Seconds until a server that is not ready is given up."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `ready_after`: seconds from starting the process to 200 from /readyz."""

    port: int
    process: subprocess.Popen[bytes]
    data_dir: Path
    ready_after: float

    def rss(self) -> float:
        """Resident memory of the server's process, in MiB."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def get(self, path: str) -> bytes:
        """A small answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def counted(self, metric: str) -> float:
        """The sum of a metric over its labels, from /metrics; `metric` may end in some of its labels."""
        lines = re.findall(rf"^{re.escape(metric)}\S* (\S+)$", self.get("/metrics").decode(), re.MULTILINE)
        return sum(map(float, lines))

    def valkey(self) -> "redis.Redis":
        """A connection to its embedded Valkey."""
        home = self.data_dir / "valkey"
        note = home / "address"  # there only where the path of the data directory is too long for a socket
        path = note.read_text(encoding="utf-8") if note.exists() else str(home / "valkey.sock")
        return redis.Redis(unix_socket_path=path)


@contextmanager
def serving(
    *, settings: dict[str, str] | None = None, command: Sequence[str] = (), data_dir: Path | None = None
) -> Iterator[Server]:
    """A server with the default configuration but for `settings` (variables without their `REFRAIN_`).

    `command` runs another program in the place of `refrain serve`; `--port N` is appended. Two servers with one
    `data_dir` share a Valkey; left out, a new one.
    """
    with ExitStack() as stack:
        home = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="refrain-bench-", ignore_cleanup_errors=True)
            )
        )
        data_dir = data_dir or home / "data"
        port = _free_port()
        began = time.perf_counter()
        process = subprocess.Popen(
            [*(command or (str(Path(sys.executable).parent / "refrain"), "serve")), "--port", str(port)],
            cwd=home,
            env=_environment({"REDIS__DATA_DIR": str(data_dir), **(settings or {})}),
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, process)
        _wait(port, process)
        yield Server(port, process, data_dir, time.perf_counter() - began)


def _environment(settings: dict[str, str]) -> dict[str, str]:
    """Ours without its configuration, so that nobody's own settings are measured."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REFRAIN_")}
    ours = {f"REFRAIN_{name}": value for name, value in settings.items()}
    return inherited | ours | {"PYTHONPATH": str(ROOT)}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("The server did not become ready. `refrain doctor` says what is wrong.")
        time.sleep(0.005)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(PATIENCE)

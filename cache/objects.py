"""Objects in a directory or a bucket, through obstore: one way to read, write, delete and list them."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from cache.errors import Away, NoArchive

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

T = TypeVar("T")

SCHEMES = ("file", "memory", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
"""Of URLs that can be opened."""
_RETRIES: "RetryConfig" = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=1), "base": 2},
}
_FAULTS = (BaseError, OSError, ValueError)
_READ_BYTES = 16 * 2**20
_LISTED_AT_ONCE = 1000
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """One object that is there: its path, and its size in bytes."""

    path: str
    size: int


class Budget:
    """Bytes that may be in the air at a time. What is larger than all of it goes by itself."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Waits until there is room for so many."""
        size = min(size, self._size)
        async with self._freed:
            await self._freed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            self._free += size  # at once, whatever becomes of the waking
            async with self._freed:
                self._freed.notify_all()


class Objects:
    """A store of objects. What is written is there whole or not at all. Nothing here raises but `Away`.

    Nothing here has a time-out either: whoever calls says how long it may take.
    """

    def __init__(self, store: "ObjectStore") -> None:
        self._store = store
        self._budget = Budget(_READ_BYTES)

    async def likely(self, paths: Sequence[str]) -> Sequence[str]:
        """Those of the paths that are worth a `read`: all, where asking costs as much as reading."""
        return paths

    async def read(self, path: str) -> bytes | None:
        """The object, if it is there.

        Raises:
            Away: it cannot be read.
        """
        return await _asked(lambda: self._read(path))

    async def write(self, path: str, content: bytes) -> None:
        """Put the object there, in the place of what was.

        Raises:
            Away: it cannot be written.
        """
        if await _asked(lambda: obstore.put_async(self._store, path, content, use_multipart=False)) is None:
            raise Away("no such bucket")

    async def there(self, path: str) -> bool:
        """Whether there is such an object.

        Raises:
            Away: nobody can say.
        """
        return await _asked(lambda: obstore.head_async(self._store, path)) is not None

    async def delete(self, path: str) -> bool:
        """Take the object away; True if it was there.

        Raises:
            Away: it cannot be deleted.
        """
        # Some stores do not say whether there was anything to delete.
        if not await self.there(path):
            return False
        await _asked(lambda: obstore.delete_async(self._store, path))
        return True

    async def under(self, prefix: str) -> AsyncIterator[list[Stored]]:
        """All objects below a folder, some at a time, in no order.

        Raises:
            Away: they cannot be listed.
        """
        try:
            async for page in obstore.list(self._store, prefix, chunk_size=_LISTED_AT_ONCE):
                yield [Stored(one["path"], one["size"]) for one in page]
        except _FAULTS as error:
            raise Away(type(error).__name__) from error

    async def aclose(self) -> None:
        """Give back what is held. Idempotent."""

    async def _read(self, path: str) -> bytes:
        found = await obstore.get_async(self._store, path)
        async with self._budget.of(found.meta["size"]):
            return bytes(await found.bytes_async())


class Directory(Objects):
    """A directory of files. `root` is made if need be, readable by its owner only: it holds what users had said.

    Raises:
        NoArchive: it cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(root, os.W_OK | os.X_OK):
                raise PermissionError(root)
            super().__init__(LocalStore(root))
        except (OSError, BaseError) as error:
            raise NoArchive(
                f"The archive's directory {root} cannot be written: change redis.data_dir or cache.archive."
            ) from error
        self.root = root
        # Of its own: a file system that hangs must not take the threads in which sound is decoded.
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="archive")

    async def likely(self, paths: Sequence[str]) -> Sequence[str]:
        """Those that exist. Asking the system costs 3 us a file, opening it through obstore some 80 us."""
        return await self.in_thread(lambda: [path for path in paths if (self.root / path).exists()])

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Something that has to do with these files.

        Raises:
            Away: it failed.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, work)
        except OSError as error:
            raise Away(type(error).__name__) from error

    async def aclose(self) -> None:
        """Give back the threads."""
        self.threads.shutdown(wait=False, cancel_futures=True)


def open_objects(url: str) -> Objects:
    """The store of that URL; nothing is asked of it yet, but a directory is made. Credentials are the environment's.

    Raises:
        NoArchive: there is no such store.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Directory(Path(unquote(parts.path)))
    try:
        if parts.scheme == "memory":
            return Objects(from_url(url))
        return Objects(from_url(url, retry_config=_RETRIES))
    except (BaseError, ValueError) as error:
        raise NoArchive(
            f"cache.archive cannot be opened ({parts.scheme}://): check the URL, and that the environment has what "
            "this kind of store needs."
        ) from error


async def _asked(operation: Callable[[], Awaitable[T]]) -> T | None:
    """What came of it; None: there is no such object.

    Raises:
        Away: the store cannot do it at the moment. What it says of that may have paths and hosts in it: left out.
    """
    try:
        return await operation()
    except FileNotFoundError:
        return None
    except _FAULTS as error:
        raise Away(type(error).__name__) from error

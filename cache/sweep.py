"""Keeps an archive's directory within its bound, and free of what has expired."""

import asyncio
import contextvars
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from cache import value
from cache.errors import Away
from cache.objects import Directory
from cache.tending import keep_on

_FIRST_SECONDS = 60.0  # after the first write: a command that speaks one text has no time for a sweep
_EVERY_SECONDS = 3600.0
_SLACK = 16  # of the bound, a part of so many is written between two sweeps, and made free by one
_ABANDONED_SECONDS = 3600.0


class Sweep:
    """Deletes what has expired, then the oldest until a sixteenth of `limit` (bytes) is free.

    One sweep follows a minute after the first write, then one an hour, and one whenever a sixteenth of the bound was
    written by this process. So each process that shares the directory may pass the bound by a sixteenth meanwhile.
    Several processes that sweep at once do no harm. A file that has just been replaced may be deleted in the place of
    the old one, which costs one synthesis at the worst.
    """

    def __init__(
        self, directory: Directory, folder: str, limit: int, *, now: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._root = directory.root / folder
        self._limit = limit
        self._now = now
        self._counted: tuple[int, int] | None = None
        self._written = (0, 0)
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def held(self) -> tuple[int | None, int | None]:
        """Entries and bytes: the last count, and what this process has written since; None before the first."""
        if self._counted is None:
            return None, None
        return self._counted[0] + self._written[0], self._counted[1] + self._written[1]

    def wrote(self, size: int) -> None:
        """A file of so many bytes was written."""
        self._written = self._written[0] + 1, self._written[1] + size
        if self._written[1] >= self._limit / _SLACK:
            self._due.set()
        if self._task is None:
            self._task = asyncio.create_task(
                keep_on("sweeping the archive", self._run),
                name="archive-sweep",
                context=contextvars.Context(),
            )

    async def once(self) -> None:
        """Sweep now. While the directory cannot be read nothing happens."""
        before = self._written
        with suppress(Away):
            self._counted = await self._directory.in_thread(self._sweep)
            # What was written meanwhile may or may not be in the count: counted once more it does no harm.
            self._written = self._written[0] - before[0], self._written[1] - before[1]

    async def aclose(self) -> None:
        """End it. A sweep in its thread goes on to its end, and disturbs nobody."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause = _FIRST_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._due.wait()
            self._due.clear()
            await self.once()
            pause = _EVERY_SECONDS

    def _sweep(self) -> tuple[int, int]:
        """In a thread: files and bytes that are left."""
        kept: list[tuple[float, int, str]] = []
        now = self._now()
        for file, stat in _files(self._root):
            if _over(file, stat, now):
                _unlink(file)
            elif "#" not in file:  # not one that is just being written
                kept.append((stat.st_mtime, stat.st_size, file))
        total = sum(size for _, size, _ in kept)
        if total <= self._limit:
            return len(kept), total
        kept.sort(reverse=True)
        while kept and total > self._limit - self._limit // _SLACK:
            _, size, file = kept.pop()
            _unlink(file)
            total -= size
        return len(kept), total


def _files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder in _entries(root):
        for file in _entries(folder.path):
            with suppress(FileNotFoundError):  # another process sweeps, too
                yield file.path, file.stat()


def _entries(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from entries


def _over(file: str, stat: os.stat_result, now: float) -> bool:
    """Whether it has expired, or is what a writer left behind that died."""
    if "#" in file:
        return now - stat.st_mtime > _ABANDONED_SECONDS
    try:
        with open(file, "rb") as stored:  # noqa: PTH123 - a Path for each of a hundred thousand files
            ends = value.ends(stored.read(value.HEAD_BYTES))
    except OSError:  # gone meanwhile, or not for us to read
        return False
    return ends is None or ends <= now


def _unlink(file: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(file)  # noqa: PTH108 - likewise

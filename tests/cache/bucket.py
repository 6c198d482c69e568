"""What the tests of the archive share: a bucket that does as the test wants, and what lies in a directory."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cache.errors import Away
from cache.objects import Objects

A, B = "a" * 40, "b" * 40


class Clock:
    """Seconds, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time the test has set."""
        return self.now


class Bucket(Objects):
    """An object store that counts what is asked of it, and does as the test wants."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.writes: list[str] = []
        self.before_read: Callable[[], Awaitable[None]] = self._nothing
        self.before_write: Callable[[], Awaitable[None]] = self._nothing

    @staticmethod
    async def _nothing() -> None:
        pass

    async def likely(self, paths: Sequence[str]) -> Sequence[str]:
        """All."""
        return paths

    async def read(self, path: str) -> bytes | None:
        """After whatever the test does first."""
        self.reads.append(path)
        await self.before_read()
        return self.objects.get(path)

    async def write(self, path: str, content: bytes) -> None:
        """Likewise."""
        self.writes.append(path)
        await self.before_write()
        self.objects[path] = content

    async def there(self, path: str) -> bool:
        """Likewise as reading."""
        await self.before_read()
        return path in self.objects

    async def delete(self, path: str) -> bool:
        """At once."""
        return self.objects.pop(path, None) is not None

    async def aclose(self) -> None:
        """Nothing is held."""


async def hang() -> None:
    """For ever."""
    await asyncio.Event().wait()


async def refuse() -> None:
    """An error of the store."""
    raise Away("GenericError")


def stored_in(root: Path) -> list[Path]:
    """The files below a directory."""
    return sorted(path for path in root.rglob("*") if path.is_file())

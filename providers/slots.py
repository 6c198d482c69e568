"""What processes share of an account; and an account that a process has for itself."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol


class Ear(Protocol):
    """Hears when it is worth looking again. Use: `listen`, look, `wait`; and again."""

    async def listen(self) -> None:
        """From here on it is heard; what was heard before is forgotten."""
        ...

    async def wait(self, seconds: float) -> None:
        """Until it was heard since `listen`, or the time is over."""
        ...

    def wake(self) -> None:
        """Let `wait` return."""
        ...


class Slots(Protocol):
    """The slots of accounts."""

    async def take(self, account: str, token: str, most: int) -> bool:
        """Whether the token has one of `most` slots now; if not, it has its place in the queue. Asked again soon."""
        ...

    def leave(self, account: str, token: str) -> None:
        """It needs none any more, had or not."""
        ...

    def ear(self, account: str) -> AbstractAsyncContextManager[Ear]:
        """Hears, mostly, that others have given back one of the account's."""
        ...


class Own:
    """Slots of a process alone: its gate counts them, and nothing is to be asked."""

    async def take(self, account: str, token: str, most: int) -> bool:  # noqa: ARG002 - there are no others
        """See `Slots`."""
        return True

    def leave(self, account: str, token: str) -> None:
        """See `Slots`."""

    @asynccontextmanager
    async def ear(self, account: str) -> AsyncGenerator[Ear]:  # noqa: ARG002 - the gate wakes its own
        """See `Slots`."""
        yield _OwnEar()


class _OwnEar:
    def __init__(self) -> None:
        self._heard = asyncio.Event()

    async def listen(self) -> None:
        self._heard.clear()

    async def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()

    def wake(self) -> None:
        self._heard.set()

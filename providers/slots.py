"""What processes share of an account; and an account that a process has for itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

Heard = Callable[[float | None], None]
"""Is given what an account was found to bear at once, by anybody; None: nothing was."""


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

    async def take(
        self, account: str, token: str, most: int | None, heard: Heard, *, waits: bool = True
    ) -> bool:
        """Whether the token has one of `most` slots now; if not, and it `waits`, it has its place in the queue.

        Asked again soon. `most` None: no bound is known here. What others have found out counts, and is `heard`.
        """
        ...

    def leave(self, account: str, token: str) -> None:
        """It needs none any more, had or not."""
        ...

    def adapt(self, account: str, most: int | None, heard: Heard, *, refused: int) -> None:
        """Of what was let in one was refused for there being too many, or else spoken. What comes of it is `heard`.

        `refused`: how many this process had under way then; 0: it was spoken.
        """
        ...

    def ear(self, account: str) -> AbstractAsyncContextManager[Ear]:
        """Hears, mostly, that others have given back one of the account's."""
        ...


class Own:
    """Slots of a process alone: its gate counts them, and nothing is to be asked."""

    async def take(
        self,
        account: str,  # noqa: ARG002 - there are no others
        token: str,  # noqa: ARG002
        most: int | None,  # noqa: ARG002
        heard: Heard,  # noqa: ARG002
        *,
        waits: bool = True,  # noqa: ARG002
    ) -> bool:
        """See `Slots`."""
        return True

    def leave(self, account: str, token: str) -> None:
        """See `Slots`."""

    def adapt(self, account: str, most: int | None, heard: Heard, *, refused: int) -> None:
        """See `Slots`; the allowance has found out by itself."""

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

"""How long a provider is waited for: the part of its time-outs that every networked adapter shares."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from providers.errors import TimedOut

T = TypeVar("T")


class Patience:
    """The time one utterance may take, in seconds: `first_byte` until sound begins, `total` over all of it.

    Only the time spent waiting for the provider counts. A listener that takes a minute between two pieces has
    not made the provider slow, so each wait is timed by itself and what it took is added up.
    """

    def __init__(
        self,
        *,
        provider: str,
        first_byte: float,
        total: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`provider` is the configured name, for the message; `clock` counts seconds from anywhere."""
        self._provider = provider
        self._first_byte = first_byte
        self._total = total
        self._clock = clock
        self._spent = 0.0

    async def first(self, call: Callable[[], Awaitable[T]]) -> T:
        """Wait for a step before the first byte of sound; the steps share `first_byte` seconds.

        Raises:
            TimedOut: they took longer.
        """
        return await self._wait(call, min(self._first_byte, self._total))

    async def more(self, call: Callable[[], Awaitable[T]]) -> T:
        """Wait for a step after it; all steps share `total` seconds.

        Raises:
            TimedOut: they took longer.
        """
        return await self._wait(call, self._total)

    async def _wait(self, call: Callable[[], Awaitable[T]], limit: float) -> T:
        began = self._clock()
        try:
            async with asyncio.timeout(max(0.0, limit - self._spent)):
                return await call()
        except TimeoutError:
            raise TimedOut(
                f"{self._provider} took longer than {limit:g} s.", provider=self._provider
            ) from None
        finally:
            self._spent += self._clock() - began

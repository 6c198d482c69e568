"""How many WebSockets a user has open, over all replicas: each has a place, for as long as its process says so."""

import asyncio
import contextvars
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from app.errors import TooManyConcurrent
from app.settings.tables import LimitTable
from app.users.settling import SCRIPTS
from app.users.store import named
from app.users.user import User
from cache.errands import Errands
from cache.errors import Away
from cache.link import Answer
from cache.tending import keep_on, tell_of

LEASE: Final = 15.0
"""Seconds after which a place of a process that was killed is free again; the living lengthen it every third of it."""


class Places:
    """Counts for all replicas. `limits_of` says what a plan has; `alone`: see `settings.Limits`."""

    def __init__(
        self,
        errands: Errands,
        limits_of: Callable[[str], LimitTable],
        alone: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        """`token` gives a new string at each call."""
        self._errands = errands
        self._limits_of = limits_of
        self._alone = alone
        self._sleep = sleep
        self._token = token
        self._occupy = errands.link.script("occupy", SCRIPTS)
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        self._lengthening: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def place(self, user: User) -> AsyncIterator[None]:
        """One for him while the block lasts.

        Raises:
            TooManyConcurrent: he has as many open as he may; counted by this process alone, where Redis is away.
        """
        most = self._limits_of(user.plan).concurrent_websockets
        if most is None:
            yield
            return
        token = self._token()
        # Before the first await: one that is being asked for has its place, too.
        self._open[user.id].add(token)
        try:
            came = await self._tell(user.id, most, LEASE, token)
            here = len(self._open[user.id])
            if here > max(1.0, most * self._alone()) if isinstance(came, Away) else not came:
                raise TooManyConcurrent(
                    f"You have as many WebSockets open as you may, which is {most}. Close one.",
                    retry_after=1.0,
                )
            self._lengthen_from_now_on()
            yield
        finally:
            # Also when cancelled, and when the answer was lost: it may have been a yes. Nobody waits for it, and lost
            # on the way it is free again with the end of its lease.
            tokens = self._open[user.id]
            tokens.discard(token)
            if not tokens:
                del self._open[user.id]
            self._tell(user.id, -1, 0.0, token)

    async def aclose(self) -> None:
        """Lengthen none any more. Idempotent."""
        if self._lengthening is not None:
            self._lengthening.cancel()
            await asyncio.wait([self._lengthening])

    def _tell(self, user: str, most: int, lease: float, *tokens: str) -> "asyncio.Future[Answer | Away]":
        return self._errands.run(
            self._occupy, [named("websockets", user)], [most, int(lease * 1000), *tokens]
        )

    def _lengthen_from_now_on(self) -> None:
        if self._lengthening is None:
            work = keep_on("websockets", self._lengthen_all)
            self._lengthening = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
            self._lengthening.add_done_callback(tell_of("websockets"))

    async def _lengthen_all(self) -> None:
        while self._open:
            await self._sleep(LEASE / 3)
            for user, tokens in tuple(self._open.items()):
                # Lost, it is in time for the next one.
                await self._tell(user, -1, LEASE, *sorted(tokens))
        # No await between finding none and this: who comes from now on is lengthened by another.
        self._lengthening = None

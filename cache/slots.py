"""Slots that processes share: so many of a name may be held at once over all of them, each by a lease."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine

from cache.errors import Away
from cache.lease import Arguments
from cache.link import RedisLink
from cache.tending import tell_of

LEASE_SECONDS = 3.0
"""A process that dies gives its slots back after so long; one that lives lengthens them every third of it."""
PATIENCE_SECONDS = 0.5
"""Who waits and has not asked for so long waits no more."""


class Slots:
    """Holding and queueing in Redis; without it, or while it is away, there are no others."""

    def __init__(
        self,
        link: RedisLink | None,
        *,
        lease: float = LEASE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`lease` in seconds."""
        self._link = link
        self._lease = lease
        self._sleep = sleep
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None
        if link is not None:
            self._take, self._renew, self._leave = (
                link.script(f"slots_{one}") for one in ("take", "renew", "leave")
            )

    async def take(self, account: str, token: str, most: int) -> bool:
        """Whether the caller, known by its token, has one of `most` slots of this account now, in one round trip.

        If not, it has its place in the queue, as long as it asks again within `PATIENCE_SECONDS`. True while Redis is
        away. Whoever asks, `leave`s, whatever came of it.
        """
        link = self._link
        if link is None:
            return True
        arguments: Arguments = [token, most, int(self._lease * 1000), int(PATIENCE_SECONDS * 1000)]
        try:
            taken = await link.call(lambda: self._take(self._keys(link, account), arguments))
        except Away:
            return True
        if taken:
            self._held[account].add(token)
            if self._renewing is None:
                self._renewing = self._spawn(self._renew_all(link))
        return bool(taken)

    def leave(self, account: str, token: str) -> None:
        """Give it back, or wait no more; soon, and nobody has to wait for it."""
        self._held[account].discard(token)
        if self._link is not None:
            self._spawn(self._left(self._link, account, token))

    async def aclose(self) -> None:
        """Lengthen nothing any more; what is being given back is. Idempotent."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _keys(self, link: RedisLink, account: str) -> list[str]:
        return [link.keys.of(thing, account) for thing in ("slots", "slots-waiting", "slots-seen")]

    async def _left(self, link: RedisLink, account: str, token: str) -> None:
        try:
            await link.call(lambda: self._leave(self._keys(link, account), [token]))
        except Away:
            return  # it runs out by itself

    async def _renew_all(self, link: RedisLink) -> None:
        try:
            while any(self._held.values()):
                await self._sleep(self._lease / 3)
                for account, tokens in tuple(self._held.items()):
                    if tokens:
                        await self._lengthen(link, account, sorted(tokens))
        finally:
            # No await between finding none and this: who takes one from now on begins anew.
            self._renewing = None

    async def _lengthen(self, link: RedisLink, account: str, tokens: list[str]) -> None:
        arguments: Arguments = [int(self._lease * 1000), *tokens]
        try:
            await link.call(lambda: self._renew([link.keys.of("slots", account)], arguments))
        except Away:
            return  # in time for the next, or they run out: then more are spoken with than should be, for a while

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # An empty context: it is nobody's request.
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_of("slots"))
        return task

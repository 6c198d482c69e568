"""Slots that processes share: so many of a name may be held at once over all of them, each by a lease."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from cache.errors import Away
from cache.lease import Arguments
from cache.link import RedisLink
from cache.notices import Ear, Notices
from cache.tending import tell_of

T = TypeVar("T")
Heard = Callable[[float | None], None]
"""Is given what an account was found to bear at once; None: nothing was."""

_KEYS = ("slots", "slots-waiting", "slots-seen", "slots-bound")

LEASE_SECONDS = 3.0
"""A process that dies gives its slots back after so long; one that lives lengthens them every third of it."""
PAUSE_SECONDS = 1.0
"""Between two halvings of what an account bears."""
REMEMBERED_SECONDS = 3600.0
"""What an account bears is found out anew when nobody has used it for so long."""
PATIENCE_SECONDS = 0.5
"""Who waits and has not asked for so long waits no more."""


class Slots:
    """Holding and queueing in Redis; while it is away there are no others."""

    def __init__(
        self,
        link: RedisLink,
        notices: Notices,
        *,
        lease: float = LEASE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`lease` in seconds."""
        self._link = link
        self._notices = notices
        self._lease = lease
        self._sleep = sleep
        self._asking: dict[str, asyncio.Task[bool]] = {}
        self._queued: set[str] = set()
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._take, self._renew, self._leave, self._adapt = (
            link.script(f"slots_{one}") for one in ("take", "renew", "leave", "adapt")
        )

    async def take(
        self, account: str, token: str, most: int | None, heard: Heard, *, waits: bool = True
    ) -> bool:
        """Whether the caller, known by its token, has one of `most` slots of this account now, in one round trip.

        `most` None: the caller knows no bound. Where a lower one was found out (`adapt`), that counts; `heard` is
        given it, or None, unless Redis is away.
        If not, and it `waits`, it has its place in the queue, as long as it asks again within `PATIENCE_SECONDS`.
        True while Redis is away: who is in the queue already looks twice. Whoever asks, `leave`s, whatever came of it.
        """
        # In a task that nobody's leaving ends: what was asked is asked, and must not be answered behind the leave.
        asking = self._asking[token] = self._spawn(self._ask(account, token, most, heard, waits=waits))
        return await asyncio.shield(asking)

    async def _ask(self, account: str, token: str, most: int | None, heard: Heard, *, waits: bool) -> bool:
        lease, patience = int(self._lease * 1000), int(PATIENCE_SECONDS * 1000)
        arguments: Arguments = [token, most or 0, lease, patience, int(waits)]
        try:
            taken, found = await self._link.call(lambda: self._take(self._keys(account), arguments))
            heard(_number(found))
        except Away:
            if token in self._queued:
                # One lost reply is no reason to ask an account that is known to be full: most often Redis is back.
                self._queued.discard(token)
                return False
            taken = True
        if not taken:
            self._queued.add(token)
            return False
        # Also where nobody answered: it may have been taken all the same.
        self._held[account].add(token)
        if self._renewing is None:
            self._renewing = self._spawn(self._renew_all())
        return True

    def leave(self, account: str, token: str) -> None:
        """Give it back, or wait no more; soon, and nobody has to wait for it."""
        self._spawn(self._left(account, token))

    def adapt(self, account: str, most: int | None, heard: Heard, *, refused: int) -> None:
        """One was refused for there being too many at once, or else spoken: what all processes go by adapts.

        `refused`: how many this process had under way then, of which others may have been given back by the time this
        arrives; 0: it was spoken.
        Soon, and nobody has to wait for it; `heard` is then given what was found out, as by `take`. A refusal halves
        it, once in `PAUSE_SECONDS` for the whole fleet; as many successes as it is high raise it by one, up to `most`.
        """
        self._spawn(self._adapted(account, most, heard, refused=refused))

    def ear(self, account: str) -> AbstractAsyncContextManager[Ear]:
        """Hears that somebody, here or elsewhere, gave one back while others waited."""
        return self._notices.ear(self._channel(account))

    async def aclose(self) -> None:
        """Lengthen nothing any more; what is being given back is. Idempotent."""
        # Again: what is being asked may yet begin to lengthen.
        while self._tasks:
            if self._renewing is not None:
                self._renewing.cancel()
            await asyncio.wait(set(self._tasks))

    def _keys(self, account: str) -> list[str]:
        return [self._link.keys.of(thing, account) for thing in _KEYS]

    def _channel(self, account: str) -> str:
        return self._link.keys.of("slots-notice", account)

    async def _left(self, account: str, token: str) -> None:
        if (asking := self._asking.pop(token, None)) is not None:
            await asyncio.wait([asking])
        self._queued.discard(token)
        self._held[account].discard(token)
        arguments: Arguments = [token, self._channel(account)]
        try:
            await self._link.call(lambda: self._leave(self._keys(account)[:3], arguments))
        except Away:
            return  # it runs out by itself

    async def _adapted(self, account: str, most: int | None, heard: Heard, *, refused: int) -> None:
        held, _, _, bound = self._keys(account)
        pause, remembered = int(PAUSE_SECONDS * 1000), int(REMEMBERED_SECONDS * 1000)
        arguments: Arguments = [refused, most or 0, pause, remembered]
        try:
            heard(_number(await self._link.call(lambda: self._adapt([held, bound], arguments))))
        except Away:
            return  # each process goes by what it finds itself

    async def _renew_all(self) -> None:
        try:
            while any(self._held.values()):
                await self._sleep(self._lease / 3)
                for account, tokens in tuple(self._held.items()):
                    if tokens:
                        await self._lengthen(account, sorted(tokens))
        finally:
            # No await between finding none and this: who takes one from now on begins anew.
            self._renewing = None

    async def _lengthen(self, account: str, tokens: list[str]) -> None:
        arguments: Arguments = [int(self._lease * 1000), *tokens]
        try:
            await self._link.call(lambda: self._renew(self._keys(account)[:1], arguments))
        except Away:
            return  # in time for the next, or they run out: then more are spoken with than should be, for a while

    def _spawn(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        # An empty context: it is nobody's request.
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_of("slots"))
        return task


def _number(answer: bytes) -> float | None:
    return float(answer) if answer else None

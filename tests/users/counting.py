"""Limits and processes to count by, for tests."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from app.errors import RateLimited
from app.settings.tables import NO_LIMITS, LimitTable
from app.users.limits import Due, Hold, Limits
from app.users.tally import Tally
from app.users.user import User
from cache.errands import Errands
from cache.link import RedisLink
from tests.cache.conftest import Server
from tests.http.servers import until


def having(**limits: object) -> LimitTable:
    """Only these limits."""
    return NO_LIMITS.model_copy(update=limits)


class Clock:
    """Moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@asynccontextmanager
async def counting(
    errands: Errands, table: LimitTable, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Limits]:
    """One process' limits."""
    limits = Limits(errands, lambda _: table, clock=clock)
    yield limits
    await limits.aclose()


@asynccontextmanager
async def replicas(
    valkey: Server, table: LimitTable, count: int, *clocks: Callable[[], float]
) -> AsyncIterator[list[Limits]]:
    """As many, each with connections of its own; the first ones by these clocks."""
    async with AsyncExitStack() as stack:
        made = []
        for clock in (*clocks, *[time.monotonic] * (count - len(clocks))):
            link = RedisLink(valkey.url, timeout=5)
            stack.push_async_callback(link.aclose)
            errands = Errands(link)
            stack.push_async_callback(errands.aclose)
            made.append(await stack.enter_async_context(counting(errands, table, clock)))
        yield made


async def admitted(limits: Limits, user: User) -> bool:
    """Whether a request is."""
    try:
        await limits.admit(limits.enter(user))
    except RateLimited:
        return False
    return True


async def reserved(limits: Limits, user: User, due: Due, tally: Tally | None = None) -> Hold:
    """Entered and reserved."""
    entrance = limits.enter(user)
    await limits.admit(entrance)
    return await limits.reserve(entrance, due, tally or Tally())


async def settled(limits: Limits) -> None:
    """Until what has ended is counted."""
    await until(lambda: limits.settled)

"""How much a user may have: counted by scripts on Redis' own clock, exactly, over all replicas.

A request is let in by `enter`, which rides to Redis with the look-up of what it asks for, so that a hit stays one
trip. Only what has to be made is reserved, in a trip of its own before anybody is called, and settled at its end.
"""

import asyncio
import contextvars
import functools
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from app.errors import UsersUnavailable
from app.settings.tables import LimitTable
from app.users.buckets import STEP, Buckets
from app.users.rates import Entrance, Rates
from app.users.refusals import refusal
from app.users.settling import SCRIPTS, Settlement, Settling, counters
from app.users.store import named
from app.users.tally import Line, Tally
from app.users.told import Left
from app.users.user import User
from cache.errands import Errands
from cache.errors import Away
from cache.tending import keep_on, tell_of

LEASE: Final = 15.0
"""Seconds after which a place of a process that was killed is free again; the living lengthen it every third of it."""
MILLION: Final = 1_000_000
_CLOSING_SECONDS: Final = 2.0
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Due:
    """What a request would come to at the most: characters to be spoken anew, and their price."""

    characters: int
    cost: float


NOTHING: Final = Due(0, 0.0)


def charged(due: Due, found: int, limits: LimitTable) -> Due:
    """What is set aside for it: where hits are charged, with the characters that were `found`."""
    return Due(due.characters + found, due.cost) if limits.charge_hits else due


@dataclass(slots=True)
class Hold:
    """What is reserved for one request, until it is settled; once, however often that is asked for."""

    _settle: Callable[[Line], None]
    _tally: Tally
    _is_settled: bool = False

    def settle(self) -> None:
        """Charge what the tally has now, and give back the rest: soon, and nobody waits for it."""
        if not self._is_settled:
            self._is_settled = True
            self._settle(self._tally.sum)


class Limits:
    """Counts for all replicas. `limits_of` says what a plan has; `alone`: see `settings.Limits`."""

    def __init__(
        self,
        errands: Errands,
        limits_of: Callable[[str], LimitTable],
        alone: Callable[[], float] = lambda: 0.25,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        """`clock` is monotonic, in seconds; `token` gives a new string at each call."""
        self._errands = errands
        self._limits_of = limits_of
        self._alone = alone
        self._sleep = sleep
        self._token = token
        self._buckets = Buckets(clock)
        self._rates = Rates(errands, self._buckets, alone, clock=clock, sleep=sleep)
        self._reserve, self._lengthen = (
            errands.link.script(name, SCRIPTS) for name in ("reserve", "lengthen")
        )
        self._settling = Settling(errands, sleep)
        # Kept as long as any chunk of his has it, or waits for it.
        self._places: WeakValueDictionary[tuple[str, int], asyncio.Semaphore] = WeakValueDictionary()
        self._speaking: defaultdict[str, set[str]] = defaultdict(set)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lengthening: asyncio.Task[None] | None = None

    def places(self, user: User) -> AbstractAsyncContextManager[object]:
        """For his chunks that are being made in this process; the same for all of his requests."""
        count = self._limits_of(user.plan).concurrent_chunks
        if count is None:
            return nullcontext()
        kept = self._places.get((user.id, count))
        if kept is None:
            kept = self._places[user.id, count] = asyncio.Semaphore(count)
        return kept

    def recall(self, user: User) -> None:
        """As `Rates.recall`."""
        self._rates.recall(user, self._limits_of(user.plan))

    def enter(self, user: User) -> Entrance:
        """As `Rates.enter`."""
        return self._rates.enter(user, self._limits_of(user.plan))

    async def admit(self, entrance: Entrance) -> None:
        """As `Rates.admit`."""
        await self._rates.admit(entrance)

    async def reserve(
        self, entrance: Entrance, due: Due, tally: Tally, *, further: bool = False, once: str = ""
    ) -> "Hold":
        """Set it aside until the hold is settled, by what is on the `tally`'s bill then.

        `further`: the request has its place among those at once already, or needs none. `once`: the id of something
        that may be begun again by another process (`Idempotency.once`): within a day it is reserved, and charged, once.

        Raises:
            CharactersExceeded, TooManyConcurrent, BudgetExceeded: nothing is reserved.
            UsersUnavailable: there is a budget, and it cannot be checked.
        """
        user = entrance.user
        if _unlimited(entrance.limits):
            return Hold(lambda _: None, tally)
        token = once or self._token()
        settle = functools.partial(self._settle_soon, entrance, token, kept=_DAY if once else None)
        hold = Hold(settle, tally)
        # Before the first await: a request that is being asked for has its place, too.
        if not further:
            self._speaking[user.id].add(token)
        places = None if further else entrance.limits.concurrent_requests
        try:
            await self._ask(entrance, due, token, places)
        except BaseException:
            # Also when cancelled, and when the answer was lost: it may have been a yes. Of what others go on with it
            # stays for them: once settled, they would have it for nothing.
            if once:
                self._leave(user.id, token)
            else:
                hold.settle()
            raise
        return hold

    def charge(self, user: User, line: Line) -> None:
        """What was made for a request of his that is settled already; soon, and nobody waits for it.

        Who begins what others want, too, and leaves before its provider speaks, has it made at his cost all the same.
        """
        entrance = Entrance(user, self._limits_of(user.plan), None)
        if _unlimited(entrance.limits):
            return
        token = self._token()
        money = round(line.spend * MILLION)
        self._speaking[user.id].add(token)
        self._errands.run(
            self._reserve, counters(user.id, token), [token, line.charged, money, -1, -1, -1, -1, 1]
        )
        # Behind it on the way, or in time: who comes first of the two, it counts once.
        self._settle_soon(entrance, token, line)

    async def warm(self) -> None:
        """Have the scripts known before the first request: sent whole, one may be overtaken by what comes after it."""
        await self._rates.warm()
        await self._errands.run(self._reserve, counters("", "warm"), ["warm", 0, 0, -1, -1, -1, -1, 1])
        await self._settling.warm()
        await self._errands.run(self._lengthen, [named("speaking", "")], [1])

    @property
    def settled(self) -> bool:
        """Whether what has ended is counted."""
        return self._settling.settled

    async def aclose(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Settle what has ended, for so many seconds or a few. Idempotent."""
        if self._lengthening is not None:
            self._lengthening.cancel()
        await self._rates.aclose()
        await self._settling.aclose(min(seconds, _CLOSING_SECONDS))
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _ask(self, entrance: Entrance, due: Due, token: str, places: int | None) -> None:
        user, limits = entrance.user, entrance.limits
        money = math.ceil(due.cost * MILLION)
        arguments: list[str | bytes | int] = [
            token, due.characters, money,
            _or_none(limits.characters_per_minute), _or_none(limits.characters_per_day),
            _or_none(places),
            -1 if limits.spend_per_month is None else round(limits.spend_per_month * MILLION),
            int(LEASE * 1000),
        ]  # fmt: skip
        came = await self._errands.run(self._reserve, counters(user.id, token), arguments)
        if isinstance(came, Away):
            self._ask_nobody(entrance, due, places)
            return
        if places is not None and self._lengthening is None:
            self._lengthening = self._spawn(keep_on("places", self._lengthen_all))
        said, milliseconds, left, refilled = came[0].decode(), int(came[1]), int(came[2]), int(came[3])
        if limits.characters_per_minute is not None:
            entrance.characters = Left(left, refilled / 1000)
        if said != "ok":
            raise entrance.refuse(refusal(said, limits, None if milliseconds < 0 else milliseconds / 1000))

    def _ask_nobody(self, entrance: Entrance, due: Due, places: int | None) -> None:
        """This process' own share; money that cannot be counted is not spent."""
        user, limits = entrance.user, entrance.limits
        if limits.spend_per_month is not None and due.cost > 0:
            raise UsersUnavailable(
                "Your budget cannot be checked at the moment, so nothing new is spoken. Try again.",
                retry_after=1.0,
            )
        share = self._alone()
        if places is not None and len(self._speaking[user.id]) > max(1.0, places * share):
            raise entrance.refuse(refusal("concurrent", limits, None))
        if (room := limits.characters_per_minute) is not None:
            poured = self._buckets.pour(f"characters {user.id}", due.characters, max(1.0, room * share))
            entrance.characters = Left(poured.left, poured.seconds or 0.0)
            if not poured.ok:
                raise entrance.refuse(refusal("minute", limits, poured.seconds or STEP))

    def _settle_soon(self, entrance: Entrance, token: str, total: Line, kept: float | None = None) -> None:
        user = entrance.user.id
        self._leave(user, token)
        minute = entrance.limits.characters_per_minute
        money = round(total.spend * MILLION)
        self._settling.add(Settlement(user, token, total.charged, money, minute, kept))

    def _leave(self, user: str, token: str) -> None:
        tokens = self._speaking[user]
        tokens.discard(token)  # of a further hold there is none
        if not tokens:
            del self._speaking[user]

    async def _lengthen_all(self) -> None:
        while self._speaking:
            await self._sleep(LEASE / 3)
            for user, tokens in tuple(self._speaking.items()):
                # Lost, it is in time for the next one.
                arguments: list[str | bytes | int] = [int(LEASE * 1000), *sorted(tokens)]
                await self._errands.run(self._lengthen, [named("speaking", user)], arguments)
        # No await between finding none and this: who begins from now on is lengthened by another.
        self._lengthening = None

    def _spawn(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_of("limits"))
        return task


def _unlimited(limits: LimitTable) -> bool:
    return (
        limits.characters_per_minute is None
        and limits.characters_per_day is None
        and limits.concurrent_requests is None
        and limits.spend_per_month is None
    )


def _or_none(limit: int | None) -> int:
    return -1 if limit is None else limit

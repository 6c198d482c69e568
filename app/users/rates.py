"""Requests in a minute: asked for, paid for ahead, given back, refused."""

import asyncio
import contextvars
import functools
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.errors import OverLimit
from app.settings.tables import LimitTable
from app.users.buckets import Buckets
from app.users.purse import KEPT, REMEMBERED, Purse, Purses
from app.users.refusals import too_many
from app.users.settling import SCRIPTS
from app.users.store import named
from app.users.told import Left, Pairs, headers
from app.users.user import User
from cache.errands import Errands
from cache.errors import Away
from cache.link import Answer

_PATIENCE: Final = 1.5
"""Seconds in which what others hold is given back, or lost: they have `purse.KEPT`, and a second if they are slow."""


@dataclass(slots=True)
class Entrance:
    """Of one request: on its way to Redis, or back."""

    user: User
    limits: LimitTable
    asked: "asyncio.Future[Answer | Away] | None"
    waits: bool = False
    """For what is being paid for ahead: one of those is meant for him."""
    is_in: bool = False
    """He is: whoever looks again for what he asked for has not asked once more."""
    requests: Left | None = None
    characters: Left | None = None

    @property
    def headers(self) -> Pairs:
        """What the answer says of limits."""
        return headers(self.limits, self.requests, self.characters)

    def refuse(self, error: OverLimit) -> OverLimit:
        """The error with what is left of all that there is."""
        error.headers = self.headers
        return error


@dataclass(frozen=True, slots=True)
class _Told:
    """What came of asking. `held`: seconds after which to ask again, as others hold some; 0: they do not."""

    ok: bool
    left: Left
    seconds: float | None
    held: float


class Rates:
    """Of all users, counted with all replicas. `alone`: see `settings.Limits`."""

    def __init__(
        self,
        errands: Errands,
        buckets: Buckets,
        alone: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` is monotonic, in seconds."""
        self._errands = errands
        self._buckets = buckets
        self._alone = alone
        self._clock = clock
        self._sleep = sleep
        self._name = secrets.token_hex(8)
        self._tickets = itertools.count()
        self._script = errands.link.script("enter", SCRIPTS)
        self._purses = Purses(clock)
        self._watched: dict[Purse, asyncio.TimerHandle] = {}
        self._is_closed = False

    def recall(self, user: User, limits: LimitTable) -> None:
        """Before anything is done for him: who was refused a moment ago need not have his text read, or Redis asked.

        Raises:
            RateLimited: he was, and it would be said again.
        """
        room = limits.requests_per_minute
        seconds = None if room is None else self._purses.of(user.id, room).refused(self._clock())
        if room is not None and seconds is not None:
            raise Entrance(user, limits, None, requests=Left(0, seconds)).refuse(too_many(room, seconds))

    def enter(self, user: User, limits: LimitTable) -> Entrance:
        """Ask for a request of this user's to be let in; begun before the look-up it goes along with it."""
        room = limits.requests_per_minute
        if room is None:
            return Entrance(user, limits, None, is_in=True)
        now = self._clock()
        purse = self._purses.of(user.id, room)
        if not purse.ask(now):
            if purse.wait():
                return Entrance(user, limits, None, waits=True)
            return Entrance(user, limits, self._ask(purse, 1, purse.more(now)))
        if purse.paid <= purse.low and (more := purse.more(now)):
            self._ask(purse, 0, more)
        return Entrance(user, limits, None, is_in=True, requests=purse.standing(now))

    async def admit(self, entrance: Entrance) -> None:
        """Until it is known; whoever was not let in is told so, once nobody holds anything of his that is not used.

        Raises:
            RateLimited: it was one too many.
        """
        room = entrance.limits.requests_per_minute
        if room is None or entrance.is_in:
            return
        purse = self._purses.of(entrance.user.id, room)
        if entrance.waits and await _paid_for(purse):
            entrance.is_in, entrance.requests = True, purse.standing(self._clock())
            return
        asked = entrance.asked or self._ask(purse, 1, purse.more(self._clock()))
        told, waited = await self._hear(asked, purse), 0.0
        while not (told.ok or await _paid_for(purse)):
            if purse.returning is not None:
                # Overtaken by what asked for this one. Not a shield: that has no turn for noting what is done already.
                await asyncio.wait([purse.returning])
            elif not told.held or waited >= _PATIENCE:
                purse.refuse(self._clock(), told.seconds or 0.0)
                entrance.requests = told.left
                raise entrance.refuse(too_many(room, told.seconds))
            else:
                await self._sleep(told.held)
                waited += told.held
            told = await self._hear(self._ask(purse, 1, 0), purse)
        entrance.is_in = True
        entrance.requests = told.left if told.ok else purse.standing(self._clock())

    async def warm(self) -> None:
        """Have the script known before the first request: sent whole, it may be overtaken by what comes after it."""
        await self._errands.run(self._script, _places(""), [1, 0, 0, self._name])

    async def aclose(self) -> None:
        """Give back what is paid for ahead, as others serve those users from now on. Idempotent."""
        self._is_closed = True
        for timer in self._watched.values():
            timer.cancel()
        # First what is being paid for: it has the same ticket, and goes back with the rest.
        paying = [purse.paying for purse in self._watched if purse.paying is not None]
        await asyncio.gather(*map(asyncio.shield, paying))
        watched, self._watched = self._watched, {}
        await asyncio.gather(*map(self._give_back, watched))

    def _ask(self, purse: Purse, cost: int, more: int) -> "asyncio.Future[Answer | Away]":
        """For one request or for none, and with it for so many more."""
        # His other keys may have another room, and something held for it here.
        whose = f"{self._name}:{purse.room}:"
        arguments: list[str | bytes | int] = [purse.room, cost, more, whose]
        if purse.paying is None and (more or (purse.ticket and not purse.paid)):
            # Of what is used up the ticket is taken back: others would wait for it.
            used_up = "" if purse.paid else purse.ticket
            # The same as long as something is held: it is never taken back by what overtakes another on its way.
            purse.ticket = (purse.ticket or f"{whose}{next(self._tickets)}") if more else ""
            arguments += [used_up, purse.ticket, int(KEPT * 1000)]
        asked = self._errands.run(self._script, _places(purse.user), arguments)
        if more:
            purse.paying, purse.promised = asyncio.get_running_loop().create_future(), more
            # Heard here: the request may have ended by then.
            asked.add_done_callback(functools.partial(self._paid, purse))
        return asked

    async def _hear(self, asked: "asyncio.Future[Answer | Away]", purse: Purse) -> _Told:
        """What Redis says, or while it is away this process for its share."""
        # Shielded: it may bring what others have paid for ahead, too.
        came = await asyncio.shield(asked)
        if isinstance(came, Away):
            share = max(1.0, purse.room * self._alone())
            poured = self._buckets.pour(f"requests {purse.user}", 1, share)
            return _Told(poured.ok, Left(poured.left, poured.seconds or 0.0), poured.seconds, 0.0)
        ok, left, milliseconds, paid, _, held = map(int, came)
        seconds = milliseconds / 1000
        purse.hear(self._clock(), left, seconds)
        # No longer than for any ticket: those of a Redis that has failed over are by another clock.
        return _Told(bool(ok), Left(left + paid, seconds), seconds, min(held / 1000, KEPT))

    def _paid(self, purse: Purse, asked: "asyncio.Future[Answer | Away]") -> None:
        """As many of the next requests as Redis says are paid for."""
        paying, purse.paying = purse.paying, None
        came = asked.result()
        if isinstance(came, Away) or not came[3]:
            purse.low = 0
        else:
            now = self._clock()
            purse.pay(now, int(came[3]), int(came[4]))
            purse.hear(now, int(came[1]), int(came[2]) / 1000)
            if purse not in self._watched:
                self._watch(purse, KEPT)
        if paying is not None and not paying.done():
            paying.set_result(None)

    def _watch(self, purse: Purse, seconds: float) -> None:
        if self._is_closed:
            self._give_back(purse)
            return
        # In an empty context: it goes on for as long as he asks, and would keep the request that it began with.
        self._watched[purse] = asyncio.get_running_loop().call_later(
            seconds, self._look_at, purse, context=contextvars.Context()
        )

    def _look_at(self, purse: Purse) -> None:
        """Whether it is time to give back what was not used, or to say that all was."""
        left = purse.paid_at + KEPT - self._clock()
        if left > 0 or purse.paying is not None:
            self._watch(purse, max(left, KEPT / 10))
            return
        del self._watched[purse]
        self._give_back(purse)

    def _give_back(self, purse: Purse) -> "asyncio.Future[Answer | Away]":
        """What was not used in time. Lost on the way, it is refilled with the rest."""
        ticket, unused = purse.ticket, purse.empty()
        arguments: list[str | bytes | int] = [
            purse.room, 0, -unused, self._name, ticket, "", 0, purse.paid_of,
        ]  # fmt: skip
        purse.returning = returning = self._errands.run(self._script, _places(purse.user), arguments)
        returning.add_done_callback(purse.has_returned)
        return returning


async def _paid_for(purse: Purse) -> bool:
    """Whether it was meanwhile, or is by what is under way: of a crowd that comes at once none may be left over."""
    if not purse.paid and purse.paying is not None:
        await asyncio.shield(purse.paying)
    return purse.take()


@functools.lru_cache(REMEMBERED)
def _places(user: str) -> tuple[str, str]:
    return named("requests", user), named("held", user)

"""One request of a user's, from the door to the bill."""

from contextvars import Token
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from app.settings.tables import LimitTable
from app.users import tally
from app.users.idempotency import Claim
from app.users.limits import NOTHING, Due, Hold, Limits, charged
from app.users.rates import Entrance
from app.users.tally import Counting, Line, Tally
from app.users.told import Pairs
from app.users.usage import Usage
from app.users.user import User


class Visit:
    """What is made within it is noted in its tally; it is charged once, when it is closed.

    Leaving the block closes it, unless somebody else goes on with what it has begun and will.
    """

    def __init__(self, user: User, limits: Limits, usage: Usage, claim: Claim | None = None) -> None:
        """`claim`: what is known of its Idempotency-Key."""
        self.user = user
        self.claim = claim
        self.tally = Tally(partial(limits.places, user), self.afford)
        self._limits = limits
        self._usage = usage
        self._entrance: Entrance | None = None
        self._holds: list[Hold] = []
        self._reserved = NOTHING
        self._has_place = False
        self._token: Token[Tally | None] | None = None
        self._is_lent = False
        self._is_closed = False

    def __enter__(self) -> Self:
        self._token = tally.begin(self.tally)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            tally.end(self._token)
        if not self._is_lent:
            self.close()

    def ask(self) -> None:
        """Have it asked whether one more request may be, in the trip that is about to leave; once."""
        if self._entrance is None:
            self._entrance = self._limits.enter(self.user)
            self.tally.counting = self._counting(self._entrance.limits)

    async def admit(self) -> None:
        """Until that is known.

        Raises:
            RateLimited: it may not.
        """
        if self._entrance is not None:
            try:
                await self._limits.admit(self._entrance)
            except BaseException:
                self._is_refused()
                raise

    async def reserve(self, due: Due, found: int) -> None:
        """Set aside what it may come to, and where hits are charged as many characters as were `found`; and a place.

        Of what was set aside before, and not made of it already, only what it is more.

        Raises:
            CharactersExceeded, TooManyConcurrent, BudgetExceeded, UsersUnavailable: as `Limits.reserve`.
        """
        made, wanted = self.tally.made, self._due(due, found)
        had = 0 if self.tally.counting == "nothing" else made.charged
        await self._reserve(Due(wanted.characters + had, wanted.cost + made.spend), place=True)

    async def reserve_hit(self, characters: int) -> None:
        """Set aside what is found already, and only to be heard: for that nobody needs a place among those at once.

        Raises:
            CharactersExceeded, BudgetExceeded, UsersUnavailable: as `Limits.reserve`.
        """
        await self._reserve(self._due(NOTHING, characters), place=False)

    async def _reserve(self, due: Due, *, place: bool) -> None:
        try:
            await self._set_aside(due, place=place)
        except BaseException:
            self._is_refused()
            raise

    async def afford(self, characters: int, cost: float) -> None:
        """Set aside what has to be made besides: what was found is gone when it is read.

        Raises:
            CharactersExceeded, BudgetExceeded, UsersUnavailable: as `Limits.reserve`. Who listens already is not cut
                for being one of too many.
        """
        more = characters if self.tally.counting == "made" else 0
        due = Due(self._reserved.characters + more, self._reserved.cost + cost)
        await self._set_aside(due, place=False)

    async def _set_aside(self, due: Due, *, place: bool) -> None:
        place = place and not self._has_place
        before = self._reserved
        more = Due(max(0, due.characters - before.characters), max(0.0, due.cost - before.cost))
        if self._entrance is None or (self._holds and more == NOTHING and not place):
            return
        # All that is made is charged by the first.
        bill = Tally() if self._holds else self.tally
        self._holds.append(await self._limits.reserve(self._entrance, more, bill, further=not place))
        self._has_place = self._has_place or place
        self._reserved = Due(before.characters + more.characters, before.cost + more.cost)

    @property
    def charge(self) -> int:
        """Characters that it comes to so far."""
        return self.tally.charge

    def _counting(self, limits: LimitTable) -> Counting:
        if not limits.charge_hits:
            return "made"
        # Where all are charged it is the first of those that were sent under one key, whoever had it made.
        return "all" if self.claim is None or self.claim.standing == "first" else "nothing"

    def _due(self, new: Due, found: int) -> Due:
        if self._entrance is None or self.tally.counting == "nothing":
            return Due(0, new.cost)
        return charged(new, found, self._entrance.limits)

    @property
    def headers(self) -> Pairs:
        """What the answer says of limits."""
        return () if self._entrance is None else self._entrance.headers

    def _is_refused(self) -> None:
        """Who is not let in has not had what was found for him meanwhile."""
        self.tally.look_again()

    def lend(self) -> None:
        """Somebody else closes it: what goes on behind the request is its, too."""
        self._is_lent = True

    def close(self) -> None:
        """Charge what was made, give back what was not, and note it. Idempotent.

        What it has begun and others wait for is made at its cost: until that has ended, all stays set aside.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self.tally.once_made(self._settle)

    def _settle(self) -> None:
        for hold in self._holds:
            hold.settle()
        self._usage.note(self.user.id, self.tally)
        # No way back to this visit: each request would be a circle, which only the garbage collector undoes.
        self.tally.afford = tally.anything
        self.tally.late = _Behind(self._limits, self._usage, self.user).add


@dataclass(frozen=True, slots=True)
class _Behind:
    """Bills what is made for a request that has its bill already."""

    limits: Limits
    usage: Usage
    user: User

    def add(self, voice: str, provider: str, line: Line) -> None:
        """No request of its own, and what of it was found has been paid for."""
        if not line.charged and not line.spend:
            return
        self.limits.charge(self.user, line)
        late = Tally()
        late.add(voice, provider, line._replace(chunks=0, hits=0))
        self.usage.note(self.user.id, late)

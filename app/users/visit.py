"""One request of a user's, from the door to the bill."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from app.users.limits import Due, Entrance, Hold, Limits, charged
from app.users.tally import Tally, tallying
from app.users.told import Pairs
from app.users.usage import Usage
from app.users.user import User


class Visit:
    """What is made within it is noted in its tally; it is charged once, when it is closed.

    Leaving the block closes it, unless somebody else goes on with what it has begun and will.
    """

    def __init__(self, user: User, limits: Limits, usage: Usage) -> None:
        self.user = user
        self.tally = Tally()
        self._limits = limits
        self._usage = usage
        self._entrance: Entrance | None = None
        self._hold: Hold | None = None
        self._tallying = tallying(self.tally)
        self._is_lent = False
        self._is_closed = False

    def __enter__(self) -> Self:
        self._tallying.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tallying.__exit__(kind, error, trace)
        if not self._is_lent:
            self.close()

    def ask(self) -> None:
        """Have it asked whether one more request may be, in the trip that is about to leave; once."""
        if self._entrance is None:
            self._entrance = self._limits.enter(self.user)
            self.tally.charges_hits = self._entrance.limits.charge_hits

    async def admit(self) -> None:
        """Until that is known.

        Raises:
            RateLimited: it may not.
        """
        if self._entrance is not None:
            with self._unless_refused():
                await self._limits.admit(self._entrance)

    async def reserve(self, due: Due, found: int) -> None:
        """Set aside what it may come to, and where hits are charged as many characters as were `found`; once.

        Raises:
            CharactersExceeded, TooManyConcurrent, BudgetExceeded, UsersUnavailable: as `Limits.reserve`.
        """
        if self._entrance is not None and self._hold is None:
            wanted = charged(due, found, self._entrance.limits)
            with self._unless_refused():
                self._hold = await self._limits.reserve(self._entrance, wanted, self.tally)

    @property
    def charges_hits(self) -> bool:
        """Whether what costs nothing counts all the same."""
        return self.tally.charges_hits

    @property
    def charge(self) -> int:
        """Characters that it comes to so far."""
        return self.tally.charge

    @property
    def headers(self) -> Pairs:
        """What the answer says of limits."""
        return () if self._entrance is None else self._entrance.headers

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        """Who is not let in has not had what was found for him meanwhile."""
        try:
            yield
        except BaseException:
            self.tally.look_again()
            raise

    def lend(self) -> None:
        """Somebody else closes it: what goes on behind the request is its, too."""
        self._is_lent = True

    def close(self) -> None:
        """Charge what was made, give back what was not, and note it. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._hold is not None:
            self._hold.settle()
        self._usage.note(self.user.id, self.tally)

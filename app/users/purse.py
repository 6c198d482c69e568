"""Requests paid for ahead, so that a user who asks many times a second does not wait for Redis each time.

Nothing is let in that was not counted before. What is ahead is as much as he asked for in the moment before, and a
quarter of what his bucket has left at the most. It goes back when it was not used within a moment; and as Redis knows
who holds some, nobody is refused for what another holds: he waits that long, and asks again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.users.told import Left
from cache.errors import Away
from cache.link import Answer

PAUSE: Final = 1.0
"""Seconds without a request after which he has just come again; and over which it is seen how fast he asks."""
AHEAD: Final = 0.2
"""Seconds whose requests are paid for."""
_SHORTEST: Final = 0.02
"""Seconds from whose requests it is said how many there will be; of fewer it is no more than ten times as many."""
KEPT: Final = 0.25
"""Seconds after which those that were not used go back."""
REFUSED: Final = 1.0
"""Seconds for which who was refused is refused at once: meanwhile he may have been given back something, or more."""
REMEMBERED: Final = 10_000
"""Users that are kept in mind."""


@dataclass(slots=True, eq=False)
class Purse:
    """Of one user with one room, in one process. Times are of the monotonic clock, in seconds."""

    user: str
    room: int
    since: float
    last: float
    asked: int = 0
    paid: int = 0
    paid_at: float = 0.0
    paid_of: int = 0
    """When the bucket that they are of was refilled last, by Redis' clock: what is refilled since is not theirs."""
    paid_last: int = 0
    """How many of them are: the others were refilled long ago, and would be had twice if they went back."""
    low: int = 0
    """With so many left the next ones are paid for, before anybody has to wait for that."""
    ticket: str = ""
    """Under which Redis knows that something is held here, or was until it was used up."""
    left: int = 0
    refilled: float = 0.0
    full_until: float = 0.0
    refused_until: float = 0.0
    paying: "asyncio.Future[None] | None" = None
    """Done when it is known what was paid for: until then nobody else asks for more than himself."""
    returning: "asyncio.Future[Answer | Away] | None" = None
    """What was not used is on its way back: neither here nor to be had yet."""
    promised: int = 0
    """Of what is being paid for, how much nobody waits for yet."""

    def ask(self, now: float) -> bool:
        """One more request; whether it was paid for."""
        lasted = now - self.since
        if now - self.last > PAUSE:
            self.since, self.asked = now, 0
        elif lasted > PAUSE:
            # Long ago counts less and less: who slows down would have as much held for him as before.
            self.since, self.asked = now - lasted / 2, self.asked // 2
        self.last = now
        self.asked += 1
        return self.take()

    def take(self) -> bool:
        """One of those that are paid for, if there is one."""
        if not self.paid:
            return False
        self.paid -= 1
        return True

    def wait(self) -> bool:
        """Whether there is one for him in what is being paid for: sooner than if he asked by himself."""
        if self.paying is None or not self.promised:
            return False
        self.promised -= 1
        return True

    def more(self, now: float) -> int:
        """How many to pay for with the next one that is asked for: none with the first."""
        if self.paid > self.low or self.paying is not None:
            return 0
        return int((self.asked - 1) * AHEAD / max(_SHORTEST, now - self.since))

    def pay(self, now: float, count: int, of: int) -> None:
        """So many are paid for, `of` this bucket."""
        self.paid_last = count if of != self.paid_of else min(self.paid, self.paid_last) + count
        self.paid += count
        self.paid_at, self.paid_of, self.low = now, of, count // 4

    def hear(self, now: float, left: int, seconds: float) -> None:
        """Beside those that are paid for so many may still be had, more in so many seconds."""
        self.left, self.refilled = left, now + seconds

    def standing(self, now: float) -> Left:
        """What is left, as far as it is known here."""
        return Left(self.left + self.paid, self.refilled - now)

    def empty(self) -> int:
        """How many of those that were not used go back; it has none any more, nor a ticket."""
        unused = min(self.paid, self.paid_last)
        self.paid, self.ticket = 0, ""
        return unused

    def has_returned(self, returning: "asyncio.Future[Answer | Away]") -> None:
        """Or is lost. Something else may be on its way by now."""
        if self.returning is returning:
            self.returning = None

    def refuse(self, now: float, seconds: float) -> None:
        """There is nothing left, nor will be for so many seconds."""
        self.full_until = now + seconds
        self.refused_until = now + min(seconds, REFUSED)

    def refused(self, now: float) -> float | None:
        """In how many seconds there may be something again, where it is no use to ask now."""
        # Paid for it may be all the same: answers that come on two connections cross.
        return self.full_until - now if now < self.refused_until and not self.paid else None


class Purses:
    """Those of a process. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._purses: OrderedDict[tuple[str, int], Purse] = OrderedDict()

    def of(self, user: str, room: int) -> Purse:
        """His, empty if it is new.

        With another of his keys he may have another room: a large one pays for nothing of what a small one refuses, nor
        is it refused with that.
        """
        purse = self._purses.get((user, room))
        if purse is None:
            now = self._clock()
            purse = self._purses[user, room] = Purse(user, room, now, now)
            while len(self._purses) > REMEMBERED:
                # What is paid in it goes back in its time all the same.
                self._purses.popitem(last=False)
        else:
            self._purses.move_to_end((user, room))
        return purse

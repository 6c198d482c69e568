"""Requests paid for ahead, so that a user who asks many times a second does not wait for Redis each time.

Nothing is let in that was not counted before. What is ahead is as much as is used in a moment; only of who has asked
steadily for a while, and has half of his bucket left, where that is more than all replicas can let in before it goes
back: whatever comes at once, and however it is spread over them, nobody is refused for what another holds and does not
use. What is not used in that moment goes back, unless it has been refilled by then.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

STEADY: Final = 0.05
"""Seconds of asking after which the next requests are paid for ahead."""
PAUSE: Final = 1.0
"""Seconds without a request after which he has just come again."""
AHEAD: Final = 0.1
"""Seconds whose requests are."""
LARGE: Final = 5_000
"""Requests per minute at least, of which some are paid for ahead: half of it would have to go in a quarter second."""
PART: Final = 20
"""At most this part of a bucket."""
REFUSED: Final = 1.0
"""Seconds for which who was refused is refused at once: meanwhile he may have been given back something, or more."""
REMEMBERED: Final = 10_000
"""Users that are kept in mind."""


@dataclass(slots=True)
class Purse:
    """Of one user with one room, in one process. Times are of the monotonic clock, in seconds."""

    since: float
    last: float
    asked: int = 0
    paid: int = 0
    paid_at: float = 0.0
    paid_of: int = 0
    """When the bucket that they are of was refilled last, by Redis' clock: what is refilled since is not theirs."""
    left: int = 0
    refilled: float = 0.0
    full_until: float = 0.0
    refused_until: float = 0.0
    is_asking: bool = False
    is_watched: bool = False

    def ask(self, now: float) -> bool:
        """One more request; whether it was paid for."""
        if now - self.last > PAUSE:
            self.since, self.asked = now, 0
        self.last = now
        self.asked += 1
        return self.take()

    def take(self) -> bool:
        """One of those that are paid for, if there is one."""
        if not self.paid:
            return False
        self.paid -= 1
        return True

    def more(self, now: float, room: int) -> int:
        """How many to pay for with the next one that is asked for."""
        lasted = now - self.since
        if room < LARGE or lasted < STEADY or self.paid or self.is_asking:
            return 0
        return min(int(self.asked / lasted * AHEAD), room // PART)

    def pay(self, now: float, count: int, of: int, left: int, seconds: float) -> None:
        """So many are paid for, `of` this bucket; beside them `left` may still be had, more in so many seconds."""
        self.paid += count
        self.paid_at, self.paid_of = now, of
        self.left, self.refilled = left, now + seconds

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
            purse = self._purses[user, room] = Purse(now, now)
            while len(self._purses) > REMEMBERED:
                # What is paid in it was given back long ago, unless ten thousand have asked in a moment: then it is
                # refilled in a minute.
                self._purses.popitem(last=False)
        else:
            self._purses.move_to_end((user, room))
        return purse

"""Requests paid for ahead, so that a user who asks many times a second does not wait for Redis each time.

Nothing is let in that was not counted before. What is ahead is as much as is used in a moment; only of who has asked
steadily for a while, and has half of his bucket left: a crowd that comes at once is counted one by one, and so is the
end of a bucket. What is not used in that moment goes back.
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
PART: Final = 20
"""At most this part of a bucket."""
REFUSED: Final = 1.0
"""Seconds for which who was refused is refused at once: meanwhile he may have been given back something, or more."""
REMEMBERED: Final = 10_000
"""Users that are kept in mind."""


@dataclass(slots=True)
class Purse:
    """Of one user, in one process. Times are of the monotonic clock, in seconds."""

    since: float
    last: float
    asked: int = 0
    paid: int = 0
    paid_at: float = 0.0
    left: int = 0
    refilled: float = 0.0
    full_until: float = 0.0
    refused_until: float = 0.0
    refused_room: int = 0
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
        if lasted < STEADY or self.paid or self.is_asking:
            return 0
        return min(int(self.asked / lasted * AHEAD), room // PART)

    def pay(self, now: float, count: int, left: int, seconds: float) -> None:
        """So many are paid for; beside them `left` may still be had, and more in so many seconds."""
        self.paid += count
        self.paid_at = now
        self.left, self.refilled = left, now + seconds

    def refuse(self, now: float, seconds: float, room: int) -> None:
        """There is nothing left of this room, nor will be for so many seconds."""
        self.full_until = now + seconds
        self.refused_until = now + min(seconds, REFUSED)
        self.refused_room = room

    def refused(self, now: float, room: int) -> float | None:
        """In how many seconds there may be something again, where it is no use to ask now.

        With another of his keys he may have more room: what that of one plan refuses, that of a larger one may not.
        """
        return self.full_until - now if now < self.refused_until and room <= self.refused_room else None


class Purses:
    """Those of a process. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._purses: OrderedDict[str, Purse] = OrderedDict()

    def of(self, user: str) -> Purse:
        """His, empty if it is new."""
        purse = self._purses.get(user)
        if purse is None:
            now = self._clock()
            purse = self._purses[user] = Purse(now, now)
            while len(self._purses) > REMEMBERED:
                # What is paid in it was given back long ago, unless ten thousand have asked in a moment: then it is
                # refilled in a minute.
                self._purses.popitem(last=False)
        else:
            self._purses.move_to_end(user)
        return purse

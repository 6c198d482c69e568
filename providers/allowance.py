"""How many utterances an account may have at once, as far as anybody has said or it has been found out."""

import math
import time
from collections.abc import Callable

Tell = Callable[[int], None]
"""Is told how many were under way when one was refused for there being too many; 0: one was spoken."""
DEAF = 2.0
"""Seconds of refusals alone after which it is not for there being too many."""
PAUSE = 1.0
"""Seconds between two halvings: the refusals of one burst are one."""


class Allowance:
    """Goes up by one for as many successes as it is high, and down by half on a refusal.

    So does TCP's window (D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms", 1989).
    Bounded by what is configured, and by what the vendor says; without either it is unbounded until the vendor
    refuses for the first time. Where processes share the account, what they have found out together is `heard`, and
    takes the place of what was found out here.
    """

    def __init__(self, most: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` is what is configured. `clock` is in seconds."""
        self._most = most
        self._said: int | None = None
        self._found: float | None = None
        self._halved = -math.inf
        self._refused: float | None = None
        self._clock = clock
        self._tell: Tell = _nobody

    def share(self, tell: Tell) -> None:
        """Have others told of what changes it."""
        self._tell = tell

    @property
    def known(self) -> int | None:
        """What is configured or said, whatever has been found out."""
        known = [bound for bound in (self._most, self._said) if bound is not None]
        return min(known) if known else None

    @property
    def now(self) -> int | None:
        """At least 1; None: no bound is known."""
        known = [bound for bound in (self.known, self._found) if bound is not None]
        return max(1, int(min(known))) if known else None

    def heard(self, found: float | None) -> None:
        """What all processes together have found out; None: nothing, or it is over."""
        self._found = found

    def said(self, at_once: int) -> None:
        """The vendor says how many; it is believed."""
        self._said = max(1, at_once)

    def succeeded(self) -> None:
        """One was spoken."""
        self._refused = None
        if self._found is not None:
            self._found += 1 / self._found
            if self._found >= (self.known or math.inf):
                self._found = None
            self._tell(0)

    def refused(self, under_way: int) -> bool:
        """One was refused for there being too many, with so many under way; whether fewer may mend it.

        Not where it was one alone, nor where nothing but refusals came for `DEAF` seconds.
        """
        now = self._clock()
        if self._refused is None:
            self._refused = now
        if self.now == 1 or now - self._refused > DEAF:
            return False
        if now - self._halved >= PAUSE:
            self._halved = now
            self._found = max(1.0, (self.now or under_way) / 2)
            self._tell(max(1, under_way))
        return True


def _nobody(_: int) -> None:
    """There are no others."""

"""How often more may be asked than listeners ask: a tenth of the traffic, so that an outage is not made worse.

Of that provider again, which is a retry, or of another in its place, which is a hedge.
"""

SHARE = 0.1
"""Retries, or hedges, for each utterance."""
RESERVE = 3.0
"""Retries that a provider has at the start, and the most that are saved up: a quiet one may be asked again, too."""


class RetryBudget:
    """Of one provider in this process. A budget by share, as in Finagle's `RetryBudget` (Twitter, 2016)."""

    def __init__(self) -> None:
        self.taken = 0
        """Retries so far."""
        self._left = RESERVE

    def first(self) -> None:
        """An utterance is asked for the first time."""
        self._left = min(RESERVE, self._left + SHARE)

    def take(self) -> bool:
        """Whether one may be asked for again; if so, it is taken."""
        # Rounded: ten tenths are one.
        if round(self._left, 6) < 1:
            return False
        self._left -= 1
        self.taken += 1
        return True

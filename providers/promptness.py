"""How soon a provider begins to speak, as far as this process has seen."""

import math
from collections import deque

LAST = 200
"""Utterances that are looked back on."""
LEAST = 20
"""Fewer say nothing about the slowest."""


class Promptness:
    """One provider's last utterances' seconds from being asked, a slot at hand, until their first sound."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=LAST)

    def took(self, seconds: float) -> None:
        """One began to be heard after that."""
        self._seen.append(seconds)

    @property
    def p50(self) -> float | None:
        """Half of them began within so many seconds; None: none is known."""
        return self._within(0.5, least=1)

    @property
    def p95(self) -> float | None:
        """Nineteen of twenty began within so many seconds; None: too few are known."""
        return self._within(0.95, least=LEAST)

    def _within(self, share: float, least: int) -> float | None:
        if len(self._seen) < least:
            return None
        return sorted(self._seen)[math.ceil(share * len(self._seen)) - 1]

"""How soon providers begin to speak, as far as this process has seen."""

import math
from collections import deque

LAST = 200
"""Utterances that are looked back on."""
LEAST = 20
"""Fewer say nothing about the slowest."""


class Promptness:
    """The last utterances' seconds until their first sound, by provider."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    def took(self, provider: str, seconds: float) -> None:
        """One began to be heard after that."""
        self._seen.setdefault(provider, deque(maxlen=LAST)).append(seconds)

    def p95(self, provider: str) -> float | None:
        """Nineteen of twenty began within so many seconds; None: too few are known."""
        seen = self._seen.get(provider, ())
        if len(seen) < LEAST:
            return None
        return sorted(seen)[math.ceil(0.95 * len(seen)) - 1]

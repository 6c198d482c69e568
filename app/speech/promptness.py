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

    def p50(self, provider: str) -> float | None:
        """Half of them began within so many seconds; None: none is known."""
        return self._within(0.5, provider, least=1)

    def p95(self, provider: str) -> float | None:
        """Nineteen of twenty began within so many seconds; None: too few are known."""
        return self._within(0.95, provider, least=LEAST)

    def _within(self, share: float, provider: str, least: int) -> float | None:
        seen = self._seen.get(provider, ())
        if len(seen) < least:
            return None
        return sorted(seen)[math.ceil(share * len(seen)) - 1]

"""How long clips are kept, and from when on they are made anew."""

import random
from collections.abc import Callable
from typing import Final

from cache.interface import Entry

SPREAD: Final = 0.1
"""Lifetimes end within the last tenth: what was made in one minute, by `refrain warm` say, must not end in one."""


class Lifetimes:
    """In seconds. `soft` is None where clips are never made anew before they expire."""

    def __init__(
        self,
        first_choice: float,
        fallback: float,
        soft: float | None = None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Sound by the voice's first choice lives longer than a stand-in's. `chance` gives from 0 up to 1."""
        self._first_choice = first_choice
        self._fallback = fallback
        self._soft = soft
        self._chance = chance

    def hard(self, *, first_choice: bool) -> float:
        """How long a clip that is made now is kept."""
        longest = self._first_choice if first_choice else self._fallback
        return longest * (1 - SPREAD * self._chance())

    def is_stale(self, digest: str, entry: Entry, now: float) -> bool:
        """Whether it is to be made anew, at `now` in epoch seconds. All replicas agree: the digest is the chance."""
        if self._soft is None or now - entry.made_at <= self._soft * (1 - SPREAD):
            return False
        return now - entry.made_at > self._soft * (1 - SPREAD * int(digest[:8], 16) / 2**32)

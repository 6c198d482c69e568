"""What a user is told of his limits: the IETF draft's `RateLimit` headers, and OpenAI's."""

import functools
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.settings.tables import LimitTable

Pairs = tuple[tuple[str, str], ...]
_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Left:
    """How much is left of one limit, and in how many seconds there is more."""

    amount: int
    seconds: float

    @property
    def whole_seconds(self) -> int:
        """One at least: who comes back too early is refused again."""
        return max(1, math.ceil(self.seconds))


class _Names(NamedTuple):
    """Of one limit, by the IETF's draft and by OpenAI."""

    ietf: str
    limit: str
    remaining: str
    reset: str

    @classmethod
    def of(cls, ietf: str, openai: str) -> "_Names":
        """Put together once: they are in every answer."""
        return cls(ietf, *(f"x-ratelimit-{what}-{openai}" for what in ("limit", "remaining", "reset")))


_REQUESTS: Final = _Names.of("requests", "requests")
_CHARACTERS: Final = _Names.of("characters", "tokens")


def headers(limits: LimitTable, requests: Left | None, characters: Left | None) -> Pairs:
    """Of the limits per minute, as far as it is known what is left of them."""
    of_requests, of_characters = limits.requests_per_minute, limits.characters_per_minute
    if of_requests is None and of_characters is None:
        return ()
    standing: list[str] = []
    pairs: list[tuple[str, str]] = []
    if requests is not None and of_requests is not None:
        _tell(standing, pairs, _REQUESTS, of_requests, requests)
    if characters is not None and of_characters is not None:
        _tell(standing, pairs, _CHARACTERS, of_characters, characters)
    policy = ("RateLimit-Policy", _policy(of_requests, of_characters))
    return (policy, ("RateLimit", ", ".join(standing)), *pairs) if standing else (policy,)


def _tell(standing: list[str], pairs: list[tuple[str, str]], names: _Names, room: int, left: Left) -> None:
    seconds = left.whole_seconds
    standing.append(f'"{names.ietf}";r={left.amount};t={seconds}')
    pairs += ((names.limit, str(room)), (names.remaining, str(left.amount)), (names.reset, f"{seconds}s"))


@functools.lru_cache(256)
def _policy(requests: int | None, characters: int | None) -> str:
    rooms = ((_REQUESTS, requests), (_CHARACTERS, characters))
    return ", ".join(f'"{names.ietf}";q={room};w={_MINUTE}' for names, room in rooms if room is not None)

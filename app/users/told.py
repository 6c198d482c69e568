"""What a user is told of his limits: the IETF draft's `RateLimit` headers, and OpenAI's."""

import functools
import math
from dataclasses import dataclass
from typing import Final

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


def headers(limits: LimitTable, requests: Left | None, characters: Left | None) -> Pairs:
    """Of the limits per minute, as far as it is known what is left of them."""
    if limits.requests_per_minute is None and limits.characters_per_minute is None:
        return ()
    known = []
    if requests is not None and limits.requests_per_minute is not None:
        known.append(("requests", "requests", limits.requests_per_minute, requests))
    if characters is not None and limits.characters_per_minute is not None:
        known.append(("characters", "tokens", limits.characters_per_minute, characters))
    pairs = [("RateLimit-Policy", _policy(limits.requests_per_minute, limits.characters_per_minute))]
    if known:
        standing = ", ".join(f'"{name}";r={left.amount};t={left.whole_seconds}' for name, _, _, left in known)
        pairs.append(("RateLimit", standing))
    for _, openai, room, left in known:
        pairs += (
            (f"x-ratelimit-limit-{openai}", str(room)),
            (f"x-ratelimit-remaining-{openai}", str(left.amount)),
            (f"x-ratelimit-reset-{openai}", f"{left.whole_seconds}s"),
        )
    return tuple(pairs)


@functools.lru_cache(256)
def _policy(requests: int | None, characters: int | None) -> str:
    rooms = (("requests", requests), ("characters", characters))
    return ", ".join(f'"{name}";q={room};w={_MINUTE}' for name, room in rooms if room is not None)

"""What a user is told of his limits: the IETF draft's `RateLimit` headers, and OpenAI's."""

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
    told = [
        (name, openai, room, left)
        for name, openai, room, left in (
            ("requests", "requests", limits.requests_per_minute, requests),
            ("characters", "tokens", limits.characters_per_minute, characters),
        )
        if room is not None
    ]
    policy = ", ".join(f'"{name}";q={room};w={_MINUTE}' for name, _, room, _ in told)
    pairs = [("RateLimit-Policy", policy)]
    known = [(name, openai, room, left) for name, openai, room, left in told if left is not None]
    if known:
        standing = ", ".join(f'"{name}";r={left.amount};t={left.whole_seconds}' for name, _, _, left in known)
        pairs.append(("RateLimit", standing))
    for _, openai, room, left in known:
        pairs += [
            (f"x-ratelimit-limit-{openai}", str(room)),
            (f"x-ratelimit-remaining-{openai}", str(left.amount)),
            (f"x-ratelimit-reset-{openai}", f"{left.whole_seconds}s"),
        ]
    return tuple(pairs)

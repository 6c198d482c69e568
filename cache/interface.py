"""What a tier of the cache is, and what it holds."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the cache: bytes, what is known of them, and when they were made.

    `meta` is a small JSON object, opaque here; `payload` is the sound (or a manifest). `made_at` is in
    seconds since the epoch, `ttl` in seconds from then. `checksum` names the payload's bytes (32 hex digits).
    Made by `cache.value.new_entry`, which computes the checksum.
    """

    meta: bytes
    payload: bytes
    made_at: float
    ttl: float
    checksum: str

    def left(self, now: float) -> float:
        """Seconds of life left at `now` (seconds since the epoch); 0 or less: expired.

        Never more than `ttl`: a maker whose clock runs ahead must not lengthen the entry's life elsewhere.
        """
        return min(self.made_at - now, 0.0) + self.ttl


@dataclass(frozen=True, slots=True)
class TierStatistics:
    """What a tier has done since it was made. `bytes` and `entries` are None where it cannot know cheaply.

    `dropped` are those that were to be written and were not, since too many waited.
    """

    hits: int = 0
    misses: int = 0
    entries: int | None = None
    bytes: int | None = None
    errors: int = 0
    damaged: int = 0
    dropped: int = 0


class Tier(Protocol):
    """A place where entries are kept by digest. A digest is 40 hexadecimal digits.

    A tier never raises for trouble of its own (a server that is down, a damaged value): look-ups then find
    nothing, writes store nothing, and the tier counts it.
    """

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """One entry or None for each digest, in order; damaged or expired ones are None.

        One round trip for all of an ordinary speech (64 digests).
        """
        ...

    async def put(self, digest: str, entry: Entry) -> None:
        """Store; replaces. An entry that has expired, or is too large for the tier, is not stored."""
        ...

    async def delete(self, digest: str) -> bool:
        """Forget; True if it was there."""
        ...

    def statistics(self) -> TierStatistics:
        """What happened so far."""
        ...

    async def aclose(self) -> None:
        """Give back connections. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class FlightStatistics:
    """How flights went so far: `led` were made here, `followed` elsewhere, `found` were there already."""

    under_way: int = 0
    led: int = 0
    followed: int = 0
    found: int = 0
    failed: int = 0
    abandoned: int = 0
    refused: int = 0

"""What a tier of the cache is, and what it holds."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the cache: bytes, what is known of them, and when they were made.

    `meta` is a small JSON object, opaque here; `payload` is the sound (or a manifest). `made_at` is in seconds
    since the epoch, `ttl` in seconds from then. `checksum` names the payload's bytes (32 hexadecimal digits).
    """

    meta: bytes
    payload: bytes
    made_at: float
    ttl: float
    checksum: str


class Tier(Protocol):
    """A place where entries are kept by digest. A digest is 40 hexadecimal digits.

    A tier never raises for trouble of its own (a server that is down, a damaged value): look-ups then find
    nothing, writes store nothing, and the tier counts it.
    """

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """One entry or None for each digest, in order; one round trip; damaged or expired ones are None."""
        ...

    async def put(self, digest: str, entry: Entry) -> None:
        """Store; replaces."""
        ...

    async def delete(self, digest: str) -> bool:
        """Forget; True if it was there."""
        ...

    async def aclose(self) -> None:
        """Give back connections. Idempotent."""
        ...

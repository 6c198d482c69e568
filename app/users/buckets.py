"""The limits of one process by itself, for as long as the Redis that counts does not answer."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

STEP: Final = 10.0
"""Seconds between two refills; six of them fill a bucket, as in `scripts/enter.lua`."""
REMEMBERED: Final = 10_000
"""Users that are kept in mind."""


@dataclass(slots=True)
class _Bucket:
    since: float
    used: float = 0.0


@dataclass(frozen=True, slots=True)
class Poured:
    """What came of it. `left` is what may still be had, `seconds` until there is more, or until it would do."""

    ok: bool
    left: int
    seconds: float | None


class Buckets:
    """By name. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def pour(self, name: str, cost: int, room: float) -> Poured:
        """Take `cost` out of what the bucket of `room` per minute still has; all of it or nothing."""
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(now))
        self._buckets.move_to_end(name)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        refill = room / 6
        ticks = math.floor((now - bucket.since) / STEP)
        bucket.used = max(0.0, bucket.used - ticks * refill)
        bucket.since = bucket.since + ticks * STEP if bucket.used else now
        if cost > room:
            return Poured(ok=False, left=max(0, int(room - bucket.used)), seconds=None)
        if bucket.used + cost > room + 1e-6:
            wanted = math.ceil((bucket.used + cost - room) / refill - 1e-6)
            left = max(0, int(room - bucket.used))
            return Poured(ok=False, left=left, seconds=bucket.since + wanted * STEP - now)
        bucket.used += cost
        return Poured(ok=True, left=int(room - bucket.used), seconds=bucket.since + STEP - now)

"""One of two processes whose listeners want the same cold clip.

`python -m benchmarks.follower DESIGN REDIS DIGEST ASKERS` says `ready`, begins when a line comes on standard input,
and prints what its listeners saw as JSON: moments on the monotonic clock, which all processes of a machine share.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import redis.asyncio as redis

from cache.cache import open_cache
from cache.flight import Made

PIECES, PIECE, PACE = 15, b"\x5a" * 1200, 0.02
"""A synthesis of 300 ms that gives 20 ms of 480 kbit/s sound every 20 ms."""
POLL_FIRST, POLL_FACTOR, POLL_MOST, POLL_LOCK = 0.05, 1.25, 0.5, 10


@dataclass(slots=True)
class Seen:
    """When, in seconds: `made` and `end` are the maker's first and last piece; `first` and `done` what others heard."""

    first: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    made: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)


async def _synthesis(emit: Callable[[bytes], None], seen: Seen) -> bytes:
    for _ in range(PIECES):
        await asyncio.sleep(PACE)
        emit(PIECE)
        seen.made = seen.made or [time.monotonic()]
    seen.end.append(time.monotonic())
    return PIECE * PIECES


async def ours(
    url: str, digest: str, askers: int, seen: Seen, begin: Awaitable[object], *, live: bool
) -> None:
    """As the service does it; not `live`: the sound is given at its end alone."""
    cache = open_cache(memory_bytes=64 << 20, redis_url=url)

    async def make(emit: Callable[[bytes], None]) -> Made:
        sound = await _synthesis(emit if live else lambda _: None, seen)
        return Made(b"{}", sound, 60.0)

    async def listen() -> None:
        async with cache.board(digest, make) as seat, aclosing(seat.pieces()) as pieces:
            first = 0.0
            async for _ in pieces:
                first = first or time.monotonic()
            if seat.outcome != "made":
                _note(seen, first)

    await cache.get_many(["0" * 40])
    await begin
    await asyncio.gather(*(listen() for _ in range(askers)))
    await cache.aclose()


async def polling(url: str, digest: str, askers: int, seen: Seen, begin: Awaitable[object]) -> None:
    """SET NX with a lock of 10 s; whoever does not get it looks again after 50 ms, and 1.25 times as long each time."""
    client = redis.Redis.from_url(url, max_connections=askers)  # the pool's own bound would fail the rest
    value, lock = f"value:{digest}", f"lock:{digest}"

    async def listen() -> None:
        if not await client.get(value) and await client.set(lock, "1", nx=True, ex=POLL_LOCK):
            sound = await _synthesis(lambda _: None, seen)
            await client.set(value, sound, ex=60)
            await client.delete(lock)
            return
        pause = POLL_FIRST
        while not await client.get(value):
            await asyncio.sleep(pause)
            pause = min(pause * POLL_FACTOR, POLL_MOST)
        _note(seen, time.monotonic())

    await client.ping()
    await begin
    await asyncio.gather(*(listen() for _ in range(askers)))
    await client.aclose()


def _note(seen: Seen, first: float) -> None:
    seen.first.append(first)
    seen.done.append(time.monotonic())


async def main(design: str, url: str, digest: str, askers: int) -> None:
    """Wait for the word, listen, report."""
    seen = Seen()
    begin = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print("ready", flush=True)
    if design == "polling":
        await polling(url, digest, askers, seen, begin)
    else:
        await ours(url, digest, askers, seen, begin, live=design == "live")
    print(json.dumps([seen.first, seen.done, seen.made, seen.end]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))

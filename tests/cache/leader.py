"""A process that leads a flight until it is killed: it says some pieces, and comes to no end."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from cache.cache import open_cache
from cache.flight import Made
from cache.link import Keys


async def leader_process(url: str, keys: Keys, digest: str, *pieces: bytes) -> asyncio.subprocess.Process:
    """Start one, and wait until it makes this clip and has said these pieces."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.cache.leader",
        url,
        keys.prefix,
        digest,
        *pieces,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"making\n"
    return process


async def _make(emit: Callable[[bytes], None]) -> Made:
    for piece in sys.argv[4:]:
        emit(piece.encode())
    sys.stdout.write("making\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    raise AssertionError


async def _lead() -> None:
    cache = open_cache(memory_bytes=0, redis_url=sys.argv[1], keys=Keys(prefix=sys.argv[2]), timeout=10.0)
    async with cache.board(sys.argv[3], _make) as seat:
        await seat.entry()


if __name__ == "__main__":
    asyncio.run(_lead())

"""Everything that a tier has, for an operator's tools: never on the way of a request."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from cache.archive import Archive
from cache.errors import Away
from cache.link import RedisLink

AT_ONCE_BYTES = 4 * 2**20
"""Of values that are read together: what others want of Redis must not wait for long."""
_SCANNED_AT_ONCE = 500

Values = list[tuple[str, bytes | None]]
"""Digests and what is stored under them, unchecked; None: it is there, and cannot be read."""


@dataclass(frozen=True, slots=True)
class RedisFigures:
    """What the server says of itself. `keys` are all of the database, also those that are no entries, or not ours.

    `bytes` is the server's memory, `limit` its bound in bytes (None: it has none), `evicted` counts since its start.
    """

    keys: int
    bytes: int
    limit: int | None
    policy: str
    evicted: int


async def redis_figures(link: RedisLink) -> RedisFigures:
    """Two commands, whatever is in it.

    Raises:
        Away: it does not answer.
    """
    keys = await link.call(link.client.dbsize)
    info = await link.call(lambda: link.client.info("all"))
    return RedisFigures(
        keys=int(keys),
        bytes=int(info["used_memory"]),
        limit=int(info.get("maxmemory", 0)) or None,
        policy=str(info.get("maxmemory_policy", "")),
        evicted=int(info.get("evicted_keys", 0)),
    )


async def redis_values(link: RedisLink) -> AsyncIterator[Values]:
    """All entries of this layout, some at a time. One may come twice, as the server's SCAN says.

    Raises:
        Away: it does not answer.
    """
    cursor = 0
    while True:
        cursor, names = await _scan(link, cursor)
        sizes = await _sizes(link, names)
        for few in _batches(zip(names, sizes, strict=True)):
            values = await link.call(partial(link.client.mget, few))
            yield [
                (_digest(name), stored)
                for name, stored in zip(few, values, strict=True)
                if isinstance(stored, bytes)  # else it has expired meanwhile
            ]
        if not cursor:
            return


async def archive_values(archive: Archive) -> AsyncIterator[Values]:
    """All entries of this layout, some at a time.

    Raises:
        Away: it does not answer.
    """
    async for page in archive.stored():
        for few in _batches((digest, stored.size) for digest, stored in page):
            read = await asyncio.gather(*(_stored(archive, digest) for digest in few))
            yield [value for values in read for value in values]


async def _stored(archive: Archive, digest: str) -> Values:
    """Nothing, if it has been deleted meanwhile."""
    try:
        stored = await archive.value(digest)
    except Away:  # a bad block of a disk must not hide what else is damaged
        return [(digest, None)]
    return [] if stored is None else [(digest, stored)]


async def _scan(link: RedisLink, cursor: int) -> tuple[int, list[str]]:
    pattern = link.keys.of("clip", "*")
    following, names = await link.call(
        lambda: link.client.scan(cursor, match=pattern, count=_SCANNED_AT_ONCE)
    )
    return following, [name.decode() for name in names if isinstance(name, bytes)]


async def _sizes(link: RedisLink, names: list[str]) -> list[int]:
    async def ask() -> list[int]:
        pipeline = link.client.pipeline(transaction=False)
        for name in names:
            pipeline.strlen(name)
        return await pipeline.execute()

    return await link.call(ask) if names else []


def _digest(name: str) -> str:
    return name[name.index("{") + 1 : -1]


def _batches(sized: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Names whose sizes together stay within the bound, but for one that is larger by itself."""
    batch: list[str] = []
    total = 0
    for name, size in sized:
        if batch and total + size > AT_ONCE_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(name)
        total += size
    if batch:
        yield batch

"""Everything that a tier has, for an operator's tools: never on the way of a request."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from cache.archive import Archive
from cache.errors import Away
from cache.link import Answer, RedisLink

AT_ONCE_BYTES = 4 * 2**20
"""Of values that are read together: what others want of Redis must not wait for long."""
_SCANNED_AT_ONCE = 500

Values = list[tuple[str, bytes | None]]
"""Digests and what is stored under them, unchecked; None: it is there, and cannot be read."""


@dataclass(frozen=True, slots=True)
class RedisFigures:
    """What the masters say of themselves, together. `keys` are also those that are no entries, or not ours.

    `bytes` is their memory, `limit` its bound in bytes (None: one of them has none), `policy` what they throw out
    when they are full (where they differ, all of it, with commas), `evicted` counts since their start.
    """

    masters: int
    keys: int
    bytes: int
    limit: int | None
    policy: str
    evicted: int


async def redis_figures(link: RedisLink) -> RedisFigures:
    """Two commands to each master, whatever is in it.

    Raises:
        Away: one of them does not answer.
    """
    masters = await link.masters()
    keys = [await link.call(master.dbsize) for master in masters]
    infos: list[Answer] = [await link.call(partial(master.info, "all")) for master in masters]
    limits = [int(info.get("maxmemory", 0)) for info in infos]
    return RedisFigures(
        masters=len(masters),
        keys=sum(map(int, keys)),
        bytes=sum(int(info["used_memory"]) for info in infos),
        limit=sum(limits) if all(limits) else None,
        policy=", ".join(sorted({str(info.get("maxmemory_policy", "")) for info in infos})),
        evicted=sum(int(info.get("evicted_keys", 0)) for info in infos),
    )


async def redis_values(link: RedisLink) -> AsyncIterator[Values]:
    """All entries of this layout, some at a time. One may come twice, as the server's SCAN says.

    What moves from one node of a cluster to another meanwhile may be missed, and come twice.

    Raises:
        Away: a master does not answer.
    """
    for master in await link.masters():
        cursor = 0
        while True:
            cursor, names = await _scan(link, master, cursor)
            sizes = await _each(link, "STRLEN", names)
            for few in _batches(zip(names, sizes, strict=True)):
                values = await _each(link, "GET", few)
                yield [
                    (_digest(name), stored)
                    for name, stored in zip(few, values, strict=True)
                    if stored is not None  # else it has expired meanwhile
                ]
            if not cursor:
                break


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


async def _scan(link: RedisLink, master: Redis, cursor: int) -> tuple[int, list[str]]:
    pattern = link.keys.of("clip", "*")
    following, names = await link.call(lambda: master.scan(cursor, match=pattern, count=_SCANNED_AT_ONCE))
    return following, [name.decode() for name in names if isinstance(name, bytes)]


async def _each(link: RedisLink, command: str, names: list[str]) -> list[Answer]:
    """What a command of one key comes to, key by key: a look-up of many takes what lies on a dead node for absent.

    Raises:
        Away: it cannot be said of all of them.
    """

    async def ask() -> list[Answer]:
        pipeline = link.client.pipeline(transaction=False)
        for name in names:
            pipeline.execute_command(command, name)
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

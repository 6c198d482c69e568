"""`refrain cache stats`: how much each tier holds."""

import asyncio
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from app.cli import Failed, config_option, configured
from app.cli.tables import table
from app.settings import Settings
from app.stores import Stores, opened
from cache.archive import Archive
from cache.errors import Away
from cache.inventory import RedisFigures, redis_figures


class MemoryHeld(msgspec.Struct, frozen=True):
    """The tier in each process: only its bound can be known from outside."""

    limit: int


class ArchiveHeld(msgspec.Struct, frozen=True):
    """The archive, counted: entries of this layout and their bytes. `limit` is None where there is none."""

    where: str
    entries: int
    bytes: int
    limit: int | None


class Held(msgspec.Struct, frozen=True):
    """What `--json` prints. A tier that there is not is null; so is one that does not answer, named in `away`."""

    memory: MemoryHeld
    redis: RedisFigures | None
    archive: ArchiveHeld | None
    away: tuple[str, ...]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: sizes in bytes.")
@config_option
def stats(as_json: bool, config_file: Path | None) -> None:
    """Show what each tier holds.

    Hits and misses are counted by each server process: see refrain_cache_lookups_total at its /metrics.
    """
    settings = configured(config_file)
    held = asyncio.run(_held(settings))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(held), indent=2))
    else:
        Console().print(_table(held))
    if held.away:
        raise Failed(f"No answer from {' and '.join(held.away)}; `refrain doctor` says what to do.")


async def _held(settings: Settings) -> Held:
    async with opened(settings) as stores:
        away: list[str] = []
        redis = await _redis(stores, away)
        archive = None if stores.archive is None else await _archive(stores.archive, settings, away)
    return Held(MemoryHeld(settings.cache.memory), redis, archive, tuple(away))


async def _redis(stores: Stores, away: list[str]) -> RedisFigures | None:
    try:
        return await redis_figures(stores.shared.link)
    except Away:
        away.append("Redis")
        return None


async def _archive(archive: Archive, settings: Settings, away: list[str]) -> ArchiveHeld | None:
    where = settings.cache.archive
    limit = settings.cache.archive_max if where.startswith("file") else None
    entries = size = 0
    try:
        async for page in archive.stored():
            entries += len(page)
            size += sum(stored.size for _, stored in page)
    except Away:
        away.append("the archive")
        return None
    return ArchiveHeld(where, entries, size, limit)


def _table(held: Held) -> Table:
    shown = table("tier", *(Column(name, justify="right") for name in ("entries", "size", "at most")), "")
    shown.add_row("memory", "", "", _size(held.memory.limit), "in each server process, by itself")
    if redis := held.redis:
        limit = "no bound" if redis.limit is None else _size(redis.limit)
        servers = "the server" if redis.masters == 1 else f"{redis.masters} masters"
        remark = f"all keys of {servers}; {redis.policy}, {redis.evicted:,} evicted since the start"
        shown.add_row("redis", f"{redis.keys:,}", _size(redis.bytes), limit, remark)
    if archive := held.archive:
        limit = "" if archive.limit is None else _size(archive.limit)
        shown.add_row("archive", f"{archive.entries:,}", _size(archive.bytes), limit, escape(archive.where))
    elif not held.away:
        shown.add_row("archive", "", "", "", "off")
    return shown


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"

"""`refrain cache verify`: reads everything, and finds what is damaged."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli import Failed, config_option, configured
from app.cli.tables import table
from app.settings import Settings
from app.speech.manifest import Manifest
from app.stores import Stores, opened
from cache import value
from cache.errors import Away, Damaged
from cache.interface import Entry, Tier
from cache.inventory import Values, archive_values, redis_values


class Damage(msgspec.Struct, frozen=True):
    """One entry that is not what was written. `repaired`: it was deleted, and is made anew when it is asked for."""

    tier: str
    digest: str
    what: str
    repaired: bool


class Read(msgspec.Struct):
    """What was read of a tier. `expired` are among its `entries`: nobody gets them any more."""

    entries: int = 0
    bytes: int = 0
    expired: int = 0


class Verdict(msgspec.Struct):
    """What `--json` prints. Speeches that are not whole lack a clip in every tier: asked for by text, it is made."""

    tiers: dict[str, Read]
    damaged: list[Damage]
    speeches: int = 0
    not_whole: tuple[str, ...] = ()


@click.command()
@click.option("--repair", is_flag=True, help="Delete what is damaged.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def verify(repair: bool, as_json: bool, config_file: Path | None) -> None:
    """Read every entry in Redis and in the archive, and check every byte of it.

    Exit code 1 if something is damaged and was not repaired. A server may run meanwhile.
    """
    verdict = asyncio.run(_verify(configured(config_file), repair=repair))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(verdict), indent=2))
    else:
        _tell(verdict)
    if left := sum(not damage.repaired for damage in verdict.damaged):
        advice = "they could not be deleted" if repair else "--repair deletes them"
        raise Failed(
            f"{left} entries are damaged; {advice}. They are never played, and made anew when wanted."
        )


async def _verify(settings: Settings, *, repair: bool) -> Verdict:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    verdict = Verdict({}, [])
    async with opened(settings) as stores:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            await _Reading(verdict, bar, repair=repair).all(stores)
    return verdict


class _Reading:
    """What is gathered while the tiers are read: digests as bytes, since there may be millions."""

    def __init__(self, verdict: Verdict, bar: Progress, *, repair: bool) -> None:
        self._verdict = verdict
        self._bar = bar
        self._repair = repair
        self._sound: set[bytes] = set()
        self._speeches: dict[bytes, tuple[bytes, ...]] = {}

    async def all(self, stores: Stores) -> None:
        """Every tier that there is.

        Raises:
            Failed: one does not answer.
        """
        await self._tier("redis", stores.shared.tier, redis_values(stores.shared.link))
        if stores.archive is not None:
            await self._tier("archive", stores.archive, archive_values(stores.archive))
        verdict = self._verdict
        verdict.speeches = len(self._speeches)
        verdict.not_whole = tuple(
            digest.hex() for digest, clips in self._speeches.items() if not self._sound.issuperset(clips)
        )

    async def _tier(self, name: str, tier: Tier, batches: AsyncIterator[Values]) -> None:
        read = self._verdict.tiers[name] = Read()
        task = self._bar.add_task(name, total=None)
        seen: set[bytes] = set()
        try:
            async for batch in batches:
                for digest, stored in batch:
                    if (short := bytes.fromhex(digest)) not in seen:
                        seen.add(short)
                        await self._entry(name, tier, read, digest, stored)
                done = f"{name}: {read.entries:,} entries, {read.bytes / 2**20:,.0f} MiB"
                self._bar.update(task, description=done)
        except Away:
            raise Failed(f"No answer from the {name}; `refrain doctor` says what to do.") from None

    async def _entry(self, name: str, tier: Tier, read: Read, digest: str, stored: bytes | None) -> None:
        read.entries += 1
        read.bytes += len(stored or b"")
        try:
            if stored is None:
                raise Damaged("cannot be read")  # noqa: TRY301 - damage like any other from here on
            entry = value.decode(stored)
        except Damaged as damage:
            # Made anew between reading and deleting, a good one is deleted: that costs one synthesis and no more.
            repaired = self._repair and await tier.delete(digest)
            self._verdict.damaged.append(Damage(name, digest, str(damage), repaired))
            return
        if entry.left(time.time()) <= 0:
            read.expired += 1
            return
        self._sound.add(bytes.fromhex(digest))
        if (clips := _clips(entry)) is not None:
            self._speeches[bytes.fromhex(digest)] = clips


def _clips(entry: Entry) -> tuple[bytes, ...] | None:
    """Of which clips the speech consists; None: it is no speech."""
    if entry.payload:
        return None
    try:
        manifest = msgspec.json.decode(entry.meta, type=Manifest)
    except msgspec.DecodeError:
        return None
    return tuple(bytes.fromhex(line.digest) for line in manifest.clips)


def _tell(verdict: Verdict) -> None:
    shown = table("tier", "entries", "MiB", "expired", "damaged")
    for name, read in verdict.tiers.items():
        damaged = sum(damage.tier == name for damage in verdict.damaged)
        counts = (f"{count:,}" for count in (read.entries, read.bytes // 2**20, read.expired, damaged))
        shown.add_row(name, *counts)
    Console().print(shown)
    whole = verdict.speeches - len(verdict.not_whole)
    click.echo(f"\nSpeeches: {verdict.speeches:,}, whole: {whole:,}.")
    for digest in verdict.not_whole:
        click.echo(f"speech {digest}: a clip of it has expired or was evicted; its text has it made")
    for damage in verdict.damaged:
        click.echo(f"{damage.tier} {damage.digest}: {damage.what}{'; deleted' if damage.repaired else ''}")

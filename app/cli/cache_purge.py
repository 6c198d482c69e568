"""`refrain cache purge`: has what is in the cache forgotten."""

import asyncio
import re
from pathlib import Path

import click

from app.cli import Failed, config_option, configured
from app.purging import Purged, Wanted
from app.server import open_house
from app.settings import Settings
from app.users import audit
from cache.errors import Unreachable


def _digest(_context: click.Context, _option: click.Parameter, digest: str | None) -> str | None:
    if digest is not None and not re.fullmatch("[0-9a-f]{40}", digest):
        raise click.BadParameter(
            "write the 40 hexadecimal digits of a Content-Location, or of a chunk in a plan."
        )
    return digest


@click.command()
@click.option("--voice", help="What was asked for in this voice (name or alias).")
@click.option("--provider", help="What this provider spoke, by its name in the configuration.")
@click.option("--tag", help="What was asked for under this tag.")
@click.option("--digest", callback=_digest, help="One speech with its clips, or one clip.")
@config_option
def purge(
    voice: str | None, provider: str | None, tag: str | None, digest: str | None, config_file: Path | None
) -> None:
    """Forget what fits all the options given, in Redis, in the archive and in every running server.

    Counts for what was stored before. --digest stands alone. With the others all of the archive is read, since Redis
    may have lost the index that says what fits.
    """
    if not (voice or provider or tag or digest):
        raise click.UsageError("Say what to forget: --voice, --provider, --tag or --digest.")
    if digest and (voice or provider or tag):
        raise click.UsageError("--digest names what to forget by itself: leave the other options out.")
    settings = configured(config_file)
    wanted = Wanted(voice or "", provider or "", tag or "", digest or "")
    audit.heard()
    try:
        purged = asyncio.run(_purge(settings, wanted))
    except Unreachable:
        raise Failed(
            "Redis does not answer, or the archive, so not everything is forgotten. Start it, or check redis.url and "
            "cache.archive; then do it again."
        ) from None
    if purged.missed:
        raise Failed(f"{_told(purged.count)} {purged.missed}")
    click.echo(_told(purged.count))


async def _purge(settings: Settings, wanted: Wanted) -> Purged:
    async with open_house(settings) as house:
        return await house.purging.purge(wanted, None)


def _told(count: int) -> str:
    return f"{count} {'entry was' if count == 1 else 'entries were'} forgotten."

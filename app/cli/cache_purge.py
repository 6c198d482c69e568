"""`refrain cache purge`: has what is in the cache forgotten."""

import asyncio
import re
from pathlib import Path

import click

from app.cli import Failed, config_option, configured
from app.cli.stores import opened
from app.errors import UnknownVoice
from app.server import House, open_house
from app.settings import Settings
from app.speech.clips import by
from app.speech.relabel import relabel
from cache.cache import Cache
from cache.errors import Away, Full, Unreachable
from cache.labels import Label


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
    try:
        count = asyncio.run(_forget(settings, digest) if digest else _purge(settings, voice, provider, tag))
    except Unreachable:
        raise Failed(
            "Redis does not answer, or the archive, so not everything is forgotten. Start it, or check redis.url and "
            "cache.archive; then do it again."
        ) from None
    click.echo(_told(count))


async def _forget(settings: Settings, digest: str) -> int:
    async with open_house(settings) as house:
        return await house.studio.erase(digest)


async def _purge(settings: Settings, voice: str | None, provider: str | None, tag: str | None) -> int:
    async with open_house(settings) as house:
        labels = [Label("tag", tag)] if tag else []
        labels += [Label("voice", _name(house, voice))] if voice else []
        labels += [by(provider)] if provider else []
        count, missed = await forgotten(settings, house.cache, labels)
    if missed:
        raise Failed(f"{_told(count)} {missed}")
    return count


async def forgotten(settings: Settings, cache: Cache, labels: list[Label]) -> tuple[int, str]:
    """Forget what has all of these labels: how much there was, and what is to be said where that was not all.

    Raises:
        Unreachable: Redis or the archive did not answer.
    """
    count = 0
    try:
        missed = await _archived(settings, labels)
    except Full:
        # What is known goes first, and makes room for the index of the others.
        count = await cache.purge(labels)
        missed = await _archived_at_last(settings, labels)
    # Also where the archive is not read to its end: what is known is gone the sooner.
    return count + await cache.purge(labels), missed


async def _archived(settings: Settings, labels: list[Label]) -> str:
    """Have the index know what the archive has under these labels; what is to be said where that fails."""
    async with opened(settings) as stores:
        if stores.archive is None:
            return ""
        try:
            unread = await relabel(stores.archive, stores.shared.labels, labels)
        except Away:
            return "The archive does not answer, so not everything is. Do it again when `refrain doctor` finds it well."
    if unread:
        return (
            f"{unread} more in the archive cannot be read, so nobody knows what they are. "
            "`refrain cache verify --repair` deletes them, if they stay so."
        )
    return ""


async def _archived_at_last(settings: Settings, labels: list[Label]) -> str:
    try:
        return await _archived(settings, labels)
    except Full:
        return (
            "Redis is full and throws nothing out, so what the archive alone knows of was not looked for. Give it "
            "more memory (maxmemory), or maxmemory-policy volatile-lfu; then do it again."
        )


def _told(count: int) -> str:
    return f"{count} {'entry was' if count == 1 else 'entries were'} forgotten."


def _name(house: House, voice: str) -> str:
    """The voice's own name, where it is an alias. One that is configured no longer may still have sound here."""
    try:
        return house.voices.find(voice).name
    except UnknownVoice:
        return voice

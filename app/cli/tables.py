"""`refrain voices`: tables."""

import asyncio
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from app.cli import Failed, config_option, configured
from app.settings import Settings
from app.speech.voices import Voices
from providers.errors import ProviderError
from providers.interface import ListedVoice, ProviderSettings
from providers.kinds import build

PIPE = 200
"""Characters in a line, where no terminal has fewer."""


def register(cli: click.Group) -> None:
    """Add the commands."""
    cli.add_command(voices)


def table(*columns: str | Column) -> Table:
    """A plain table, the same on a terminal and in a pipe."""
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def console() -> Console:
    """For a table that may be wide: in a pipe nothing is cut off that somebody looks for with grep."""
    shown = Console()
    if not shown.is_terminal:
        shown.width = max(shown.width, PIPE)
    return shown


@click.command()
@config_option
@click.option("--all", "everything", is_flag=True, help="Also what each provider offers.")
@click.option("--provider", help="Instead, what this provider offers; it is asked.")
def voices(config_file: Path | None, everything: bool, provider: str | None) -> None:
    """The voices that clients can name, and who speaks for them."""
    settings = configured(config_file)
    if provider is not None:
        Console().print(asyncio.run(_offered_by(settings, provider)))
        return
    shown = table("voice", "language", "spoken by", "aliases")
    for voice in Voices(settings.voices).all:
        chain = " → ".join(f"{link.provider}:{link.voice}" for link in voice.chain)
        shown.add_row(voice.name, escape(voice.language or ""), escape(chain), ", ".join(voice.aliases))
    console = Console()
    console.print(shown)
    if everything:
        console.print()
        console.print(asyncio.run(_offered(settings)))


async def _offered_by(settings: Settings, name: str) -> Table:
    if name not in settings.providers:
        known = ", ".join(settings.providers)
        raise click.UsageError(f"No provider has this name. Configured are {known}.")
    asked = build(settings.providers[name].named(name))
    try:
        offered = await asked.voices()
    except ProviderError as error:
        raise Failed(f"{name} does not list its voices ({error.code}): {error}") from None
    finally:
        await asked.aclose()
    shown = table(Column("voice", no_wrap=True), "name", "language")
    for voice in offered:
        shown.add_row(escape(voice.id), escape(voice.name), escape(voice.language or ""))
    return shown


async def _offered(settings: Settings) -> Table:
    shown = table("provider", "kind", "offers")
    for name, provider in settings.providers.items():
        shown.add_row(name, provider.kind, escape(await _listed(provider.named(name))))
    return shown


async def _listed(settings: ProviderSettings) -> str:
    provider = build(settings)
    try:
        offered: list[ListedVoice] = await provider.voices()
    except ProviderError as error:
        return f"cannot be asked: {error.code}"
    finally:
        await provider.aclose()
    return ", ".join(voice.id for voice in offered)

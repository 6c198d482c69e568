"""`refrain plan`: what it would cost."""

import asyncio
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from app.cli import config_option, configured
from app.cli.inputs import document, format_option, request, voice_option
from app.cli.tables import table
from app.server import open_house
from app.settings import Settings
from app.speech.estimate import Estimate, estimate


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(plan)


@click.command()
@click.argument("file")
@voice_option
@format_option
@config_option
def plan(file: str, voice: str, fmt: str | None, config_file: Path | None) -> None:
    """Show chunks, hits, billable characters, provider and price of speaking FILE (- for standard input)."""
    found = asyncio.run(_estimate(configured(config_file), document(file), voice, fmt))
    shown = table("#", "characters", "cached", "provider", "text")
    for number, chunk in enumerate(found.chunks, start=1):
        begin = chunk.text if len(chunk.text) <= 60 else f"{chunk.text[:59]}…"  # noqa: PLR2004 - fits a terminal
        shown.add_row(
            str(number), str(chunk.characters), "yes" if chunk.hit else "no", chunk.provider, Text(begin)
        )
    Console().print(shown)
    hits = sum(chunk.hit for chunk in found.chunks)
    click.echo(
        f"\n{len(found.chunks)} chunks, {hits} cached; {found.billable_characters} of {found.characters} characters "
        f"to be made, at a cost of {found.cost:.6g}; about {found.seconds:.0f} s of speech, in {fmt or 'mp3'}."
    )


async def _estimate(settings: Settings, text: str, voice: str, fmt: str | None) -> Estimate:
    async with open_house(settings) as house:
        planned = await house.studio.plan(request(text, house.voices, voice, fmt))
        return await estimate(house.studio, planned)

"""`refrain config check`."""

from pathlib import Path

import click

from app.cli import configured


def register(cli: click.Group) -> None:
    """Add the commands."""
    cli.add_command(config)


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path | None) -> None:
    """Report every mistake at once, with its key and line; exit code 2 if there are any."""
    settings = configured(file)
    voices, providers = len(settings.voices), len(settings.providers)
    click.echo(f"The configuration is good: {voices} voice(s), {providers} provider(s).")

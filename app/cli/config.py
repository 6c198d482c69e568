"""`refrain config check`."""

from pathlib import Path

import click

from app.cli import config_option, configured
from app.settings import check_openness


def register(cli: click.Group) -> None:
    """Add the commands."""
    cli.add_command(config)


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@config_option
def check(file: Path | None, config_file: Path | None) -> None:
    """Report every mistake at once, with its key and line; exit code 2 if there are any.

    FILE may also be given by --config, as to every other command.
    """
    if file and config_file:
        raise click.UsageError("Give the file once: as FILE or by --config.")
    settings = configured(file or config_file)
    check_openness(settings)
    voices, providers = len(settings.voices), len(settings.providers)
    click.echo(f"The configuration is good: {voices} voice(s), {providers} provider(s).")

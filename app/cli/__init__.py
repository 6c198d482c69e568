"""`refrain`: the command line. Exit codes: 0 done, 1 failed, 2 bad usage or configuration."""

import sys
from pathlib import Path

import click

from app.errors import RefrainError
from app.settings import BadConfiguration, Settings, load
from cache.errors import EmbeddedError, NoArchive


class Failed(click.ClickException):
    """One sentence that says what to do, exit code 1."""

    exit_code = 1


class _Group(click.Group):
    """Turns our own errors into a sentence on standard error and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BadConfiguration as error:
            click.echo(str(error), err=True)
            ctx.exit(2)
        except RefrainError as error:
            raise Failed(error.message) from None
        except (EmbeddedError, NoArchive) as error:
            raise Failed(str(error)) from None


def configured(file: Path | None) -> Settings:
    """The settings that a command works with.

    Raises:
        BadConfiguration: with every mistake.
    """
    return load(file)


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration; left out: refrain.toml here, or the defaults.",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("0.1.0", prog_name="refrain")
def cli() -> None:
    """Text in, speech out; what was said once is never paid for, or waited for, again."""


def main() -> None:
    """The entry point. Each command's module is read only here, so that this one stands by itself."""
    from app.cli import (  # noqa: PLC0415 - they import this module
        cache,
        config,
        doctor,
        keys,
        plan,
        providers,
        say,
        serve,
        tables,
        tokens,
        usage,
        users,
        warm,
    )

    for module in (
        cache, config, doctor, keys, plan, providers, say, serve, tables, tokens, usage, users, warm
    ):  # fmt: skip
        module.register(cli)
    try:
        cli.main(standalone_mode=True)
    except KeyboardInterrupt:  # pragma: no cover - click turns it into Abort itself
        sys.exit(130)

"""`refrain usage`: what users have had."""

import asyncio
from datetime import date, datetime
from pathlib import Path

import click
import msgspec
from rich.markup import escape
from rich.table import Column, Table

from app.cli import config_option, configured
from app.cli.stores import desk_of
from app.cli.tables import console, table
from app.settings import Settings
from app.users.statement import Account, Asked, Had, Span


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(usage)


_DATE = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--user", help="This user, by day, voice and provider; left out: a line for each user.")
@click.option("--from", "first", type=_DATE, help="The first day (UTC); left out: the month's.")
@click.option("--to", "last", type=_DATE, help="The last day (UTC); left out: today.")
@click.option("--json", "as_json", is_flag=True, help="As GET /v1/usage answers it; of all users a list.")
@config_option
def usage(
    user: str | None, first: datetime | None, last: datetime | None, as_json: bool, config_file: Path | None
) -> None:
    """Show what users have had: requests, characters, hits, spend, and what hits have saved.

    What servers have had to do within the last second may not be in it yet.
    """
    days = (None if first is None else first.date(), None if last is None else last.date())
    found = asyncio.run(_accounts(configured(config_file), user, *days))
    if as_json:
        shown = found if user is None else found[0]
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2))
        return
    console().print(_of_all(found) if user is None else _of_one(found[0]))


async def _accounts(
    settings: Settings, user: str | None, first: date | None, last: date | None
) -> list[Account]:
    async with desk_of(settings) as desk:
        accounts = desk.accounts
        try:
            span = Span.of(first, last, accounts.today)
        except ValueError as error:
            raise click.UsageError(f"{str(error).replace('`', '')}.") from None
        users = [user] if user is not None else [known.user for known in await accounts.known()]
        return [await accounts.of(one, span) for one in users]


_FIGURES = ("requests", "characters", "saved", "chunks", "hits", "spend", "spared")


def _columns(*names: str) -> Table:
    return table(*names, *(Column(name, justify="right", no_wrap=True) for name in _FIGURES))


def _of_all(accounts: list[Account]) -> Table:
    shown = _columns("user")
    for account in accounts:
        shown.add_row(escape(account.user), *_cells(account))
    return shown


def _of_one(account: Account) -> Table:
    shown = _columns("day", "voice", "provider")
    for day in account.days:
        shown.add_row(day.date, "", "", *_cells(day))
        for name, voice in day.voices.items():
            shown.add_row("", escape(name), "", *_cells(voice))
        for name, provider in day.providers.items():
            shown.add_row("", "", escape(name), *_cells(provider))
    shown.add_row("all", "", "", *_cells(account), style="bold")
    return shown


def _cells(had: Had) -> list[str]:
    requests = f"{had.requests:,}" if isinstance(had, Asked) else ""
    counts = [f"{count:,}" for count in (had.characters, had.saved, had.chunks, had.hits)]
    return [requests, *counts, f"{had.spend:.6g}", f"{had.spared:.6g}"]

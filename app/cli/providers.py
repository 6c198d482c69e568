"""`refrain providers`: a table."""

import asyncio
from pathlib import Path

import click
import httpx
import msgspec
from rich.markup import escape
from rich.table import Column, Table

from app.cli import Failed, config_option, configured
from app.cli.tables import console, table
from app.company import Company
from app.metrics import Metrics
from app.settings import Settings
from app.speech.standing import Reporter, Standing, Standings
from app.speech.voices import Voices
from providers.kinds import build


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(providers)


@click.command()
@click.option("--server", help="Ask this server, also for what its providers have done so far.")
@click.option("--json", "as_json", is_flag=True, help="As GET /v1/providers answers it.")
@config_option
def providers(server: str | None, as_json: bool, config_file: Path | None) -> None:
    """Who speaks: kind, state, price, concurrency, and the voices that use them.

    Without --server by the configuration alone; nobody is called.
    """
    found = _from_server(server) if server else asyncio.run(_configured(configured(config_file)))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    console().print(_table(found, live=server is not None))


async def _configured(settings: Settings) -> Standings:
    company = Company(build)
    await company.change(table.named(name) for name, table in settings.providers.items())
    try:
        reporter = Reporter(Metrics(), company.workload)
        return reporter.standings(Voices(settings.voices), company.providers)
    finally:
        await company.aclose(lambda _what, aclose: aclose())


def _from_server(server: str) -> Standings:
    address = server if "://" in server else f"http://{server}"
    try:
        answer = httpx.get(f"{address.rstrip('/')}/v1/providers", timeout=10)
        return msgspec.json.decode(answer.raise_for_status().content, type=Standings)
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError, UnicodeDecodeError):
        message = f"No list of providers from {server}. Is a Refrain server running there?"
        raise Failed(message) from None


def _table(found: Standings, *, live: bool) -> Table:
    names = (Column(name, no_wrap=True) for name in ("provider", "kind", "state"))
    lived = ("p50", "p95", "ok", "calls", "retries", "spend") if live else ()
    figures = (Column(name, justify="right", no_wrap=True) for name in ("price", "at once", *lived))
    shown = table(*names, *figures, "voices")
    for one in found.providers:
        most = "" if one.concurrency.most is None else str(one.concurrency.most)
        cells = [one.name, one.kind, _state(one), _price(one)]
        cells.append(f"{one.concurrency.now} of {most or 'any'}" if live else most)
        cells += _lived(one) if live else []
        shown.add_row(*map(escape, cells), escape(", ".join(one.used_by)))
    return shown


def _state(one: Standing) -> str:
    return " ".join(filter(None, (one.state, one.reason and f"({one.reason})")))


def _price(one: Standing) -> str:
    """Per million characters: one, or from the cheapest voice's to the dearest's."""
    prices = [voice.price for voice in one.voices]
    if not prices:
        return ""
    least, most = f"{min(prices):g}", f"{max(prices):g}"
    return least if least == most else f"{least}-{most}"


def _lived(one: Standing) -> list[str]:
    rate = "" if one.success_rate is None else f"{one.success_rate:.1%}"
    times = [_seconds(one.first_audio.p50), _seconds(one.first_audio.p95)]
    return [*times, rate, str(one.calls), str(one.retries), f"{one.spend:g}"]


def _seconds(time: float | None) -> str:
    return "" if time is None else f"{time:.3f} s"

"""`refrain plan`: what it would cost."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from app.cli import Failed, config_option, configured
from app.cli.inputs import document
from app.cli.plans import known_plan, plan_option
from app.cli.tables import table
from app.cli.wish import Wish, speech_options
from app.errors import RefrainError
from app.server import open_house
from app.settings import Settings
from app.settings.tables import LimitTable
from app.speech.estimate import Estimate, PlannedLine, Terms, estimate
from app.text.intake.kinds import InputType
from app.users.accounts import Accounts, newcomer
from app.users.limits import Due
from cache.errors import Away


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(plan)


@click.command()
@click.argument("file")
@speech_options
@click.option(
    "--json", "as_json", is_flag=True, help="As POST /v1/speech/plan answers it, with all texts whole."
)
@click.option("--user", help="Whose budgets, and whose hits where each has his own; left out: a new user's.")
@plan_option
@config_option
def plan(
    file: str,
    voice: str,
    fmt: str | None,
    input_type: InputType | None,
    language: str | None,
    as_json: bool,
    user: str | None,
    limits_plan: str,
    config_file: Path | None,
) -> None:
    """Show what speaking FILE (- for standard input) would cost; calls nobody.

    One row a chunk, what is sent and paid for as one, with a line for each of its sentences.
    """
    wish = Wish(voice, fmt, input_type, language)
    settings = configured(config_file)
    limits = settings.limits_of(known_plan(settings, limits_plan))
    found = asyncio.run(_estimate(settings, file, wish, _Payer(user, limits)))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    Console().print(_table(found))
    hits = sum(chunk.hit for chunk in found.chunks)
    refused = found.refused
    click.echo(
        f"\n{len(found.chunks)} chunks, {hits} cached; {found.billable_characters} of {found.characters} characters "
        f"to be made, at a cost of {found.cost:.6g}; about {found.seconds:.0f} s of speech, in {fmt or 'mp3'}. "
        f"Charged: {found.charged_characters} characters, {found.cost_at_most:.6g} at the most."
        + (f" It would be refused ({refused.code}): {refused.message}" if refused else "")
    )


@dataclass(frozen=True, slots=True)
class _Payer:
    """Who would have it spoken; None: somebody who has had nothing yet."""

    user: str | None
    limits: LimitTable

    async def verdict(self, accounts: Accounts, due: Due) -> RefrainError | None:
        """What he would be refused."""
        if self.user is None:
            return newcomer(self.limits, due)
        return await accounts.refused(self.user, self.limits, due)


async def _estimate(settings: Settings, file: str, wish: Wish, payer: _Payer) -> Estimate:
    text = document(file)
    async with open_house(settings) as house:
        asked = wish.request(text, file, house.voices, house.outputs)
        if payer.user is not None and settings.cache.scope == "user":
            try:
                user = await house.desk.doorman.user(payer.user)
            except Away:
                message = "Redis does not answer, so nobody knows what is this user's. Start it, or leave out --user."
                raise Failed(message) from None
            asked = msgspec.structs.replace(asked, owner=user.owner)
        planned = await house.studio.plan(asked)
        terms = Terms(payer.limits, lambda due: payer.verdict(house.desk.accounts, due))
        return await estimate(house.studio, planned, terms)


def _table(found: Estimate) -> Table:
    right = (Column(name, justify="right", no_wrap=True) for name in ("#", "chars", "cached", "pause"))
    shown = table(*right, Column("provider", no_wrap=True), "text, a line for each sentence")
    for number, chunk in enumerate(found.chunks, start=1):
        pause = f"{chunk.pause:g} s" if chunk.pause else ""
        hit = "yes" if chunk.hit else "no"
        shown.add_row(str(number), str(chunk.characters), hit, pause, chunk.provider, _lines(chunk))
    return shown


def _lines(chunk: PlannedLine) -> Group:
    """The sentences, each cut off where the terminal ends; and what is said instead where that is something else."""
    sentences = [" ".join(sentence.split()) for sentence in chunk.sentences]
    lines = [Text(sentence, no_wrap=True, overflow="ellipsis") for sentence in sentences]
    if chunk.ssml or "".join(chunk.text.split()) != "".join("".join(sentences).split()):
        lines.append(Text(f"= {chunk.ssml or chunk.text}", style="dim"))
    return Group(*lines)

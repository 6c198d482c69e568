"""`refrain warm`: fills the cache."""

import asyncio
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli import Failed, config_option, configured
from app.cli.inputs import document
from app.cli.wish import Wish, speech_options
from app.errors import RefrainError
from app.server import House, open_house
from app.settings import Settings
from app.speech.making import Live
from app.speech.plan import SpeechRequest
from app.text.intake.kinds import InputType
from providers.errors import ProviderError


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(warm)


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--lines", is_flag=True, help="Every line is a text of its own (prompts, announcements).")
@speech_options
@click.option("--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Texts at once.")
@config_option
def warm(
    files: tuple[str, ...],
    lines: bool,
    voice: str,
    fmt: str | None,
    input_type: InputType | None,
    language: str | None,
    concurrency: int,
    config_file: Path | None,
) -> None:
    """Say FILEs (documents, or with --lines one text a line) into the cache.

    What is there already is not made again: stop it and start it again as you like.
    """
    texts = [Text(document(file), file) for file in files]
    if lines:
        texts = [Text(line, one.source) for one in texts for line in one.text.splitlines() if line.strip()]
    wish = Wish(voice, fmt, input_type, language)
    tally = asyncio.run(_warm(configured(config_file), texts, wish, concurrency))
    click.echo(
        f"{tally.texts} texts in {fmt or 'mp3'}: {tally.chunks['hit']} chunks were cached, "
        f"{tally.chunks['made']} made, {tally.chunks['joined']} made by others; "
        f"{tally.characters} characters made, at a cost of {tally.cost:.6g}."
    )
    if tally.failed:
        raise Failed(
            f"{len(tally.failed)} of the texts failed. {tally.failed[0]} What did not fail is not made again."
        )


class Text(NamedTuple):
    """A text, and the name of the file that it is from."""

    text: str
    source: str


async def _require_redis(house: House) -> None:
    """What is made while Redis is away is gone when this process ends.

    Raises:
        Failed: it is away; nothing was paid.
    """
    await house.cache.get_many(["0" * 40])
    if house.cache.statistics().redis_away:
        raise Failed("Redis does not answer, so nothing would be kept. Start it, or check redis.url.")


class Tally:
    """What it came to."""

    def __init__(self) -> None:
        self.texts = 0
        self.chunks: Counter[str] = Counter()
        self.characters = 0
        self.cost = 0.0
        self.failed: list[str] = []


async def _warm(settings: Settings, texts: list[Text], wish: Wish, concurrency: int) -> Tally:
    tally = Tally()
    console = Console(stderr=True)
    columns = (TextColumn("warming"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    slots = asyncio.Semaphore(concurrency)
    async with open_house(settings) as house:
        await _require_redis(house)
        requests = [wish.request(text, source, house.voices, house.outputs) for text, source in texts]
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("texts", total=len(requests))

            async def one(number: int, asked: SpeechRequest) -> None:
                async with slots:
                    try:
                        await _say(house, asked, tally)
                    except RefrainError as error:
                        tally.failed.append(f"Text {number}: {error.message}")
                    except ProviderError as error:
                        tally.failed.append(f"Text {number}: {error.provider} stopped in the middle.")
                bar.advance(task)

            async with asyncio.TaskGroup() as group:
                for number, asked in enumerate(requests, start=1):
                    group.create_task(one(number, asked))
    return tally


async def _say(house: House, asked: SpeechRequest, tally: Tally) -> None:
    plan = await house.studio.plan(asked)
    async with house.studio.perform(plan) as speech:
        if isinstance(speech, Live):
            async with aclosing(speech.sound()) as sound:
                async for _ in sound:
                    pass
            clips = speech.clips
        else:
            clips = []
    # No await from here on: texts that end at the same time are counted one after the other.
    tally.texts += 1
    tally.chunks.update(clip.outcome for clip in clips)
    tally.chunks["hit"] += len(plan.chunks) - len(clips)
    tally.characters += sum(clip.meta.characters for clip in clips if clip.outcome == "made")
    tally.cost += sum(clip.cost for clip in clips)

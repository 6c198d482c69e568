"""`refrain warm`: fills the cache."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli import Failed, config_option, configured
from app.cli.inputs import document, unreadable
from app.cli.wish import Wish, speech_options
from app.errors import RefrainError
from app.server import House, open_house
from app.settings import Settings
from app.speech.clips import Clip
from app.speech.making import Live
from app.text.intake.kinds import InputType
from providers.errors import ProviderError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


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
    total = sum(1 for _ in _texts(files, lines=lines)) if "-" not in files else None
    wish = Wish(voice, fmt, input_type, language)
    tally = asyncio.run(_warm(configured(config_file), _texts(files, lines=lines), total, wish, concurrency))
    click.echo(
        f"{tally.texts} texts in {fmt or 'mp3'}: {tally.chunks['hit']} chunks were cached, "
        f"{tally.chunks['made']} made, {tally.chunks['joined']} made by others; "
        f"{tally.characters} characters made, at a cost of {tally.cost:.6g}."
    )
    if tally.stopped:
        of = "" if total is None else f" of {total}"
        raise Failed(
            f"Stopped after {tally.texts}{of} texts. What was made is kept: run the same command again to go on."
        )
    if tally.failed:
        raise Failed(
            f"{tally.failed} of the texts failed. {tally.first_failure} What did not fail is not made again."
        )


class Text(NamedTuple):
    """A text, and the name of the file that it is from."""

    text: str
    source: str


def _texts(files: tuple[str, ...], *, lines: bool) -> Iterator[Text]:
    """One after the other: a million prompts are not held at once.

    Raises:
        click.UsageError: a file cannot be read as UTF-8.
    """
    for file in files:
        if lines:
            yield from (Text(line, file) for line in _lines(file))
        else:
            yield Text(document(file), file)


def _lines(file: str) -> Iterator[str]:
    """Those that have something in them, read as they are asked for.

    Raises:
        click.UsageError: as `document`.
    """
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as opened:
            for raw in opened:
                yield from (line for line in raw.decode("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError):
        raise unreadable(file) from None


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
        self.failed = 0
        self.first_failure = ""
        self.stopped = False

    def fail(self, why: str) -> None:
        """A text could not be said to its end."""
        self.failed += 1
        self.first_failure = self.first_failure or why

    def so_far(self) -> str:
        """For the progress bar."""
        misses = self.chunks["made"] + self.chunks["joined"]
        return f"{self.chunks['hit']} hits, {misses} misses, cost {self.cost:.4g}"


async def _warm(
    settings: Settings, texts: Iterator[Text], total: int | None, wish: Wish, concurrency: int
) -> Tally:
    tally = Tally()
    console = Console(stderr=True)
    columns = (
        TextColumn("warming"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[so_far]}"),
        TimeRemainingColumn(),
    )
    numbered = enumerate(texts, start=1)
    async with open_house(settings) as house:
        await _require_redis(house)
        wish.request(
            "", "", house.voices, house.outputs
        )  # a voice or format that is not there, before the first text
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("texts", total=total, so_far=tally.so_far())

            async def work() -> None:
                # The texts are read here one by one, by whoever is free: nothing is awaited in between.
                for number, (text, source) in numbered:
                    try:
                        await _say(house, text, source, wish, tally)
                    except RefrainError as error:
                        tally.fail(f"Text {number}: {error.message}")
                    except ProviderError as error:
                        tally.fail(f"Text {number}: {error.provider} stopped in the middle.")
                    bar.update(task, advance=1, so_far=tally.so_far())

            await _until_stopped(work, concurrency, tally)
    return tally


async def _until_stopped(work: Callable[[], Coroutine[None, None, None]], workers: int, tally: Tally) -> None:
    """The work, by so many; ended by a signal like Ctrl-C, a second one of which ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    working = asyncio.gather(*tasks)
    stopping = asyncio.create_task(stop.wait())

    def stopped() -> None:
        stop.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, stopped)
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        tally.stopped = not working.done()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _say(house: House, text: str, source: str, wish: Wish, tally: Tally) -> None:
    plan = await house.studio.plan(wish.request(text, source, house.voices, house.outputs))
    clips: list[Clip] = []
    try:
        async with house.studio.perform(plan) as speech:
            if isinstance(speech, Live):
                clips = speech.clips
                async with aclosing(speech.sound()) as sound:
                    async for _ in sound:
                        pass
            else:
                tally.chunks["hit"] += len(plan.chunks)
        tally.texts += 1
    finally:
        # What was made was paid for, also of a text that was not said to its end.
        tally.chunks.update(clip.outcome for clip in clips)
        tally.characters += sum(clip.meta.characters for clip in clips if clip.outcome == "made")
        tally.cost += sum(clip.cost for clip in clips)

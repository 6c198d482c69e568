"""`refrain say`: speech without, or with, a server."""

import asyncio
import io
import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import IO, BinaryIO

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.audio.formats import FORMATS
from app.cli import Failed, config_option, configured
from app.cli.inputs import output, text_of
from app.cli.wish import Wish, speech_options
from app.errors import NotFound
from app.server import House, open_house
from app.settings import Settings
from app.speech.plan import Plan
from app.speech.ready import Ready
from app.speech.shelf import MadeAnew
from app.text.intake.kinds import InputType
from providers.errors import ProviderError


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(say)


@click.command()
@click.argument("text")
@click.option(
    "-o", "out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; - is standard output."
)
@speech_options
@click.option("--server", help="Ask this server instead of speaking in this process.")
@config_option
def say(
    text: str,
    out: Path | None,
    voice: str,
    fmt: str | None,
    input_type: InputType | None,
    language: str | None,
    server: str | None,
    config_file: Path | None,
) -> None:
    """Speak TEXT (- for standard input, @FILE for a file) into a file, or to standard output.

    Without -o the sound goes to standard output, or to speech.mp3 where that is a terminal.
    """
    fmt = fmt or _format_of(out)
    if out is None and sys.stdout.isatty():
        out = Path(f"speech.{fmt}")
    elif out == Path("-"):
        out = None
    what, source = text_of(text)
    wish = Wish(voice, fmt, input_type, language)
    with output(out) as file, _bar() as bar:
        if server:
            body = {"input": what, "voice": voice, "response_format": fmt, "input_type": wish.type_of(source)}
            _from_server(server, body | ({"language": language} if language else {}), file, bar)
        else:
            asyncio.run(_in_process(configured(config_file), what, source, wish, file, bar))
    if out is not None and out.is_file():
        click.echo(f"Wrote {out} ({out.stat().st_size:,} bytes).", err=True)


def _format_of(out: Path | None) -> str:
    """By the ending of the file's name.

    Raises:
        click.UsageError: no format has this ending: sound under a wrong name plays nowhere.
    """
    ending = out.suffix.removeprefix(".").lower() if out else ""
    if not ending or out in {Path("-"), Path(os.devnull)}:
        return "mp3"
    fmt = {"ogg": "opus", "oga": "opus"}.get(ending, ending)
    if fmt not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise click.UsageError(f"No format is written as .{ending}. Use {known}, or say which with --format.")
    return fmt


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("speaking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


async def _in_process(
    settings: Settings, text: str, source: str, wish: Wish, file: BinaryIO, bar: Progress
) -> None:
    async with open_house(settings) as house:
        plan = await house.studio.plan(wish.request(text, source, house.voices, house.outputs))
        # In a file the head's lengths can be right: made first, then written as a whole hit.
        if file.seekable() and not plan.request.output.format.streams_exactly:
            await _perform(house, plan, io.BytesIO(), bar)
        await _perform(house, plan, file, bar)


async def _perform(house: House, plan: Plan, file: IO[bytes], bar: Progress) -> None:
    task = bar.add_task("chunks", total=len(plan.chunks))
    async with house.studio.perform(plan) as speech:
        if isinstance(speech, Ready):
            try:
                async with aclosing(speech.sound()) as found:
                    async for window in found:
                        file.writelines(window)
            except (NotFound, MadeAnew):
                raise Failed("Some of it has gone from the cache, or was made anew; try again.") from None
            bar.update(task, completed=len(plan.chunks))
            return
        try:
            async with aclosing(speech.sound()) as sound:
                async for piece in sound:
                    file.write(piece)
                    bar.update(task, completed=len(speech.clips))
        except ProviderError as error:
            message = f"{error.provider} stopped in the middle ({error.code}); try again."
            raise Failed(message) from None


def _from_server(server: str, body: dict[str, str], file: BinaryIO, bar: Progress) -> None:
    if "://" not in server:
        server = f"http://{server}"
    bar.add_task("bytes", total=None)
    try:
        with httpx.stream(
            "POST", f"{server.rstrip('/')}/v1/audio/speech", json=body, timeout=120
        ) as response:
            if response.is_error:
                response.read()
                raise Failed(_message(response))
            file.writelines(response.iter_bytes())
    except httpx.HTTPError:
        raise Failed(f"No whole answer from {server}. Is it running, and is that its address?") from None


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {response.status_code}. Is that the address of a Refrain server?"

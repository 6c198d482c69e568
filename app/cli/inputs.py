"""Texts and answers of the commands: where they come from and where they go."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from app.audio.formats import FORMATS, SAMPLE_RATE
from app.errors import UnsupportedFormat
from app.speech.plan import SpeechRequest
from app.speech.voices import Voices

voice_option = click.option("--voice", default="default", show_default=True, help="Name or alias of a voice.")
format_option = click.option(
    "--format", "fmt", help=f"{', '.join(FORMATS)}; left out: by the output's name, else mp3."
)


def text_of(source: str) -> str:
    """`-` is standard input, `@FILE` a file, anything else the text itself.

    Raises:
        click.UsageError: the file cannot be read as UTF-8.
    """
    if source == "-":
        return sys.stdin.read()
    return document(source[1:]) if source.startswith("@") else source


def document(name: str) -> str:
    """A file's text; `-` is standard input.

    Raises:
        click.UsageError: it cannot be read as UTF-8.
    """
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise click.UsageError(
            f"Cannot read {name} as UTF-8 text; check the path and the encoding."
        ) from None


def request(text: str, voices: Voices, voice: str, fmt: str | None) -> SpeechRequest:
    """What to speak.

    Raises:
        UnknownVoice, UnsupportedFormat: with those that exist.
    """
    chosen = FORMATS.get(fmt or "mp3")
    if chosen is None:
        raise UnsupportedFormat(f"Unknown format. Use one of {', '.join(FORMATS)}.")
    return SpeechRequest(text, voices.find(voice), chosen, SAMPLE_RATE)


@contextmanager
def output(path: Path | None) -> Iterator[BinaryIO]:
    """Where the sound goes. A file appears under its name only when it is whole; None is standard output.

    Raises:
        click.UsageError: it cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = path.with_name(f".{path.name}.part")
    try:
        file = partial.open("wb")
    except OSError:
        raise click.UsageError(
            f"Cannot write {path}; check that its folder exists and is writable."
        ) from None
    try:
        with file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

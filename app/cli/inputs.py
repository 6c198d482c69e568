"""Texts and answers of the commands: where they come from and where they go."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from app.audio.formats import FORMATS, SAMPLE_RATE
from app.cli import Failed
from app.errors import UnsupportedFormat
from app.speech.plan import SpeechRequest
from app.speech.voices import Voices

voice_option = click.option("--voice", default="default", show_default=True, help="Name or alias of a voice.")
format_option = click.option(
    "--format", "fmt", help=f"{', '.join(FORMATS)}; left out: as the output is named, else mp3."
)


def text_of(source: str) -> str:
    """`-` is standard input, `@FILE` a file, anything else the text itself.

    Raises:
        click.UsageError: the file cannot be read as UTF-8.
    """
    if source == "-":
        return document(source)
    return document(source[1:]) if source.startswith("@") else source


def document(name: str) -> str:
    """A file's text; `-` is standard input.

    Raises:
        click.UsageError: it cannot be read as UTF-8.
    """
    try:
        # Bytes, since the terminal's locale says nothing of what is piped in.
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        what = "standard input" if name == "-" else name
        raise click.UsageError(
            f"Cannot read {what} as UTF-8 text; check the path and the encoding."
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


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextmanager
def output(path: Path | None) -> Iterator[BinaryIO]:
    """Where the sound goes. A file appears under its name only when it is whole; None is standard output.

    Raises:
        click.UsageError: it cannot be written.
        Failed: there is no room for all of it.
    """
    try:
        if path is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif path.exists() and not path.is_file():
            # A device or a pipe is written to. Put into its place, a file would end /dev/null for everybody.
            with _opened(path, path) as file:
                yield file
        else:
            with _replacing(path) as file:
                yield file
    except OSError as error:
        if error.errno not in _FULL:
            raise
        if path is None:  # what is still in its buffer would fail once more at exit, and be told as a defect
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Failed(f"Cannot write all of {path or 'standard output'}; is the disk full?") from None


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    target = path.resolve()  # what a link leads to is replaced, not the link
    # By its own name, so that two that write one file at once do not write into each other's.
    partial = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        with _opened(partial, path) as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _opened(place: Path, path: Path) -> BinaryIO:
    try:
        return place.open("wb")
    except OSError:
        raise click.UsageError(
            f"Cannot write {path}; check that its folder exists and is writable."
        ) from None

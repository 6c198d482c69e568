"""Texts and answers of the commands: where they come from and where they go."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from app.cli import Failed


def text_of(argument: str) -> tuple[str, str]:
    """`-` is standard input, `@FILE` a file, anything else the text itself; and the name of the file, or `-`.

    Raises:
        click.UsageError: the file cannot be read as UTF-8.
    """
    if argument != "-" and not argument.startswith("@"):
        return argument, "-"
    source = argument.removeprefix("@")
    return document(source), source


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
        raise unreadable(name) from None


def unreadable(name: str) -> click.UsageError:
    """What is said of a file that is not there or not text."""
    what = "standard input" if name == "-" else name
    return click.UsageError(f"Cannot read {what} as UTF-8 text; check the path and the encoding.")


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

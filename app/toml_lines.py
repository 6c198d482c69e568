"""Which line of a TOML file a key stands on: the standard parser does not say."""

import re
import tomllib
from typing import Any

_PART = r"(?:[\w-]+|\"(?:[^\"\\]|\\.)*+\"|'[^']*')"
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*+"
_TABLE = re.compile(rf"^\s*\[\[?\s*({_NAME})\s*\]")
_KEY = re.compile(rf"^\s*({_NAME})\s*=")

Path = tuple[str | int, ...]


def _split(dotted: str) -> tuple[str, ...]:
    """The names in a dotted one: any of them may be quoted, and have dots in it."""
    try:
        inner: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:  # a line that only looks like a key, within a text
        return ()
    names: list[str] = []
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return tuple(names)


def lines(source: str) -> dict[tuple[str, ...], int]:
    """The line (from 1) of every table head and every `key =` that starts a line, by full path."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(source.split("\n"), start=1):
        if head := _TABLE.match(line):
            table = _split(head[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault(table + _split(key[1]), number)
    return found


def line_of(found: dict[tuple[str, ...], int], path: Path) -> int | None:
    """The line of `path`, or of the nearest key that encloses it (an inline table's); None if none is there."""
    names: list[str] = [str(part) for part in path]
    while names:
        if (line := found.get(tuple(names))) is not None:
            return line
        names.pop()
    return None

"""Which line of a TOML file a key stands on: the standard parser does not say."""

import re

_TABLE = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"^\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")

Path = tuple[str | int, ...]


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def lines(source: str) -> dict[tuple[str, ...], int]:
    """The line (from 1) of every table head and every `key =` that starts a line, by full path."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(source.splitlines(), start=1):
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

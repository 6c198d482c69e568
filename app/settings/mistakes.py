"""What is wrong with a configuration, in words for the person who wrote it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Where = tuple[str | int, ...]

_OF_A_KEY = "[key]"  # pydantic's last part of the path where a key itself is wrong
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is and what to do about it. `line` is None for environment variables and defaults."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        """One line for a terminal."""
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class BadConfiguration(Exception):
    """The configuration has mistakes; `problems` has them all."""

    def __init__(self, problems: list[Problem], source: str) -> None:
        """`source` names the file, for the message."""
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        super().__init__("\n".join([f"{source} has {count}:", *(f"  {problem}" for problem in problems)]))
        self.problems = problems


def dotted(path: Where) -> str:
    """The path as it is written in TOML; what is wrong with a key itself has the key's path."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path).lstrip(".")


def _key(part: str) -> str:
    return part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)


_SENTENCES = {
    "extra_forbidden": "unknown key; check its spelling, or take it out",
    "missing": "is missing; add it",
    "too_short": "is empty; it needs at least one",
    "string_type": "must be a string",
    "string_pattern_mismatch": "has a form that is not known; samples/refrain.toml shows how it is written",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
}
_BOUNDS = {
    "ge": "must be at least",
    "gt": "must be more than",
    "le": "must be at most",
    "max_length": "is too long; the most characters are",
    "expected": "must be",
}


def sentences(items: Sequence[Any]) -> list[tuple[Where, str]]:
    """In our words. A list counts as empty also where its only item is wrong: that is told of the item alone."""
    wheres = [item["loc"] for item in items]
    return [
        (tuple(part for part in item["loc"] if part != _OF_A_KEY), _sentence(item))
        for item in items
        if item["type"] != "too_short"
        or not any(where[: len(item["loc"])] == item["loc"] != where for where in wheres)
    ]


def _sentence(item: Any) -> str:
    for bound, words in _BOUNDS.items():
        if bound in item.get("ctx", {}):
            return f"{words} {item['ctx'][bound]}"
    return _SENTENCES.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")

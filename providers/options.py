"""Reading a provider's own options: each a string in the configuration, each with a parser that explains itself.

A parser takes the string and answers the value, or raises ValueError with what the value must be, in words that
finish the sentence "KEY must be ...".
"""

from collections.abc import Callable, Mapping
from typing import Any

from providers.interface import ProviderSettings

Parser = Callable[[str], Any]


def seconds(value: str) -> float:
    """A duration in seconds."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError("a number of seconds, 0 or more")
    return number


def decibels(value: str) -> float:
    """A gain."""
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not -60 <= number <= 60:  # noqa: PLR2004 - more is no sound, or only clipping
        raise ValueError("a gain in decibels from -60 to 60")
    return number


def count(least: int, most: int) -> Parser:
    """A whole number within these bounds."""

    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    return parse


def number(least: float, most: float) -> Parser:
    """A number within these bounds."""

    def parse(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return found

    return parse


def flag(value: str) -> bool:
    """Yes or no."""
    if value not in {"true", "false"}:
        raise ValueError("true or false")
    return value == "true"


def choice(*names: str) -> Parser:
    """One of these words."""

    def parse(value: str) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return value

    return parse


def words(value: str) -> str:
    """Any text but none."""
    if not value.strip():
        raise ValueError("some text")
    return value


def names(value: str) -> tuple[str, ...]:
    """Names apart by blanks or commas, each once, in their order: to some vendors it is a meaning."""
    found = tuple(dict.fromkeys(value.replace(",", " ").split()))
    if not found:
        raise ValueError("a list of names, apart by blanks")
    return found


def keyed(settings: ProviderSettings) -> list[str]:
    """What is wrong with the key and the address of a vendor that takes nobody without a key."""
    if not settings.api_key:
        return ["api_key is needed.", *reached(settings)]
    return reached(settings)


def reached(settings: ProviderSettings) -> list[str]:
    """What is wrong with the key and the address, as far as there are any."""
    found = []
    if settings.api_key and not (settings.api_key.isascii() and settings.api_key.isprintable()):
        found.append("api_key must be printable ASCII on one line.")
    if settings.base_url is not None and not settings.base_url.startswith(("http://", "https://")):
        found.append("base_url must begin with http:// or https://.")
    return found


def problems(options: tuple[tuple[str, str], ...], parsers: Mapping[str, Parser]) -> list[str]:
    """One sentence for each option that is unknown or cannot be read; never its value, which may be secret."""
    found = []
    for key, value in options:
        if key not in parsers:
            found.append(
                f"{key} is not an option of this kind; it has {', '.join(sorted(parsers)) or 'none'}."
            )
            continue
        try:
            parsers[key](value)
        except ValueError as error:
            found.append(f"{key} must be {error}.")
    return found


def read(options: tuple[tuple[str, str], ...], parsers: Mapping[str, Parser]) -> dict[str, Any]:
    """The options' values. Call it with options that have no `problems`."""
    return {key: parsers[key](value) for key, value in options}

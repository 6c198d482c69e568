"""Durations, sizes and secrets as they are written in the configuration."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")


def seconds(value: object) -> object:
    """`"250ms"`, `"2s"`, `"5m"`, `"1h"`, `"30d"` in seconds; numbers are seconds already.

    Raises:
        ValueError: it is a string, but not a duration.
    """
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value.strip())
    if match is None or match[2] not in _MILLISECONDS:
        raise ValueError('write a duration such as "250ms", "2s", "5m", "1h" or "30d"')
    return float(match[1]) * _MILLISECONDS[match[2]] / 1_000  # not times 0.001: 350 ms are 0.35 s exactly


def size(value: object) -> object:
    """`"64MiB"`, `"1MB"`, `"500KB"` in bytes; numbers are bytes already.

    Raises:
        ValueError: it is a string, but not a size.
    """
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value.strip())
    if match is None or match[2].upper() not in _BYTES:
        raise ValueError('write a size such as "64MiB", "500KB" or "1GB"')
    return int(float(match[1]) * _BYTES[match[2].upper()])


def secret(value: object) -> object:
    """`"env:NAME"` and `"file:PATH"` are looked up; anything else is the secret itself.

    Raises:
        ValueError: there is no such variable or file, or nothing is in it; says which, never what was in it.
    """
    if not isinstance(value, str):
        return value
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if not (found := os.environ.get(name)):
            raise ValueError(f"the environment variable {name} is not set; set it, or leave the key out")
        return found
    if value.startswith("file:"):
        path = Path(value.removeprefix("file:"))
        try:
            found = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError(
                f"cannot read the secret from {path}; check that it exists and is readable"
            ) from None
        if not found:
            raise ValueError(f"the file {path} is empty; write the secret into it, or leave the key out")
        return found
    return value


Seconds = Annotated[float, BeforeValidator(seconds)]
Bytes = Annotated[int, BeforeValidator(size)]

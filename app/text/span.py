"""Offsets into a text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: offsets in characters, `end` behind the last one."""

    start: int
    end: int

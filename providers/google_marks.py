"""Words timed by Google: a mark of SSML before each, and when each mark was passed."""

import re
from collections.abc import Iterator
from typing import Any, Final
from xml.sax.saxutils import escape

from providers.interface import Limit, Timing

RULES: Final = 1
"""To be raised with every change here that changes what is sent or told: clips keep what they were told."""
LAST: Final = 0.6
"""Seconds that the last word is taken to last where the mark behind it is not told."""
_END: Final = "end"
_WORD: Final = re.compile(r"\S+")
_MARK: Final = re.compile(r"<mark [^>]*/>")
_WORST: Final = 30
"""Bytes that a character can come to: a mark of four digits, and a character that is escaped."""


def marked(text: str) -> str:
    """Plain text as a fragment of SSML with a mark before each word, and one behind them all."""
    return "".join(_parts(text))


def without(ssml: str) -> str:
    """Without marks."""
    return _MARK.sub("", ssml)


def _parts(text: str) -> Iterator[str]:
    behind = 0
    for number, word in enumerate(_WORD.finditer(text)):
        yield text[behind : word.start()]
        yield f'<mark name="{number}"/>{escape(word.group())}'
        behind = word.end()
    yield f'{text[behind:]}<mark name="{_END}"/>'


def limit(most: int) -> Limit:
    """Bytes of UTF-8 as sent: the marks count as well."""
    return Limit(
        most, lambda text, ssml: len((marked(text) if ssml is None else ssml).encode()), _WORST, unit="bytes"
    )


def timings(text: str, told: Any) -> list[Timing]:
    """Of the words of `text`, from the `timepoints` of an answer; a word ends where the next one begins."""
    passed = dict(_passed(told))
    words = [
        (word, passed[name])
        for number, word in enumerate(_WORD.finditer(text))
        if (name := str(number)) in passed
    ]
    ends = [begins for _, begins in words[1:]]
    if words:
        ends.append(passed.get(_END, words[-1][1] + LAST))
    return [Timing(word.start(), word.end(), at, end) for (word, at), end in zip(words, ends, strict=True)]


def _passed(told: Any) -> Iterator[tuple[str, float]]:
    for point in told if isinstance(told, list) else []:
        match point:
            case {"markName": str() as name, "timeSeconds": int() | float() as seconds}:
                yield name, float(seconds)
            case {"markName": str() as name} if "timeSeconds" not in point:
                yield name, 0.0  # its JSON leaves out what is nought

"""Text as the hibari engine can take it: readable letters, and nothing that its rules choke on. Pure functions.

The engine reads Latin letters; other scripts are transliterated, so that something is said rather than nothing.
Its grapheme-to-phoneme rules are pure Python and, measured with hibari-tts 0.2.1, cubic in the length of a word
with signs in it (300 characters of "a/" take 3.6 s) and of "[" (4,000 take 6 s), and raise IndexError on numbers
of hundreds of digits: over-long words and numbers are taken apart here.
"""

import re
from typing import Final

from anyascii import anyascii

RULES: Final = 1
"""To be raised with every change here that changes what is read: it is part of what names the sound."""

_LONGEST_WORD: Final = 40
_LONGEST_NUMBER: Final = 15

_LATIN: Final = "\u024f"
# General punctuation and currency signs have readings of their own in the engine.
_KEPT: Final = (("\u2010", "\u2027"), ("\u20a0", "\u20cf"))
# "[text](/phonemes/)" dictates phonemes to the engine; plain text must not.
_BRACKETS: Final = str.maketrans("[]", "()")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_LONG_NUMBER = re.compile(rf"\d[\d,.]{{{_LONGEST_NUMBER},}}")
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")
_SIGNS = re.compile(r"[^\w\s'\u2019]+|_+")
_OVERLONG = re.compile(rf"(\S{{{_LONGEST_WORD}}})(?=\S)")
_EMOJI = re.compile(r":([a-z0-9_+-]+):")


def readable(text: str) -> str:
    """The text in characters that the engine reads; may be empty."""
    latin = "".join(map(_letter, _CONTROL.sub(" ", text).translate(_BRACKETS)))
    spelled = _LONG_NUMBER.sub(_spell, latin)
    return _LONG_WORD.sub(_take_apart, spelled)


def _letter(character: str) -> str:
    if character <= _LATIN or any(low <= character <= high for low, high in _KEPT):
        return character
    return _EMOJI.sub(_emoji, anyascii(character)).translate(_BRACKETS)


def _emoji(found: re.Match[str]) -> str:
    return " " + found[1].replace("_", " ") + " "


def _spell(number: re.Match[str]) -> str:
    return " ".join(sign for sign in number[0] if sign.isdigit())


def _take_apart(word: re.Match[str]) -> str:
    return _OVERLONG.sub(r"\1 ", _SIGNS.sub(lambda sign: sign[0][:3] + " ", word[0]))

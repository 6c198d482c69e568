"""How vendors bound what they take at once, each in a unit of its own.

What is counted is the utterance. Where a vendor counts what an adapter puts around it as well (the root of SSML), the
adapter takes that off `most`.
"""

import re
from typing import Final

from providers.interface import Limit

_TAG: Final = re.compile(r"<[^>]*>")
_REFERENCE: Final = re.compile(r"&[a-z]+;|&#[0-9]+;")
_ESCAPED: Final = {"&": 5, "<": 4, ">": 4, '"': 6, "'": 6}
_UTF8: Final = 4  # bytes of the longest code point
_REPLACED: Final = max(_ESCAPED.values())


def characters(most: int) -> Limit:
    """Code points as sent, tags of SSML among them (ElevenLabs, Deepgram)."""
    return Limit(most, lambda text, ssml: len(text if ssml is None else ssml), worst=1, unit="characters")


def utf8_bytes(most: int) -> Limit:
    """Bytes of UTF-8 as sent, tags of SSML among them (Google)."""
    return Limit(
        most, lambda text, ssml: len((text if ssml is None else ssml).encode()), worst=_UTF8, unit="bytes"
    )


def escaped_characters(most: int) -> Limit:
    """Code points where plain text, too, is sent as SSML, and so escaped (Azure)."""
    return Limit(
        most,
        lambda text, ssml: _escaped(text) if ssml is None else len(ssml),
        worst=_REPLACED,
        unit="characters, escaped",
    )


def billed_characters(most: int) -> Limit:
    """Code points of the text alone: tags of SSML are free, a reference such as `&amp;` is one (Polly)."""
    return Limit(
        most,
        lambda text, ssml: len(text) if ssml is None else _billed(ssml),
        worst=1,
        unit="billed characters",
    )


def tokens(most: int) -> Limit:
    """Tokens of a byte-level vocabulary, counted as bytes of UTF-8: no text has more (OpenAI's later models)."""
    return Limit(
        most, lambda text, ssml: len((text if ssml is None else ssml).encode()), worst=_UTF8, unit="tokens"
    )


def _escaped(text: str) -> int:
    return len(text) + sum(text.count(sign) * (size - 1) for sign, size in _ESCAPED.items())


def _billed(ssml: str) -> int:
    return len(_REFERENCE.sub("&", _TAG.sub("", ssml)))

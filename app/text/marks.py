"""Which characters mean what to the sentence finder. Sets of single characters; membership is one look-up."""

# ruff: noqa: RUF001 - typographic and full-width marks are what this file is about

import unicodedata
from typing import Final

STOPS: Final = frozenset(".．")
CRIES: Final = frozenset("!?")
ELLIPSES: Final = frozenset("…‥")
# Marks that end a sentence by themselves, whatever follows: CJK, danda, Ethiopic, Khmer, Arabic, Armenian, Burmese,
# Syriac, Mongolian, Tibetan; Unicode's property Sentence_Terminal without those that also stand inside words.
STRONG: Final = frozenset("。！？｡।॥።፧፨។៕؟۔։။܀᠃᠉།༎᥄᥅‼⁇⁈⁉‽")
GREEK_QUESTION: Final = ";"
TERMINATORS: Final = STOPS | CRIES | ELLIPSES | STRONG

QUOTES: Final = frozenset("\"'”’“‘»«›‹」』〉》")
BRACKETS: Final = frozenset(")]}）］】〕")
# What may stand directly behind a terminator and belongs to its sentence. Markdown's emphasis and code marks count,
# and the invisible marks of direction and width.
CLOSERS: Final = QUOTES | BRACKETS | frozenset("*_`~\u200b\u200e\u200f\u2060\u2069\u202c¹²³")
# Behind a full-width mark these open the next quotation instead: “走吧。”“好。”
CJK_OPENERS: Final = frozenset("“‘«‹")
SPACED_CLOSERS: Final = frozenset('»›”"')
OPENERS: Final = frozenset("\"'“‘„‚«»‹›([{¿¡*_`~「『（【〈《\u200b\u200e\u200f")
CLAUSE: Final = frozenset(",;:，、；：،؛")
DASHES: Final = frozenset("-–—―")


def is_extender(character: str) -> bool:
    """Whether it continues the grapheme before it, so that no cut may be made in front of it."""
    if not character or character < "\u0300":
        return False
    return (
        character in "\u200c\u200d\uff9e\uff9f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
        or unicodedata.category(character) in {"Mn", "Mc", "Me"}
    )


def is_emoji(character: str) -> bool:
    """A pictograph that trails a sentence ("Great! 🎉"); rough on purpose, the block ranges of Unicode's emoji."""
    return (
        "\U0001f000" <= character <= "\U0001faff"
        or "\u2600" <= character <= "\u27bf"
        or character == "\u2b50"
    )


def is_upper(character: str) -> bool:
    """A capital, title case included (Dž)."""
    return character.isupper() or character.istitle()


def is_uncased(character: str) -> bool:
    """A letter of a script without capitals, such as Arabic, Thai, Han."""
    return character.isalpha() and not character.islower() and not is_upper(character)

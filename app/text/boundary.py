"""Is this the end of a sentence? The one decision that whole texts and live text share.

A decision sees three strings of bounded length and nothing else: how the sentence opens, what stands just before the
mark, and what stands just behind it. So it costs the same wherever it is asked, however long the sentence is. Text
behind the mark is read through `Ahead`, which notices when something is asked for that has not arrived: a decision
that did not need it stays the same whatever arrives later, and one that did is answered with MORE.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from app.text import marks
from app.text.abbreviations import Rules, rules, words
from app.text.ahead import (
    AHEAD,
    Ahead,
    Following,
    behind_emoji,
    blank_or_end,
    classify,
    footnote,
    goes_on,
    opens_plainly,
)

BEFORE: Final = 48  # characters before it
OPENING: Final = 16  # characters of the sentence's beginning

_LONG: Final = 25  # from this length on, a capital behind an ellipsis is taken for a new sentence
_WORD: Final = 4  # a lower-case word shorter than this may be an abbreviation that no table knows
_ORDINAL: Final = 2  # digits of the longest ordinal: days and centuries, no years
_LIST_NUMBER: Final = 3  # digits of the longest number of a list item
_FIRST_PERSON: Final = frozenset({"i", "i'm", "i’m", "i'll", "i’ll", "i've", "i’ve", "i'd", "i’d"})  # noqa: RUF001
_DAYS_AND_ZONES: Final = words(
    "monday tuesday wednesday thursday friday saturday sunday eastern pacific central mountain est edt pst pdt cst "
    "cdt mst mdt et pt gmt utc cet cest bst january february march april june july august september october november "
    "december"
)
_SPEECH_DASHES: Final = frozenset("–—―")  # noqa: RUF001 - a line of dialogue opens with them
_BRANDS: Final = words("yahoo jeopardy yum")  # as far as a capital behind them is often the name's
_COMPANIES: Final = words("inc corp co ltd llc plc")
_INITIALS: Final = frozenset(word[0].upper() for word in _COMPANIES)
_PLAIN_END: Final = re.compile(r"[.?][ \n]{1,2}[A-Z][a-z ]")
_QUOTED_WITHIN: Final = re.compile(r"""\s["'“„«‘]""")  # noqa: RUF001 - typographic quotes are meant
# Beginnings of verbs of saying, so that "replied" and "replies" need one entry.
_SAID: Final = tuple(
    words(
        "said asked cried repli whisper shout answer call yell exclaim murmur mutter snap demand add continu wonder "
        "scream groan sigh laugh interrupt inquir begged roar"
    )
)


class Undecided(Enum):
    """What a decision is when it is not a boundary."""

    NONE = "none"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Boundary:
    """The sentence ends here: `end` is the offset behind its last character."""

    end: int


Verdict = Boundary | Undecided


class _Place(NamedTuple):
    """A terminator and its surroundings."""

    mark: str
    opening: str
    before: str
    ahead: Ahead
    length: int  # characters of the sentence before the mark, exact up to BEFORE
    rules: Rules

    def token(self) -> str:
        """What stands between the last blank and the mark."""
        parts = self.before.rsplit(None, 1)
        return parts[-1] if parts and not self.before[-1].isspace() else ""

    def uncapitalized(self) -> bool:
        """Whether its writer begins sentences with small letters."""
        first = next((c for c in self.opening if c.isalnum()), "")
        return first.islower()


def decide(text: str, start: int, position: int, *, final: bool, language: str | None = None) -> Verdict:
    """Whether the sentence that begins at `start` ends with the terminator at `position`.

    Sees at most OPENING characters from `start`, BEFORE before and AHEAD behind `position`; constant time.
    `final` says that nothing will be added to `text`. MORE is only answered when it is not.
    Never raises; a mark that is no terminator is no boundary.
    """
    if text[position + 1 : position + 2] in marks.TERMINATORS:
        return Undecided.NONE  # the last mark of a run decides: a million of them cost a million glances
    its_rules = rules(language)
    if _ends_plainly(text, start, position, its_rules):
        return Boundary(position + 1)
    ahead = Ahead(text, position + 1, final=final)
    place = _Place(
        mark=text[position],
        opening=text[start : min(start + OPENING, position)],
        before=text[max(start, position - BEFORE) : position],
        ahead=ahead,
        length=min(position - start, BEFORE),
        rules=its_rules,
    )
    end = _end(place)
    if ahead.short:
        return Undecided.MORE
    return Undecided.NONE if end is None else Boundary(position + 1 + end)


def _ends_plainly(text: str, start: int, position: int, its_rules: Rules) -> bool:
    """The commonest end at a glance, for speed only: a word, a mark, a blank, a capital. `_end` would say the same."""
    if not _PLAIN_END.match(text, position):
        return False
    if text[position] != ".":
        return True
    blank = text.rfind(" ", max(start, position - BEFORE), position)
    word = text[blank + 1 : position]
    if blank < 0 or len(word) < 2 or not (word.isascii() and word.isalpha() and word[-1].islower()):  # noqa: PLR2004 - an initial is no word
        return False
    return not its_rules.abbreviations.intersection((word, word.lower()))


def _end(place: _Place) -> int | None:  # noqa: PLR0911 - a list of rules, the first that fits decides
    """Where the sentence ends, counted from behind the mark; None: it goes on."""
    ahead, mark = place.ahead, place.mark
    if mark == marks.GREEK_QUESTION and not "Ͱ" <= place.before[-1:] <= "Ͽ":
        return None
    tail, quoted = _tail(place)
    following = ahead.at(tail)
    if tail >= AHEAD or marks.is_extender(following):
        return None  # inside a grapheme, or beyond what may be seen
    if following and not following.isspace():
        return _joined(place, tail, quoted=quoted)
    first = ahead.blanks(tail)
    character = ahead.at(first)
    if not character or "\n\n" in ahead.text[tail:first]:
        return tail
    if marks.is_extender(character):
        return None
    if character in marks.TERMINATORS and not (ahead.at(first + 1).isalnum()):
        return None  # ". . ." and "? !": the last one decides
    if character in marks.CLAUSE or (character in marks.DASHES and goes_on(ahead, first)):
        return None
    # On a line of its own it may be another block's.
    if marks.is_emoji(character) and "\n" not in ahead.text[tail:first]:
        return behind_emoji(ahead, first, tail)
    ends = mark in marks.STRONG or _spaced(place, classify(ahead, first), closers=tail, quoted=quoted)
    return tail if ends else None


def _tail(place: _Place) -> tuple[int, bool]:
    """How many characters behind the mark belong to it (quotes, brackets, footnotes), and whether a quote is one."""
    ahead, index, quoted = place.ahead, 0, False
    while character := ahead.at(index):
        if character in marks.CLOSERS and not (place.mark in marks.STRONG and character in marks.CJK_OPENERS):
            quoted = quoted or character in marks.QUOTES
            index += 1
        elif character == "[" and (behind := footnote(ahead, index)):
            index = behind
        elif marks.is_extender(character) or marks.is_emoji(character):
            index += 1
        elif (
            character == " "
            and ahead.at(index + 1) in marks.SPACED_CLOSERS
            and blank_or_end(ahead, index + 2)
        ):
            quoted = True
            index += 2
        else:
            break
    return index, quoted


def _joined(place: _Place, tail: int, *, quoted: bool) -> int | None:
    """A mark with no blank behind it."""
    ahead, mark, before = place.ahead, place.mark, place.before
    following = ahead.at(tail)
    if mark in marks.STRONG:
        attributed = quoted and following.isalpha() and _attributed(place, following)
        return None if attributed or following in marks.CLAUSE else tail
    if mark in marks.ELLIPSES or following in marks.CLAUSE or tail:
        return None
    if marks.is_uncased(following):
        length = 1 if mark in marks.CRIES else 2
        return tail if len(before) >= length and all(marks.is_uncased(c) for c in before[-length:]) else None
    if marks.is_upper(following) and before[-2:].isalpha() and before[-1:].islower():
        return tail if _plain(place.token()) and opens_plainly(ahead) else None
    return None


def _attributed(place: _Place, following: str) -> bool:
    """「行かない。」と彼は言った。: the speaker is named behind the quotation, in the same sentence."""
    return following in "とっ" or place.opening[:1] in marks.OPENERS


def _plain(token: str) -> bool:
    """A word of prose: no part of an address, a path or a program."""
    return not any(c in token for c in "/@:_\\.#=&%") and token[:1] != "("


def _spaced(place: _Place, following: Following, *, closers: int, quoted: bool) -> bool:  # noqa: PLR0911 - a list of rules, the first that fits decides
    """A mark with a blank behind it and its closers."""
    if "`" in following.opener:
        return True
    if following.kind == "lower" and closers:
        return False  # "Really?" she asked; (at last!) it came
    if quoted and following.kind == "upper" and place.mark != "." and _said(place, following):
        return False
    if _elliptic(place):
        return _after_ellipsis(place, following, quoted=quoted)
    if place.mark in marks.STOPS:
        return quoted or _after_stop(place, following)
    if following.kind == "lower" and place.opening[:1] in _SPEECH_DASHES:
        return False  # — Viendra-t-il ? demanda-t-elle.
    if place.mark != "!":
        return True
    token = place.token()
    if token.lower() in _BRANDS or _company(place.ahead, following.at):
        return following.kind == "upper" and _starts(place, following)  # "Acme! Inc.", "Yahoo! Japan"
    if following.kind != "lower" or place.uncapitalized():
        return True
    # "I love Yahoo! because": an exclamation mark that is part of a name
    return not (marks.is_upper(token[:1]) and len(token) < place.length)


def _company(ahead: Ahead, index: int) -> bool:
    """Whether "Inc." or the like follows. Most first letters tell, so that live text need not wait for the word."""
    return ahead.at(index) in _INITIALS and ahead.word(index) in _COMPANIES


def _said(place: _Place, following: Following) -> bool:
    """Whether a speaker follows: "Really?" Mary said. What the window cuts off is taken for what it can be."""
    ahead, index = place.ahead, following.at
    name = ahead.word(index)
    if name in place.rules.starters and name not in _FIRST_PERSON:
        return False  # "Who?" Nobody answered.
    if _QUOTED_WITHIN.search(place.before):
        return False  # They ask "Who?" Mary said so.
    while (character := ahead.at(index)) and not character.isspace():
        index += 1
    if marks.is_upper(ahead.at(index + 1)):  # "Stop!" Margaret Thatcher said
        return not place.rules.capital_nouns
    verb = ahead.word(index + 1)
    if verb and index + 1 + len(verb) == AHEAD:
        return any(said.startswith(verb[: len(said)]) for said in _SAID)
    return len(verb) > 3 and verb.startswith(_SAID)  # noqa: PLR2004 - "said" is the shortest


def _elliptic(place: _Place) -> bool:
    behind = place.before.rstrip()
    return place.mark in marks.ELLIPSES or (place.mark in marks.STOPS and behind[-1:] in {".", "…"})


def _after_ellipsis(place: _Place, following: Following, *, quoted: bool) -> bool:
    """A pause within a sentence, or its end? Short beginnings ("Well... I don't know.") are pauses."""
    if following.kind in {"lower", "digit"}:
        return False
    if following.kind == "upper" and not following.opener and not quoted:
        return place.length >= _LONG and place.ahead.word(following.at) not in _FIRST_PERSON
    return quoted or place.length >= _LONG


def _after_stop(place: _Place, following: Following) -> bool:  # noqa: PLR0911 - a list of rules, the first that fits decides
    """A full stop and a blank: an abbreviation, an initial, a number of a list, or the end."""
    token = place.token()
    bare = token.lstrip("\"'“‘„«‹([{¿¡*_`")  # noqa: RUF001 - typographic quotes are meant
    if not bare:
        return True
    if len(token) == place.length and _numbers_an_item(bare):
        return False
    kind, its_rules = following.kind, place.rules
    word = _looked_up(bare, its_rules)
    if its_rules.has(its_rules.never, word):
        return False
    if its_rules.counts(word) and _counted(place, following):
        return False
    if its_rules.has(its_rules.clock, word):
        return kind == "upper" and place.ahead.word(following.at) not in _DAYS_AND_ZONES
    if bare.isdigit() and len(bare) <= _ORDINAL and its_rules.ordinals:
        return kind == "upper" and _ends_with_number(place, following)
    if _abbreviates(word, its_rules):
        alone = len(token) == place.length and "." in word  # "P.S. The wine was fine."
        return kind == "upper" and not alone and _starts(place, following)
    if kind == "lower":
        return place.uncapitalized() or (len(bare) >= _WORD and bare.isalpha())
    return True


def _counted(place: _Place, following: Following) -> bool:
    """Whether what follows "Fig." or "Sept." goes on with it: "12", "S3", "$5", "the river"."""
    if following.kind == "lower":
        return not place.uncapitalized()
    return following.kind == "digit" or place.ahead.at(following.at + 1).isdigit()


def _looked_up(bare: str, its_rules: Rules) -> str:
    """What of a word stands in the tables: "ing" of "l'ing", "Gov" of "ex-Gov", "P" of "J.-P"."""
    tail = bare[bare.rfind("-") + 1 :]
    if marks.is_upper(tail[:1]):
        bare = tail
    if not its_rules.elides:
        return bare
    return bare[max(bare.rfind("'"), bare.rfind("’")) + 1 :] or bare  # noqa: RUF001 - the typographic one is meant


def _starts(place: _Place, following: Following) -> bool:
    """Whether a usual opening word follows; in "J. A. Cole" an initial looks like one."""
    word, ahead = place.ahead.word(following.at), place.ahead
    return word in place.rules.starters and not (len(word) == 1 and ahead.at(following.at + 1) in marks.STOPS)


def _ends_with_number(place: _Place, following: Following) -> bool:
    """Where ordinals have a stop: whether the one behind this number is the sentence's nevertheless."""
    words = place.before.rsplit(None, 2)
    if len(words) > 2 and place.rules.counts(words[-2].rstrip(".")):  # noqa: PLR2004 - "see", "Nr.", "5"
        return True
    if place.rules.capital_nouns:
        return _starts(place, following)
    return place.ahead.at(following.at + 1).islower()  # nouns are small here, but for names: "1. FC Brno"


def _numbers_an_item(bare: str) -> bool:
    """Whether "1.", "a.", "IV." stands at a sentence's beginning: the item's text follows."""
    if bare.isdigit():
        return len(bare) <= _LIST_NUMBER
    return len(bare) == 1 or (len(bare) <= _LIST_NUMBER + 1 and all(c in "IVX" for c in bare))


def _abbreviates(bare: str, language: Rules) -> bool:
    """Whether a stop behind this word usually does not end a sentence."""
    if language.has(language.trailing, bare):
        return True
    if len(bare) == 1:
        return bare.isalpha()
    if language.ordinals and all(c in "IVX" for c in bare):
        return True
    parts = bare.split(".")
    return len(parts) > 1 and len(parts[-1]) == 1 and all(p.isalpha() and len(p) <= 2 for p in parts)  # noqa: PLR2004

"""How the operator wants words to be said: found in a text, and marked there.

A text is read in tokens: words, single characters of scripts without spaces, single signs, white space. Entries are
kept as paths of tokens, so that a text takes the same time however many there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

import regex

from app.text.document import Mark
from app.text.marks import is_upper
from app.text.normalize import spelled

ANY: Final = "any"
"""The name of the list for every language."""

# Where a word ends is not to be seen, or (Korean) what belongs to it stands behind it without a space: in these
# scripts entries match wherever they stand.
_UNSPACED: Final = "".join(
    rf"\p{{scx={script}}}"
    for script in ("Hani", "Hira", "Kana", "Hang", "Thai", "Laoo", "Khmr", "Mymr", "Tibt")
)
_IN_WORDS: Final = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{_UNSPACED}--\p{{sc=Zinh}}]]"  # accents are of every script
_WORD: Final = regex.compile(rf"{_IN_WORDS}++", regex.VERSION1)
_TOKEN: Final = regex.compile(
    rf"""
    \s++
    | (?<=[\p{{L}}\p{{N}}])'(?i:s|t|m|d|ll|re|ve)(?![\p{{L}}\p{{N}}\p{{M}}_])  # "nginx's": of no word of its own
    | {_IN_WORDS}++
    | .\p{{M}}*+
    """,
    regex.VERSION1 | regex.VERBOSE | regex.DOTALL,
)
_BLANK: Final = " "
_APART: Final = "\n\n"  # what an empty line divides is not one entry
_NEGATION: Final = "'t"  # "can't" is another word than "can"


@dataclass(frozen=True, slots=True)
class Saying:
    """How one entry is said: by other words, by sounds in the IPA for voices that take them, or both (one at least)."""

    say: str | None = None
    ipa: str | None = None


@dataclass(slots=True)
class _Node:
    """What may follow the tokens so far; `written` are entries with a capital, by their tokens as written."""

    following: "dict[str, _Node]" = field(default_factory=dict)
    any_case: Saying | None = None
    written: dict[tuple[str, ...], Saying] = field(default_factory=dict)

    def saying(self, tokens: Sequence[str]) -> Saying | None:
        """Of the entry that ends here, spelled like this: one with a capital before one without."""
        return self.written.get(tuple(tokens), self.any_case) if self.written else self.any_case


class Pronunciations:
    """Lists of words and how they are said, each for a language or for `ANY`."""

    def __init__(self, lists: Mapping[str, Mapping[str, Saying]]) -> None:
        """`lists` by tag, each by the words as written, with something to say in them and without line ends.

        Written in small letters they are meant in any case, with a capital only like that.
        """
        self._lists = {tag.lower(): _tree(entries) for tag, entries in lists.items() if entries}

    def marks(self, text: str, language: str | None) -> list[Mark]:
        """What of a text (in one spelling) is said otherwise: in order, none within another.

        Whole words only; the longest entry wins, then that of the nearest language ("de-AT", "de", `ANY`). An entry
        of several words does not reach across an empty line. Linear in the length of the text; never raises.
        """
        trees = [self._lists[name] for name in _names(language) if name in self._lists]
        if not trees:
            return []
        tokens = _tokens(text)
        begins = {token for token in set(tokens) if any(_folded(token) in tree.following for tree in trees)}
        if not begins:
            return []
        found: list[Mark] = []
        offsets = list(accumulate(map(len, tokens), initial=0))
        free = 0
        for at, token in enumerate(tokens):
            if at >= free and token in begins and (match := _longest(trees, tokens, at)):
                free, saying = match
                found.append(_mark(offsets[at], offsets[free], saying))
        return found


def one_word(before: str, behind: str) -> bool:
    """Whether two texts, one directly behind the other, run into one word there; not in scripts without spaces."""
    return bool(_WORD.fullmatch(before[-1:]) and _WORD.fullmatch(behind[:1]))


def _names(language: str | None) -> Iterator[str]:
    """The lists for a language, nearest first."""
    parts = language.lower().split("-") if language else []
    for count in range(len(parts), 0, -1):
        yield "-".join(parts[:count])
    yield ANY


def identity(entry: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The same for entries that are found in the same places, however they are typed.

    Its tokens in any case; and as they are written, where that counts.

    Raises:
        InvalidText: it has NUL or half a surrogate pair in it.
    """
    entry = spelled(entry).strip()
    tokens = _tokens(entry)
    written = tuple(map(_as_blank, tokens)) if any(map(is_upper, entry)) else ()
    return tuple(map(_folded, tokens)), written


def _tree(entries: Mapping[str, Saying]) -> _Node:
    root = _Node()
    for entry, saying in entries.items():
        tokens, written = identity(entry)
        node = root
        for token in tokens:
            node = node.following.setdefault(token, _Node())
        if written:
            node.written[written] = saying
        else:
            node.any_case = saying
    return root


def _tokens(text: str) -> list[str]:
    """All of a text, token by token."""
    return _TOKEN.findall(text.replace("’", "'"))  # noqa: RUF001 - the typographic apostrophe is meant


def _folded(token: str) -> str:
    """The same for a word in any case, and for white space of any kind."""
    return _as_blank(token).casefold()


def _as_blank(token: str) -> str:
    if not token.isspace():
        return token
    return _BLANK if token.count("\n") < len(_APART) else _APART


def _longest(trees: Sequence[_Node], tokens: Sequence[str], at: int) -> tuple[int, Saying] | None:
    """The longest entry that begins with this token, nearest language first: how far it goes, and how it is said."""
    best: tuple[int, Saying] | None = None
    for tree in trees:
        for end, node in _path(tree, tokens, at):
            if best and end <= best[0]:
                continue
            saying = node.saying([_as_blank(token) for token in tokens[at:end]])
            if saying and _stands_alone(tokens, at, end):
                best = end, saying
    return best


def _path(node: _Node, tokens: Sequence[str], at: int) -> Iterator[tuple[int, _Node]]:
    """The nodes along a text, each with the token behind it."""
    for position in range(at, len(tokens)):
        following = node.following.get(_folded(tokens[position]))
        if following is None:
            return
        node = following
        if node.any_case or node.written:
            yield position + 1, node


def _stands_alone(tokens: Sequence[str], start: int, end: int) -> bool:
    """Whether these tokens are no part of a longer word.

    Words are whole by themselves. Behind or before a sign ("C++", ".NET") must be no letter, unless there is nothing
    but signs ("%").
    """
    before = tokens[start - 1] if start else ""
    behind = tokens[end] if end < len(tokens) else ""
    if behind.lower() == _NEGATION and _WORD.fullmatch(tokens[end - 1]):
        return False
    if not any(map(_WORD.fullmatch, tokens[start:end])):
        return True
    first, last = tokens[start], tokens[end - 1]
    open_before = _is_sign(first) and _WORD.fullmatch(before) and before[-1].isalpha()
    open_behind = _is_sign(last) and _WORD.fullmatch(behind) and behind[0].isalpha()
    return not (open_before or open_behind)


def _is_sign(token: str) -> bool:
    return not token[0].isalnum()


def _mark(start: int, end: int, saying: Saying) -> Mark:
    if saying.ipa is not None:
        return Mark(start, end, "phoneme", (("alphabet", "ipa"), ("ph", saying.ipa)), saying.say)
    assert saying.say is not None, "an entry says something"
    return Mark(start, end, "sub", (("alias", saying.say),), saying.say)

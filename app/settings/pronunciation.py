"""`[pronunciation.any]`, `[pronunciation.de]`: how words are said that voices get wrong."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.settings.mistakes import Where
from app.settings.table import Table
from app.text.language import is_tag
from app.text.normalize import InvalidText, speakable, spelled
from app.text.pronunciation import ANY, Saying, identity

MOST_ENTRIES = 10_000
"""In all lists together."""
LONGEST_WORD = 100
LONGEST_SAYING = 200


def _one_line(text: str) -> str:
    """In one spelling, as texts are.

    Raises:
        ValueError: it is more than a line, or nothing that a voice would say.
    """
    text = spelled(text).strip()
    if "\n" in text:
        raise ValueError("has a line end in it; write it on one line")
    if not speakable(text):
        raise ValueError("has nothing that can be spoken; it needs a letter, a number, or a sign with a name")
    return text


def _word(text: str) -> str:
    if len(text) > LONGEST_WORD:
        raise ValueError(f"is too long for an entry; write at most {LONGEST_WORD} characters")
    return _one_line(text)


def _tag(name: str) -> str:
    if name != ANY and not is_tag(name):
        raise ValueError(
            f'is not a language; write a tag such as "en" or "pt-BR", or "{ANY}" for all of them'
        )
    return name


def _in_full(written: Any) -> Any:
    """`"engine x"` is short for `{ say = "engine x" }`."""
    if not isinstance(written, str | dict | Entry):
        raise ValueError("must be a string or a table")  # noqa: TRY004 - pydantic lets a TypeError through
    return {"say": written} if isinstance(written, str) else written


Sounds = Annotated[str, Field(max_length=LONGEST_SAYING), AfterValidator(_one_line)]


class Entry(Table):
    """How a word is said: `say` by other words, `ipa` by sounds, for the providers that take them."""

    say: Sounds | None = None
    ipa: Sounds | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Entry":
        if self.say is None and self.ipa is None:
            raise ValueError("says nothing; write how the word is said: say, ipa, or both")
        return self

    def saying(self) -> Saying:
        """As texts are read with it."""
        return Saying(self.say, self.ipa)


List = dict[Annotated[str, AfterValidator(_word)], Annotated[Entry, BeforeValidator(_in_full)]]


def _few_enough(lists: dict[str, List]) -> dict[str, List]:
    count = sum(map(len, lists.values()))
    if count > MOST_ENTRIES:
        raise ValueError(f"has {count} entries; at most {MOST_ENTRIES} are read")
    return lists


Lists = Annotated[dict[Annotated[str, AfterValidator(_tag)], List], AfterValidator(_few_enough)]


def repeated(written: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    """Lists and entries, as the file has them, that are the same as one before: only one of them would be read."""
    for tag, first in _again(written, str.lower):
        yield ("pronunciation", tag), f'is the same language as "{first}"; put all its entries into one list'
    for tag, entries in written.items():
        for word, first in _again(entries if isinstance(entries, dict) else {}, identity):
            yield ("pronunciation", tag, word), f'is the same entry as "{first}"; leave one of them out'


def _again(written: Mapping[str, Any], same: Callable[[str], Hashable]) -> Iterator[tuple[str, str]]:
    """Each key that is the same as an earlier one, and that one."""
    earlier: dict[Hashable, str] = {}
    for key in written:
        try:
            first = earlier.setdefault(same(key), key)
        except InvalidText:  # told of the key alone
            continue
        if first != key:
            yield key, first

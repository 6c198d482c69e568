"""`[pronunciation.any]`, `[pronunciation.de]`: how words are said that voices get wrong."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.settings.table import Table
from app.text.language import is_tag
from app.text.normalize import speakable, spelled
from app.text.pronunciation import ANY, Saying

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

"""What a decision may see of the text behind a mark, and the note it takes of what has not arrived yet."""

from typing import Final, NamedTuple

from app.text import marks

AHEAD: Final = 12  # characters behind a mark that a decision may see, and so the longest delay in live text
_LISTING: Final = frozenset(", -–")  # noqa: RUF001 - between the numbers of footnotes


class Ahead:
    """The characters behind a mark. Reading where nothing has arrived yet gives "" and is remembered in `short`."""

    __slots__ = ("complete", "short", "text")

    def __init__(self, text: str, start: int, *, final: bool) -> None:
        self.text = text[start : start + AHEAD]
        self.complete = final or len(self.text) == AHEAD
        self.short = False

    def at(self, index: int) -> str:
        """The character there; "" behind the window's or the text's end."""
        if index < len(self.text):
            return self.text[index]
        if not self.complete:
            self.short = True
        return ""

    def blanks(self, index: int) -> int:
        """The index of the next character that is not blank."""
        while self.at(index).isspace():
            index += 1
        return index

    def word(self, index: int) -> str:
        """The word there, in lower case, apostrophes included."""
        end = index
        while (character := self.at(end)).isalpha() or character in {"'", "’"}:  # noqa: RUF001
            end += 1
        return self.text[index:end].lower()


class Following(NamedTuple):
    """What follows a terminator, its closers and a blank. `at` is the index of its first letter."""

    at: int
    kind: str  # "upper", "lower", "digit" (a Roman number, too), "uncased", "other"
    opener: str


def classify(ahead: Ahead, first: int) -> Following:
    """Classify what follows the blank at its first letter, behind opening quotes and brackets."""
    index = first
    while ahead.at(index) in marks.OPENERS and ahead.at(index):
        index += 1
    character = ahead.at(index)
    opener = ahead.text[first:index]
    if character.isdigit():
        return Following(index, "digit", opener)
    if character.islower():
        inner = marks.is_upper(ahead.at(index + 1))  # iPhone, eBay
        return Following(index, "upper" if inner else "lower", opener)
    if marks.is_upper(character):
        return Following(index, "digit" if _roman(ahead, index) else "upper", opener)
    return Following(index, "uncased" if character.isalpha() else "other", opener)


def _roman(ahead: Ahead, index: int) -> bool:
    """Whether a Roman number of two letters or more stands there: "Vol. IV"."""
    end = index
    while (character := ahead.at(end)) and character in "IVX":
        end += 1
    return end > index + 1 and not ahead.at(end).isalnum()


def footnote(ahead: Ahead, index: int) -> int:
    """The index behind a footnote's mark such as [12] or [4, 5]; 0 where there is none."""
    behind = index + 1
    if not ahead.at(behind).isdigit():
        return 0
    while (character := ahead.at(behind)).isdigit() or (character and character in _LISTING):
        behind += 1
    return behind + 1 if ahead.at(behind) == "]" else 0


def goes_on(ahead: Ahead, index: int) -> bool:
    """Whether a dash and a small letter stand there: "¿Quién es? —preguntó Ana.", the speaker of what was asked."""
    while (character := ahead.at(index)) and (character in marks.DASHES or character.isspace()):
        index += 1
    return ahead.at(index).islower()


def blank_or_end(ahead: Ahead, index: int) -> bool:
    """Whether no word goes on there."""
    character = ahead.at(index)
    return not character or character.isspace() or character in marks.CLAUSE or character in marks.STOPS


def behind_emoji(ahead: Ahead, first: int, tail: int) -> int:
    """Emoji behind a sentence belong to it, if they can be seen whole; else they open the next one."""
    index = first
    while marks.is_emoji(character := ahead.at(index)) or marks.is_extender(character):
        index += 1
    return index if index < AHEAD and (not ahead.at(index) or ahead.at(index).isspace()) else tail


def opens_plainly(ahead: Ahead) -> bool:
    """Whether what follows "end." without a blank is a capitalized word of prose."""
    index = 1
    while ahead.at(index).islower():
        index += 1
    character = ahead.at(index)
    if index == 1 and ahead.at(0) not in {"I", "A"}:
        return False
    if character in marks.STOPS or character in marks.CRIES:
        return blank_or_end(ahead, index + 1)
    return not character or character.isspace() or character in {",", "'", "’"}  # noqa: RUF001

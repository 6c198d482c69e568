"""What a decision may see of the text behind a mark, and the note it takes of what has not arrived yet."""

from typing import Final

AHEAD: Final = 12  # characters behind a mark that a decision may see, and so the longest delay in live text


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

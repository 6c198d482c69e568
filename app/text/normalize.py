"""One spelling for one text, before anything else looks at it: so that equal texts have equal digests."""

import unicodedata
from typing import Final, Literal

import regex

Reason = Literal["empty", "unspeakable", "nul", "surrogate"]

_MESSAGES: Final[dict[Reason, str]] = {
    "empty": "The text is empty; send at least one word to be spoken.",
    "unspeakable": "The text has nothing that can be spoken; send letters, numbers, or symbols that have a name.",
    "nul": "The text contains NUL characters; remove them, it looks like binary data.",
    "surrogate": "The text contains half of a surrogate pair, which is no character; send well-formed Unicode.",
}

_SURROGATE: Final = regex.compile("[\ud800-\udfff]")
_LINE_END: Final = regex.compile("\r\n?|\u2028")
_CONTROL: Final = regex.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f]")
_BLANKS: Final = regex.compile(r"[^\S\n]+")
_LINE_EDGES: Final = regex.compile(r" ?\n ?")
_PARAGRAPH: Final = regex.compile(r"\n{3,}")
# A mark with nothing to stand on: it would glue itself to the blank at which sentences and chunks are cut.
_STRAY_MARK: Final = regex.compile(r"(?:^|(?<=\s))[\p{M}\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff]++")
_RUN_OF_MARKS: Final = regex.compile(r"[\p{M}--\u034f]{30}(?=[\p{M}--\u034f])", regex.VERSION1)
# Letters, numbers, currency, mathematics, the few other signs that voices read by name, and pictographs.
_SPEAKABLE: Final = regex.compile(
    r"[[\p{L}\p{N}\p{Sc}\p{Sm}\p{Extended_Pictographic}\p{RI}%‰&@§°℃℉№™]--[|~<>‼⁉〰\u200d]]",
    regex.VERSION1,
)


class InvalidText(ValueError):
    """A text that cannot be spoken. The message is one sentence for its sender and never contains the text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(_MESSAGES[reason])
        self.reason: Reason = reason


def speakable(text: str) -> bool:
    """Whether a voice would say anything: punctuation, blanks and markup's signs alone are not speech. Never raises."""
    return _SPEAKABLE.search(text) is not None


def normalize(text: str) -> str:
    r"""The same text in one spelling: NFC, `\n` for line ends, single blanks, at most one empty line.

    Case and punctuation are kept: they are meaning. Applying it twice changes nothing. Linear in the length.

    Raises:
        InvalidText: the text has a NUL or half a surrogate pair in it, or nothing a voice would say.
    """
    text = _LINE_EDGES.sub("\n", _BLANKS.sub(" ", spelled(text)))
    text = _PARAGRAPH.sub("\n\n", text).strip()
    refuse_unspeakable(text)
    return text


def spelled(text: str) -> str:
    r"""NFC, `\n` for line ends, blanks for control characters; other white space is as it was.

    Raises:
        InvalidText: the text has a NUL or half a surrogate pair in it.
    """
    if "\0" in text:
        raise InvalidText("nul")
    if not text.isascii():
        text = _one_spelling(text)
    text = _CONTROL.sub(" ", _LINE_END.sub("\n", text))
    return text if text.isascii() else _STRAY_MARK.sub("", text)


def refuse_unspeakable(text: str) -> None:
    """Let a text pass that has something to say.

    Raises:
        InvalidText: it has not.
    """
    if not text:
        raise InvalidText("empty")
    if not speakable(text):
        raise InvalidText("unspeakable")


def _one_spelling(text: str) -> str:
    """NFC in linear time, of text without byte order marks.

    Python's NFC sorts a run of combining marks by insertion: 40,000 marks on one letter take 0.8 s, and four times
    that for twice as many. So runs are first interrupted as Unicode's stream-safe text format (UAX #15, section 13)
    does it, with U+034F after 30 marks, and again afterwards, because NFC takes some marks apart.
    """
    if _SURROGATE.search(text):
        raise InvalidText("surrogate")
    text = text.replace("\ufeff", "").replace("\u2029", "\n\n")
    text = unicodedata.normalize("NFC", _interrupted(text))
    return _interrupted(text)


def _interrupted(text: str) -> str:
    return _RUN_OF_MARKS.sub("\\g<0>\u034f", text)

"""What is said before and after a chunk, for voices whose melody hangs on it."""

from collections.abc import Sequence
from typing import Final

Neighbours = tuple[str | None, str | None]
"""The texts before and after, as they are said; None where there is nothing."""

NONE: Final[Neighbours] = (None, None)


def neighbours(texts: Sequence[str]) -> list[Neighbours]:
    """Of each chunk of a speech: the one before it and the one behind it, whole, whatever blocks they stand in."""
    return list(zip([None, *texts[:-1]], [*texts[1:], None], strict=True))


def bounded(texts: Neighbours, most: int) -> Neighbours:
    """What is next to the chunk of both, at most so many characters of whole words.

    Where no blank says what a word is, it is cut anywhere.
    """
    before, after = texts
    return _end(before, most), _beginning(after, most)


def _beginning(text: str | None, most: int) -> str | None:
    if text is None or len(text) <= most:
        return text
    words, _, _ = text[: most + 1].rpartition(" ")
    return words.strip() or text[:most]


def _end(text: str | None, most: int) -> str | None:
    if text is None or len(text) <= most:
        return text
    _, _, words = text[-most - 1 :].partition(" ")
    return words.strip() or text[-most:]

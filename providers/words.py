"""Where the words that a vendor times stand in the text that it was sent."""

from collections.abc import Iterable

from providers.interface import Timing

NEAR = 120
"""Characters that a vendor may skip between two of its words."""


class Words:
    """Finds a vendor's words in a text, one behind the other."""

    def __init__(self, text: str) -> None:
        """`text` as it was sent."""
        self._text = _small(text)
        self._behind = 0

    def timed(self, told: Iterable[tuple[object, object, object]]) -> list[Timing]:
        """The timings of words, each with its begin and its end in seconds, as a vendor told them.

        What is not in the text (a number spelled out), is no word or has no times is left out.
        """
        return [
            Timing(place, place + len(word), float(begins), float(ends))
            for word, begins, ends in told
            if isinstance(word, str) and isinstance(begins, (int, float)) and isinstance(ends, (int, float))
            if (place := self._place(word)) is not None
        ]

    def _place(self, word: str) -> int | None:
        small = _small(word)
        # Near by only: a word that the vendor said otherwise must not drag all later ones to the end of the text.
        place = self._text.find(small, self._behind, self._behind + len(small) + NEAR) if small else -1
        if place < 0:
            return None
        self._behind = place + len(word)
        return place


def _small(text: str) -> str:
    """In small letters, of the same length: a letter whose small form is two stays as it is."""
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)

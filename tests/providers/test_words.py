"""Words that vendors time are found where they stand."""

from providers.words import Words


def places(text: str, *words: object) -> list[tuple[int, int]]:
    """Where these words are found, a second each."""
    return [(one.start, one.end) for one in Words(text).timed((word, 0, 1) for word in words)]


def test_words_that_were_said_otherwise_are_left_out() -> None:
    """A number spelled out must not drag all later words to the end of the text."""
    text = "In 1984, the Year of the big sister."
    assert places(text, "in", "nineteen", "the", "year", "the") == [(0, 2), (9, 12), (13, 17), (21, 24)]


def test_what_is_no_word_is_left_out() -> None:
    """A vendor's odd answer costs a caption, not the sound."""
    assert places("big", None, 7, "", ["big"]) == []
    assert Words("big").timed([("big", None, 1), ("big", 0, "1")]) == []


def test_texts_that_grow_when_folded() -> None:
    """Places counted in a longer text point behind the word."""
    assert places("Straße ẞ big", "Straße", "big") == [(0, 6), (9, 12)]

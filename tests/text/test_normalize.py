import unicodedata
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.text.normalize import InvalidText, normalize, speakable
from tests.examples import tries
from tests.growth import is_linear

ATOMS = st.sampled_from(
    [" ", "\n", "\r\n", "\t", "\x07", "\ufeff", "\u0301", "\u0323", "e", "\u00a0", "\u2029", "\u0344", "한"]
)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Cafe\u0301", "Café"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x00".replace("\x00", "\x07") + "b\x7f\x9fc", "a b c"),
        ("\ufeffa\ufeffb", "ab"),
        ("  a \t  b  ", "a b"),
        ("a \n \n\n  b", "a\n\nb"),
        ("a\n b", "a\nb"),
        ("a\u00a0b\u3000c", "a b c"),
        ("a\u2028b\u2029c", "a\nb\n\nc"),
        ("Keep CASE, and “punctuation”!", "Keep CASE, and “punctuation”!"),
    ],
)
def test_one_spelling(text: str, same: str):
    """Two spellings of one text would be synthesized, and paid for, twice."""
    assert normalize(text) == same


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t\x07\ufeff", "empty"),
        ("...", "unspeakable"),
        ("*** — ???", "unspeakable"),
        ("~~~ | <>", "unspeakable"),
        ("a\0b", "nul"),
        ("secret \ud83d text", "surrogate"),
    ],
)
def test_what_cannot_be_spoken_is_refused(text: str, reason: str):
    """Callers must hear what is wrong with their text, and logs must not hold the text."""
    with pytest.raises(InvalidText) as caught:
        normalize(text)
    assert caught.value.reason == reason
    message = str(caught.value)
    assert message.endswith(".")
    assert "secret" not in message


@pytest.mark.parametrize("text", ["a", "7", "$", "%", "&", "+", "=", "€", "🎉", "🇩🇪", "你", "½", "©"])
def test_what_a_voice_says_is_speakable(text: str):
    """A price or an emoji alone is worth saying."""
    assert speakable(text)
    assert normalize(text) == text


@settings(max_examples=tries(250), deadline=None)
@given(st.lists(ATOMS | st.characters(), max_size=80).map("".join))
def test_twice_is_once_and_nothing_else_is_raised(text: str):
    """A second pass that changed anything would give one text two digests."""
    try:
        once = normalize(text)
    except InvalidText:
        return
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(c) == "Cc" and c != "\n" for c in once)
    assert sum(map(str.isalnum, once)) > 0 or speakable(text)


def test_marks_in_changing_order_take_linear_time():
    """Plain NFC sorts such a run in quadratic time: 200,000 characters would block the event loop for 20 seconds."""

    def cost(pairs: int) -> float:
        begin = process_time()
        normalize("a" + "\u0301\u0323" * pairs)
        return process_time() - begin

    assert is_linear(cost, 5_000, 40_000, slack=0.02)

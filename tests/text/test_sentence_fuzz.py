"""Random texts over alphabets that hurt: nothing is raised, nothing is lost, live and whole agree."""

# ruff: noqa: RUF001 - marks of many scripts, each on its line

from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest

from app.text.chunks import Limits, chunks
from app.text.intake.plain import plain
from app.text.intake.reading import Reading
from app.text.normalize import InvalidText, normalize, speakable
from app.text.sentences import LiveSentences, sentences

WORDS = """Dr. Mr. U.S. p.m. etc. e.g. St. No. Inc. Ph.D. z. B. т. д. г. EE. UU. M. said Mary The I he IV II.
5. 12. 3.50 v1.2.3 Yahoo! Really? "No!" « Oui. » — Well... a.b/c?d=e. bob@x.org [1] [2, 3] (so.) *so.* `x.y` iPhone"""
ALPHABETS = {
    "marks": [*".!?…‥。！？｡।॥።፧։۔؟។༎‼⁇⁈⁉‽;,:، ", " ", "\n"],
    "quotes": [*"\"'”’“‘„«»‹›「」『』()[]{}*_`~-—– .!?aA", " "],
    "digits": [*"0123456789٣३.,:/%$€°-+x ", "1. ", "No. ", " "],
    "lines": [
        "\n",
        "\n\n",
        "\r\n",
        "\u2028",
        "\t",
        "- ",
        "* ",
        "1. ",
        "(a) ",
        "a",
        "B",
        ".",
        ",",
        " ",
        "Title",
    ],
    "cjk": [*"你好。！？、，：“”「」『』（）…と言った한국어。 A1."],
    "combining": [*"aeéE. !?\u0301\u0323\u034f\u093f\u0e31\u064b\u200c\u200d\ufe0f\u20e3 "],
    "emoji": [*"🎉😀👨👩👧🇩🇪🏽\u200d\ufe0f❤.!? aA", " "],
    "directions": [
        *"\u200b\u200e\u200f\u202a\u202c\u2066\u2069\u061c\ufeff\u00a0\u3000\u2003.!?אבגدسكA a",
        " ",
    ],
    "letters": [*"abcABCäÄßıİǅλΣяЯ. !?\n'’", " ", "I ", "a ", ". "],
    "words": WORDS.split(),
    "anything": [chr(code) for code in range(0x20, 0x3100, 7)]
    + [chr(code) for code in range(0x10000, 0x1F700, 997)],
}
LANGUAGES = [None, "en", "de", "fr", "es", "ru", "cs", "tr", "el", "zh", "ja", "th", "xx", "", "-", "en-US"]


def text_of(chance: Random) -> str:
    """A text of up to 60 pieces from one alphabet or two; words stand apart."""
    names = chance.choices(list(ALPHABETS), k=chance.randint(1, 2))
    pieces = [piece for name in names for piece in ALPHABETS[name]]
    glue = chance.choice(["", " "]) if "words" in names else ""
    return glue.join(chance.choices(pieces, k=chance.randint(0, 60)))


def cut(text: str, chance: Random) -> list[str]:
    """The text in random pieces, most of them short."""
    places = sorted(chance.choices(range(len(text) + 1), k=chance.randint(0, len(text))))
    return [text[a:b] for a, b in pairwise([0, *places, len(text)])]


def solid(text: str) -> str:
    """Everything but white space; whatever a voice can say is in it."""
    return "".join(text.split())


def examine(seed: int) -> None:
    """One random text: the sentences hold all of it in order, and are the same when it arrives in pieces."""
    chance = Random(seed)
    text, language = text_of(chance), chance.choice(LANGUAGES)
    if chance.random() < 0.5:  # as requests have it, or as live text has it
        with suppress(InvalidText):
            text = normalize(text)
    spans = sentences(text, language=language)
    whole = [text[span.start : span.end] for span in spans]
    assert solid("".join(whole)) == solid(text), (seed, text)
    assert all(a.end <= b.start for a, b in pairwise(spans)), (seed, text)
    assert all(sentence and sentence == sentence.strip() for sentence in whole), (seed, text)
    finder = LiveSentences(language)
    live = [sentence for piece in cut(text, chance) for sentence in finder.feed(piece)] + finder.finish()
    assert live == whole, (seed, text)


def examine_chunks(seed: int) -> None:
    """The same text cut into chunks of any size: each speakable character is in one of them, in order."""
    chance = Random(seed)
    source, language = text_of(chance), chance.choice(LANGUAGES)
    try:
        document = plain(source, Reading())
    except InvalidText:
        return
    most = chance.choice([1, 7, 40, 600])
    limits = Limits(
        first_chars=chance.choice([1, 30, 120]),
        max_chars=most,
        profile=chance.choice(["sentence", "group"]),
        fits=chance.choice([None, lambda of, start, end: len(of.text[start:end].encode()) <= 4 * most]),
    )
    found = chunks(document, limits, language=language)
    assert spoken("".join(chunk.text for chunk in found)) == spoken(document.text), (seed, source)
    assert all(len(chunk.text) <= most for chunk in found), (seed, source)
    origin = document.origin()
    places = [origin.span(span) for chunk in found for span in chunk.sentences]
    assert all(0 <= place.start <= place.end <= len(source) for place in places), (seed, source)
    assert all(a.start <= b.start for a, b in pairwise(places)), (seed, source)


def spoken(text: str) -> list[str]:
    """The characters of it that a voice says."""
    return [character for character in text if speakable(character)]


def test_random_texts_lose_nothing():
    """A text that breaks the finder breaks the request of whoever sends it."""
    for seed in range(4_000):
        examine(seed)


def test_random_texts_are_cut_without_loss():
    """A character that falls between two chunks is one that nobody hears."""
    for seed in range(2_000):
        examine_chunks(seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_thousand_random_texts_are_cut_without_loss():
    """The same for long enough to meet what is rare."""
    for seed in range(200_000):
        examine_chunks(seed)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_hundred_thousand_random_texts_lose_nothing():
    """The same for long enough to meet what is rare."""
    for seed in range(200_000):
        examine(seed)

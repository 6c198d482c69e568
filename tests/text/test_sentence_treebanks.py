"""Whole texts, their sentences marked by a reader: what a listener hears of splits that should not be, or are not."""

from itertools import accumulate
from pathlib import Path

import pytest

from app.text.ahead import AHEAD
from app.text.sentences import LiveSentences, sentences

TREEBANKS = Path(__file__).parent / "treebanks"
# Text -> its language, and the share of the boundaries within paragraphs that must be found; what was measured.
RECALL = {
    "english": ("en", 0.96),
    "german": ("de", 0.98),
    "spanish": ("es", 0.97),
    "french": ("fr", 0.97),
    "russian": ("ru", 0.95),
}


def paragraphs(name: str) -> list[list[str]]:
    """The sentences of a text, by paragraph."""
    text = (TREEBANKS / f"{name}.txt").read_text(encoding="utf-8")
    return [part.split("\n") for part in text.strip().split("\n\n")]


def joined(parts: list[list[str]]) -> str:
    """The text as a reader gets it."""
    return "\n\n".join(" ".join(part) for part in parts)


def ends(parts: list[list[str]]) -> list[tuple[int, bool]]:
    """Behind each sentence its offset in the joined text, and whether the paragraph goes on."""
    lengths = [
        len(sentence) + 1 + (index == len(part)) for part in parts for index, sentence in enumerate(part, 1)
    ]
    goes_on = [index < len(part) for part in parts for index, _ in enumerate(part, 1)]
    behind = [end - (1 if inner else 2) for end, inner in zip(accumulate(lengths), goes_on, strict=True)]
    return list(zip(behind, goes_on, strict=True))


@pytest.mark.parametrize("name", RECALL)
def test_no_split_is_false_and_few_are_missed(name: str):
    """A false split is a pause in the middle of a sentence; a missed one makes a chunk too long."""
    language, recall = RECALL[name]
    parts = paragraphs(name)
    text, marked = joined(parts), ends(parts)
    assert len(marked) >= 60
    found = {span.end for span in sentences(text, language=language)}
    assert [text[end - 30 : end + 10] for end in sorted(found - {end for end, _ in marked})] == []
    inner = [end for end, goes_on in marked if goes_on]
    assert len(found.intersection(inner)) >= recall * len(inner)


@pytest.mark.parametrize("name", RECALL)
def test_a_sentence_of_a_text_is_given_out_soon(name: str):
    """Each character of delay is a token of an LLM that the listener waits for."""
    language, _ = RECALL[name]
    text = joined(paragraphs(name))
    finder, at, delays = LiveSentences(language), 0, []
    for index, character in enumerate(text, 1):
        for sentence in finder.feed(character):
            at = text.index(sentence, at) + len(sentence)
            delays.append(index - at)
    assert len(delays) >= 60
    assert sorted(delays)[len(delays) // 2] <= 2
    assert max(delays) <= AHEAD

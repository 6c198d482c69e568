"""What people do to an article after it has been read aloud once.

An edit gives some edited texts, the same ones at every run.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

_HERE: Final = Path(__file__).resolve().parent
_VARIANTS: Final = 20
"""Texts of an edit that takes chances, for each article."""
_APART: Final = "\n\n"
_SENTENCE_END: Final = re.compile(
    r"(?<!\b[DM][rs])(?<!\bMrs)(?<!\bSt)(?<!\b[A-Z\d])(?<!\b\d\d)[.!?][\"”»«“']*(\s+)(?![a-z\d])"
)
"""In these articles, with the few abbreviations that are in them; not by the code that is measured."""
_PROSE: Final = re.compile(r"[.!?:][\"”»«“)]?$")
_WORD: Final = re.compile(r"(?<= )[^\W\d_A-ZÄÖÜ]{5,}\b")
_MARK: Final = re.compile(r"[.!?:;,][\"”»«“']*$")


@dataclass(frozen=True, slots=True)
class Article:
    """A text as it was first spoken; paragraphs are apart by an empty line."""

    name: str
    text: str
    language: str


Edit = Callable[[Article], Iterator[str]]


def articles() -> list[Article]:
    """The sample, and those written to measure with: five in English, one in German."""
    paths = [_HERE.parent / "samples" / "article.txt", *sorted((_HERE / "articles").glob("*.txt"))]
    return [
        Article(path.stem, path.read_text(encoding="utf-8").strip(), _language(path.stem)) for path in paths
    ]


def sentence_before(article: Article) -> Iterator[str]:
    """A new first sentence of the first paragraph: behind the title, if there is one."""
    title, paragraphs = _taken_apart(article)
    yield _APART.join([*title, f"{_NEW[article.language]} {paragraphs[0]}", *paragraphs[1:]])


def paragraph_before(article: Article) -> Iterator[str]:
    """The same sentence as a paragraph of its own in front of everything, the title too."""
    yield _APART.join([_NEW[article.language], article.text])


def paragraph_deleted(article: Article) -> Iterator[str]:
    """Each paragraph in turn."""
    title, paragraphs = _taken_apart(article)
    for index in range(len(paragraphs)):
        yield _APART.join([*title, *paragraphs[:index], *paragraphs[index + 1 :]])


def paragraphs_shuffled(article: Article) -> Iterator[str]:
    """All of them, below the title; where there is none, any can come first."""
    for seed in range(_VARIANTS):
        title, paragraphs = _taken_apart(article)
        Random(seed).shuffle(paragraphs)
        yield _APART.join([*title, *paragraphs])


def all_shuffled(article: Article) -> Iterator[str]:
    """The title as well, so that any paragraph can come first."""
    for seed in range(_VARIANTS):
        paragraphs = article.text.split(_APART)
        Random(seed).shuffle(paragraphs)
        yield _APART.join(paragraphs)


def half_revised(article: Article) -> Iterator[str]:
    """Every second paragraph has one sentence changed, as an editor does it.

    Any of its sentences; in turns a word is replaced by another one of the article, or a clause is added at the end.
    """
    return _revised(article, 1)


def half_rewritten(article: Article) -> Iterator[str]:
    """Every second paragraph has two of its sentences changed, in every third word and by a clause."""
    return _revised(article, 2)


def _taken_apart(article: Article) -> tuple[list[str], list[str]]:
    """The title, if there is one, and the paragraphs; headings count as paragraphs."""
    paragraphs = article.text.split(_APART)
    titles = 0 if _PROSE.search(paragraphs[0]) else 1
    return paragraphs[:titles], paragraphs[titles:]


def _revised(article: Article, count: int) -> Iterator[str]:
    for seed in range(_VARIANTS):
        random = Random(seed)
        words = sorted(set(_WORD.findall(article.text)))
        paragraphs = article.text.split(_APART)
        prose = [index for index, paragraph in enumerate(paragraphs) if _PROSE.search(paragraph)]
        for index in prose[seed % 2 :: 2]:
            paragraphs[index] = _changed(paragraphs[index], count, words, article.language, random)
        yield _APART.join(paragraphs)


def _changed(paragraph: str, count: int, words: list[str], language: str, random: Random) -> str:
    """The paragraph with so many of its sentences changed, or all, if it has fewer."""
    ends = [end.span(1) for end in _SENTENCE_END.finditer(paragraph)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(paragraph)]
    chosen = sorted(random.sample(range(len(starts)), min(count, len(starts))), reverse=True)
    for index in chosen:
        before = paragraph[starts[index] : stops[index]]
        after = (
            _rewritten(before, words, language, random)
            if count > 1
            else _edited(before, words, language, random)
        )
        paragraph = paragraph[: starts[index]] + after + paragraph[stops[index] :]
    return paragraph


def _edited(sentence: str, words: list[str], language: str, random: Random) -> str:
    places = list(_WORD.finditer(sentence))
    if not places or random.random() < 0.5:
        return _with_clause(sentence, language, random)
    place = random.choice(places)
    other = random.choice([word for word in words if word != place.group()])
    return sentence[: place.start()] + other + sentence[place.end() :]


def _rewritten(sentence: str, words: list[str], language: str, random: Random) -> str:
    parts = sentence.split(" ")
    parts[2:-1:3] = [random.choice(words) for _ in parts[2:-1:3]]
    return _with_clause(" ".join(parts), language, random)


def _with_clause(sentence: str, language: str, random: Random) -> str:
    mark = _MARK.search(sentence)
    end = mark.start() if mark else len(sentence)
    return f"{sentence[:end]}, {random.choice(_CLAUSES[language])}{sentence[end:]}"


def _language(name: str) -> str:
    return "de" if name in _GERMAN else "en"


_GERMAN: Final = {"eisenbahnzeit"}
_NEW: Final = {
    "en": "This article was first published in our winter issue.",
    "de": "Dieser Beitrag erschien zuerst in unserer Winterausgabe.",
}
_CLAUSES: Final = {
    "en": [
        "as far as anyone can tell",
        "at least for a while",
        "which surprised nobody",
        "and not only there",
    ],
    "de": [
        "soweit man weiß",
        "zumindest eine Zeit lang",
        "was niemanden überraschte",
        "und nicht nur dort",
    ],
}

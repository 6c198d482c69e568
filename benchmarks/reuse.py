"""How much of an edited article is still in the cache: for our chunks, and for greedy packing beside them."""

import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from app.speech.neighbours import NONE, Neighbours, bounded, neighbours
from app.text.chunks import Limits, chunks
from app.text.intake.plain import plain
from app.text.intake.reading import Reading
from app.text.normalize import normalize
from benchmarks import edits
from benchmarks.edits import Article, Edit
from benchmarks.figures import Figure
from providers.elevenlabs import CONTEXT

Cut = Callable[[Article, str], list[str]]
"""An article, for its language, and a text of it, edited or not: what is sent to a provider, in order."""

Asked = tuple[str, Neighbours]
"""A chunk, and what its voice is told beside it."""

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")


def sentences(article: Article, text: str) -> list[str]:
    """Ours, as voices have it by default: a sentence each."""
    return _ours(article, text, Limits())


def groups(article: Article, text: str) -> list[str]:
    """Ours for generative voices: several sentences, cut by content."""
    return _ours(article, text, Limits(profile="group"))


def greedy(most: int) -> Cut:
    """Sentences packed until no more fit into so many characters, over paragraphs and all."""

    def cut(article: Article, text: str) -> list[str]:  # noqa: ARG001 - it knows no languages
        packed = [""]
        for sentence in _SENTENCE_END.split(normalize(text)):
            joined = f"{packed[-1]} {sentence}".strip()
            if len(joined) <= most:
                packed[-1] = joined
            else:
                packed.append(sentence)
        return packed

    return cut


CUTS: Final[dict[str, Cut]] = {
    "sentences": sentences,
    "groups": groups,
    "greedy 2,500": greedy(2_500),
    "greedy 4,000": greedy(4_000),
}
STITCHED: Final = ("sentences", "groups")
EDITS: Final[dict[str, tuple[Edit, str]]] = {
    "Sentence inserted at the start": (edits.sentence_before, "≥ 98"),
    "The same as a paragraph, before the title": (edits.paragraph_before, "≥ 98"),
    "A paragraph deleted": (edits.paragraph_deleted, "100"),
    "Paragraphs shuffled": (edits.paragraphs_shuffled, "100"),
    "Paragraphs shuffled, the title among them": (edits.all_shuffled, ""),
    "Half of the paragraphs revised (a sentence each)": (edits.half_revised, "≥ 88"),
    "Half of the paragraphs rewritten (two sentences each)": (edits.half_rewritten, ""),
}
"""What is done, and the promise for chunks of a sentence each."""


def measure() -> Iterator[Figure]:
    """Counts, no times. One value for each article: the mean over the variants of an edit, or the worst of them."""
    articles = edits.articles()
    for name, cut in CUTS.items():
        cuts = [[len(chunk) for chunk in cut(article, article.text)] for article in articles]
        yield Figure(f"An article by {name}", "chunks", tuple(len(sizes) for sizes in cuts))
        yield Figure("a chunk in the mean", "characters", tuple(statistics.mean(sizes) for sizes in cuts))
        yield Figure("the first one", "characters", tuple(sizes[0] for sizes in cuts))
    for what, (edit, must) in EDITS.items():
        for name, cut in CUTS.items():
            shares = [[100 * share for share in reused(article, edit, cut)] for article in articles]
            promise = must if cut is sentences else ""
            yield Figure(f"{what}: reused by {name}", "%", tuple(map(statistics.mean, shares)), promise)
            if promise and len(shares[0]) > 1:
                yield Figure("in the worst variant", "%", tuple(map(min, shares)))
        for name in STITCHED:
            shares = [
                [100 * share for share in reused(article, edit, CUTS[name], stitched=True)]
                for article in articles
            ]
            yield Figure(f"{what}: reused by {name}, stitched", "%", tuple(map(statistics.mean, shares)))


def reused(article: Article, edit: Edit, cut: Cut, *, stitched: bool = False) -> Iterator[float]:
    """For each variant of the edit, the share of its characters that has been spoken for the article: 0 to 1.

    `stitched`: each chunk with its neighbours' text, as ElevenLabs' `stitch` sends it.
    """
    spoken = set(_asked(cut(article, article.text), stitched=stitched))
    for text in edit(article):
        yield _share(_asked(cut(article, text), stitched=stitched), spoken)


def _asked(sent: list[str], *, stitched: bool) -> Iterator[Asked]:
    for chunk, beside in zip(sent, neighbours(sent), strict=True):
        yield chunk, bounded(beside, CONTEXT) if stitched else NONE


def _share(sent: Iterable[Asked], spoken: set[Asked]) -> float:
    sizes = [(len(one[0]), one in spoken) for one in sent]
    return sum(size for size, known in sizes if known) / sum(size for size, _ in sizes)


def _ours(article: Article, text: str, limits: Limits) -> list[str]:
    document = plain(text, Reading())
    return [chunk.text for chunk in chunks(document, limits, language=article.language)]

"""Text to plans: reading, cutting, and naming by content."""

import html
import time
from collections.abc import Callable, Iterator
from typing import Final

from app.audio.formats import FORMATS, output
from app.settings import Settings, parse
from app.speech.plan import Planner, SpeechRequest
from app.speech.voices import Voices
from app.text.chunks import Limits, chunks
from app.text.intake.kinds import READERS, InputType
from app.text.intake.plain import plain
from app.text.intake.reading import Reading
from app.text.sentences import sentences
from benchmarks import asking, edits
from benchmarks.figures import Figure
from cache.digest import digest
from providers.kinds import build

_RUNS = 7
_LONG = 200_000
"""Characters: the default `server.max_input_chars`."""
_TITLE = 50
"""Characters of the longest paragraph that is taken for a heading."""
_LARGE = 1_000_000
"""Characters of hostile texts, and a quarter of it."""
_HOSTILE: Final = {
    "dots": ("A", "."),
    "quotes that are never closed": ("A", " “A"),
    "one endless URL": ("https://", "a.b/c?d=e&"),
    "10,000 combining marks on each letter": ("A", "a" + 10_000 * "\u0301"),
}
"""How each begins, and what follows over and over."""


def measure() -> Iterator[Figure]:
    """One thread, in process."""
    yield from _plans()
    yield from _readers()
    for what, (beginning, unit) in _HOSTILE.items():
        ratios = tuple(_growth(beginning, unit) for _ in range(_RUNS))
        yield Figure(f"Text to chunks, four times as much: {what}", "times as long", ratios, "4: linear")


def _plans() -> Iterator[Figure]:
    article = asking.ARTICLE.read_text(encoding="utf-8")
    long = (article * (_LONG // len(article) + 1))[:_LONG]
    planner, request = _planner(parse("", {})), _requests(parse("", {}))
    yield _rate("Planning the article", "characters/s", len(article), lambda: planner.plan(request(article)))
    yield _rate(f"Planning {_LONG:,} characters", "characters/s", _LONG, lambda: planner.plan(request(long)))
    yield _rate("Of that, text to chunks", "characters/s", len(article), lambda: _cut(article))
    fields = _cut(article)
    yield _rate(
        "Digests of clips",
        "digests/s",
        len(fields),
        lambda: [digest("clip", [one, "hibari", 1.0]) for one in fields],
    )


def _readers() -> Iterator[Figure]:
    """Of all articles, in bytes of UTF-8: what is read, markup and all."""
    english = "\n\n".join(article.text for article in edits.articles() if article.language == "en")
    yield _rate("Sentences of English prose", "MB/s", _megabytes(english), lambda: sentences(english))
    for what, kind, source in (
        ("plain text", "text", english),
        ("Markdown", "markdown", _markdown(english)),
        ("a fragment of HTML", "html", _fragment(english)),
        ("a page of HTML", "html", _page(english)),
    ):
        yield _reading(what, kind, source)


def _reading(what: str, kind: InputType, source: str) -> Figure:
    read = READERS[kind]
    return _rate(f"Reading {what} to blocks", "MB/s", _megabytes(source), lambda: read(source, Reading()))


def _markdown(text: str) -> str:
    """Short lines are headings, lists are lists, each paragraph has a link and something in bold."""
    return "\n\n".join(_marked(paragraph) for paragraph in text.split("\n\n"))


def _marked(paragraph: str) -> str:
    if len(paragraph) <= _TITLE:
        return f"## {paragraph}"
    if paragraph.startswith(("- ", "1. ")):
        return paragraph
    first, second, rest = paragraph.split(" ", 2)
    return f"[{first}](https://example.com/about?page=1) **{second}** {rest}"


def _fragment(text: str) -> str:
    """The same in HTML."""
    return "\n".join(_tagged(html.escape(paragraph)) for paragraph in text.split("\n\n"))


def _tagged(paragraph: str) -> str:
    if len(paragraph) <= _TITLE:
        return f"<h2>{paragraph}</h2>"
    first, second, rest = paragraph.split(" ", 2)
    return f'<p><a href="https://example.com/about?page=1">{first}</a> <b>{second}</b> {rest}</p>'


def _page(text: str) -> str:
    """The same with what is around an article on a page."""
    links = "".join(f'<li><a href="/section/{number}">Section {number}</a></li>' for number in range(20))
    return (
        "<!doctype html><html><head><title>Articles</title></head><body>"
        f"<header><nav><ul>{links}</ul></nav></header><main><article>{_fragment(text)}</article></main>"
        "<footer><p>All rights reserved.</p></footer></body></html>"
    )


def _growth(beginning: str, unit: str) -> float:
    """How many times as much of the processor's time four times as much text takes."""
    large, small = (beginning + unit * (length // len(unit)) for length in (_LARGE, _LARGE // 4))
    return _seconds(lambda: _cut(large), time.thread_time) / _seconds(lambda: _cut(small), time.thread_time)


def _cut(text: str) -> list[str]:
    return [chunk.text for chunk in chunks(plain(text, Reading()), Limits())]


def _megabytes(text: str) -> float:
    return len(text.encode()) / 1e6


def _planner(settings: Settings) -> Planner:
    providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
    return Planner(providers, settings.chunking, settings.pronunciation, settings.server.max_input_chars)


def _requests(settings: Settings) -> Callable[[str], SpeechRequest]:
    voice = Voices(settings.voices).find("default")
    return lambda text: SpeechRequest(text, voice, output(FORMATS["mp3"]))


def _rate(what: str, unit: str, amount: int, work: Callable[[], object]) -> Figure:
    work()
    return Figure(what, unit, tuple(amount / _seconds(work) for _ in range(_RUNS)))


def _seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began

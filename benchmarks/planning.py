"""Text to plans: cutting, and naming by content."""

import time
from collections.abc import Callable, Iterator

from app.audio.formats import FORMATS, SAMPLE_RATE
from app.settings import Settings, parse
from app.speech.plan import Planner, SpeechRequest
from app.speech.voices import Voices
from app.text.chunks import Limits, chunks
from app.text.normalize import normalize
from benchmarks import asking
from benchmarks.figures import Figure
from cache.digest import digest
from providers.kinds import build

_RUNS = 7
_LONG = 200_000
"""Characters: the default `server.max_input_chars`."""


def measure() -> Iterator[Figure]:
    """One thread, in process."""
    article = asking.ARTICLE.read_text(encoding="utf-8")
    long = (article * (_LONG // len(article) + 1))[:_LONG]
    settings = parse("", {})
    planner, request = _planner(settings), _requests(settings)
    yield _rate("Planning the article", "characters/s", len(article), lambda: planner.plan(request(article)))
    yield _rate(f"Planning {_LONG:,} characters", "characters/s", _LONG, lambda: planner.plan(request(long)))
    yield _rate(
        "Of that, text to chunks", "characters/s", len(article), lambda: chunks(normalize(article), Limits())
    )
    fields = [chunk.text for chunk in chunks(normalize(article), Limits())]
    count = len(fields)
    yield _rate(
        "Digests of clips",
        "digests/s",
        count,
        lambda: [digest("clip", [one, "hibari", 1.0]) for one in fields],
    )


def _planner(settings: Settings) -> Planner:
    providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
    return Planner(providers, settings.chunking, settings.server.max_input_chars)


def _requests(settings: Settings) -> Callable[[str], SpeechRequest]:
    voice = Voices(settings.voices).find("default")
    return lambda text: SpeechRequest(text, voice, FORMATS["mp3"], SAMPLE_RATE)


def _rate(what: str, unit: str, amount: int, work: Callable[[], object]) -> Figure:
    work()
    return Figure(what, unit, tuple(amount / _seconds(work) for _ in range(_RUNS)))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

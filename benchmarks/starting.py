"""From nothing to sound: the server's start, and a whole article that nobody has asked for before."""

from collections.abc import Iterator

from benchmarks import asking
from benchmarks.asking import MP3_BYTES_PER_SECOND, Answer
from benchmarks.figures import Figure
from benchmarks.servers import Server, serving

_STARTS = 5
_SPEEDS = (1.001, 1.002, 1.003)
"""Speeds that nobody can tell apart, but other digests: each article is cold without a new server."""


def measure() -> Iterator[Figure]:
    """Cold starts, each with one article; then more cold articles on a server that has spoken."""
    article = asking.ARTICLE.read_text(encoding="utf-8")
    ready: list[float] = []
    earliest: list[Answer] = []
    for _ in range(_STARTS):
        with serving() as server:
            ready.append(server.ready_after)
            earliest.append(asking.ask(server.port, article))
    with serving() as server:
        chunks = len(asking.plan(server.port, article)["chunks"])
        asking.ask(server.port, article)
        later = [asking.ask(server.port, article, speed=speed) for speed in _SPEEDS]
        warm = [asking.ask(server.port, article) for _ in range(10)]
        sentence = _sentences(server)
    yield Figure("Cold start: `refrain serve` until /readyz is 200", "s", tuple(ready), "< 3 s")
    yield _first("Article, first audio, first request of a new process", earliest, "")
    yield _first("Article, first audio, cold cache, warm process", later, "< 300 ms")
    yield _first("One sentence, first audio, cold cache, warm process", sentence, "")
    totals = tuple(answer.total for answer in (*earliest, *later))
    seconds = tuple(answer.size / MP3_BYTES_PER_SECOND for answer in earliest)
    yield Figure(f"Article ({chunks} chunks, {len(article):,} characters), cold, all of it", "s", totals)
    yield Figure("Article, speech", "s", seconds)
    yield Figure("Article, speech per character", "s", tuple(one / len(article) for one in seconds))
    speed = tuple(a.size / MP3_BYTES_PER_SECOND / a.total for a in (*earliest, *later))
    yield Figure("Article, cold, speech per second of waiting", "s/s", speed)
    yield _first("Article, first audio, whole hit", warm, "")
    yield Figure("Article, whole hit, all of it", "ms", tuple(1e3 * answer.total for answer in warm))


def _sentences(server: Server) -> list[Answer]:
    texts = [f"The keeper walked to the quarry at {hour} in the morning." for hour in range(2, 12)]
    return [asking.ask(server.port, text) for text in texts]


def _first(what: str, answers: list[Answer], must: str) -> Figure:
    return Figure(what, "ms", tuple(1e3 * answer.first for answer in answers), must)

"""Memory of a server that speaks a thousand different sentences."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, product

from benchmarks import asking
from benchmarks.figures import Figure
from benchmarks.servers import serving

_TIER = 4
"""MiB: full long before the hundredth sentence, so that what grows afterwards is something else."""
_EARLY, _LATE = 100, 1_000
_ASKERS = 4


def measure() -> Iterator[Figure]:
    """Resident memory, the default engine and mp3; the memory tier is small."""
    sentences = _sentences()
    early: list[float] = []
    late: list[float] = []
    with serving(settings={"CACHE__MEMORY": f"{_TIER}MiB"}) as server, ThreadPoolExecutor(_ASKERS) as askers:
        idle = server.rss()
        for count, found in ((_EARLY, early), (_LATE - _EARLY, late)):
            list(askers.map(lambda text: asking.ask(server.port, text), islice(sentences, count)))
            found.append(server.rss())
        held = server.counted("refrain_cache_bytes") / 2**20
        made = server.counted("refrain_provider_requests_total")
    growth = tuple(after - before for before, after in zip(early, late, strict=True))
    yield Figure("Resident memory, ready and idle", "MiB", (idle,))
    yield Figure(f"Resident memory after {_EARLY} different sentences", "MiB", tuple(early))
    yield Figure(
        f"Resident memory after {made:,.0f} (memory tier: {held:.1f} of {_TIER} MiB)", "MiB", tuple(late)
    )
    yield Figure(f"Growth from {_EARLY} to {made:,.0f} different sentences", "MiB", growth, "< 50 MB")


def _sentences() -> Iterator[str]:
    """Different ones, 45 to 90 characters long, of words that a dictionary has."""
    who = ("The keeper", "An engineer", "The surveyor", "A girl of six", "Somebody older", "My neighbour")
    did = (
        "heard the echo",
        "measured the wall",
        "opened the gate",
        "waited for an answer",
        "left the quarry",
    )
    when = (
        "on a cold morning",
        "before the winter",
        "at nine o'clock",
        "a little later",
        "that same summer",
        "twice",
    )
    why = (
        "because nobody else had.", "and said nothing at all.", "to see what would happen.", "as people do.",
        "without being asked.", "and then went home for tea.",
    )  # fmt: skip
    return (" ".join(words) for words in product(who, did, when, why))

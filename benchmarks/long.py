"""An hour of speech that was said before, read from Redis only: by one listener, and by fifty at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from benchmarks import asking
from benchmarks.figures import Figure
from benchmarks.servers import Server, serving

_TIMES = 12
"""The article so many times: 59 minutes, of clips that are few but are read as if they were many."""
_LISTENERS = 50
_RUNS = 5


def measure() -> Iterator[Figure]:
    """Memory is the server's most, looked at every 10 ms, beyond what it had when it was idle."""
    text = "\n\n".join([asking.ARTICLE.read_text(encoding="utf-8")] * _TIMES)
    with serving(settings={"CACHE__MEMORY": "0B", "CACHE__ARCHIVE": "off"}) as server:
        size = asking.ask(server.port, text).size
        what = f"An hour of mp3, {size / 1e6:.0f} MB, Redis only"
        alone = [asking.ask(server.port, text) for _ in range(_RUNS)]
        yield Figure(f"{what}, first byte", "ms", tuple(1e3 * answer.first for answer in alone))
        yield Figure(f"{what}, all of it", "ms", tuple(1e3 * answer.total for answer in alone))
        idle = server.rss()
        runs = [_together(server, text) for _ in range(3)]
        yield Figure(
            f"{what}, {_LISTENERS} at once: the last one's first byte", "ms", tuple(r[0] for r in runs)
        )
        yield Figure(f"{what}, {_LISTENERS} at once: all done", "s", tuple(r[1] for r in runs))
        yield Figure(
            f"{what}, {_LISTENERS} at once: memory more than idle", "MiB", tuple(r[2] - idle for r in runs)
        )


def _together(server: Server, text: str) -> tuple[float, float, float]:
    over = Event()

    def watch() -> float:
        most = server.rss()
        while not over.wait(0.01):
            most = max(most, server.rss())
        return most

    with ThreadPoolExecutor(1) as watcher:
        watched = watcher.submit(watch)
        answers = asking.ask_together([server.port] * _LISTENERS, text)
        over.set()
        most = watched.result()
    return 1e3 * max(answer.first for answer in answers), max(answer.total for answer in answers), most

"""For those who run it: health, readiness, metrics."""

import asyncio
import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from litestar import Response, Router, get

from app.errors import Draining
from app.metrics import Metrics

GRACE = 10.0
"""Seconds that requests under way have before the server is told to end; it then gives them its own grace."""


class Lifecycle:
    """Whether the process takes new work, and what is under way.

    Told to end, a server closes its door at once: who asks whether it is ready is then refused, like everybody
    whom the balancer sends before it knows. So the signal is held back while requests are under way: the door
    stays open, `/readyz` says no, and whoever comes all the same is served.
    """

    def __init__(self) -> None:
        self.draining = False
        self._under_way = 0
        self._end: Callable[[], None] | None = None

    def drain_on_signals(self) -> None:
        """Not ready any more as soon as the process is told to end; the end comes when no request is under way.

        It comes after `GRACE` seconds, or with a second signal, all the same. To be called in the event loop of
        the main thread, when the server's own signal handlers are in place: they are called on.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, functools.partial(self._drain, loop, signal.getsignal(number)))

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around each request."""
        self._under_way += 1
        try:
            yield
        finally:
            # The signal may come between any two of these steps: whichever of the two sides is later ends it.
            self._under_way -= 1
            if not self._under_way:
                self._finish()

    def _drain(
        self, loop: asyncio.AbstractEventLoop, then: object, number: int, frame: FrameType | None
    ) -> None:
        impatient, self.draining = self.draining, True
        if callable(then):
            self._end = functools.partial(then, number, frame)
        if impatient or not self._under_way:
            self._finish()
        else:
            loop.call_soon_threadsafe(loop.call_later, GRACE, self._finish)

    def _finish(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end()


def operations(lifecycle: Lifecycle, metrics: Metrics) -> Router:
    """The routes."""

    @get("/healthz", summary="The process lives", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        """200 as long as the process answers at all."""
        return {"status": "ok"}

    @get("/readyz", summary="The process can serve", sync_to_thread=False)
    def readyz() -> dict[str, str]:
        """200 when it takes requests, 503 while it is draining."""
        if lifecycle.draining:
            raise Draining("This process is ending. Ask another one.", retry_after=1.0)
        return {"status": "ready"}

    @get("/metrics", summary="Prometheus metrics", media_type=metrics.content_type, sync_to_thread=False)
    def exposition() -> Response[bytes]:
        """In Prometheus' text format."""
        # As a header, because Litestar would add a second charset to a media type of text.
        return Response(metrics.render(), headers={"Content-Type": metrics.content_type})

    return Router("/", route_handlers=[healthz, readyz, exposition], tags=["operations"])

"""For those who run it: health, readiness, metrics."""

import asyncio
import functools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from litestar import Response, Router, get

from app.errors import Draining
from app.metrics import Metrics

CLOSING = 5.0
"""Seconds of the grace, or a third of it where that is less, that are kept for writing and closing."""
_BY_FORCE = 0.5
"""Seconds behind the deadline."""


Handler = Callable[[int, FrameType | None], object]
"""Of a signal."""


class Lifecycle:
    """Whether the process takes new work, what is under way, and when it must be gone.

    Told to end, a server closes its door at once: who asks whether it is ready is then refused, like everybody
    whom the balancer sends before it knows. So the signal is held back while requests are under way: the door
    stays open, `/readyz` says no, and whoever comes all the same is served.

    There is one deadline, `grace` seconds after the signal, and every stage is told what is left until then: the
    requests, the server that waits for them, the writing of what waits, the closing of connections.
    """

    def __init__(self, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`grace` in seconds; `clock` is monotonic."""
        self.draining = False
        self._grace = grace
        self._clock = clock
        self._deadline: float | None = None
        self._under_way = 0
        self._end: Callable[[], None] | None = None
        self._grant: Callable[[Handler, float], None] = lambda _handler, _seconds: None

    def drain_on_signals(self, grant: Callable[[Handler, float], None]) -> None:
        """Not ready any more as soon as the process is told to end; the end comes when no request is under way.

        It comes when the requests' part of the grace is over, or with a second signal, all the same. To be called in
        the event loop of the main thread, when the server's own signal handlers are in place: they are called on,
        each after `grant` was called with it and the seconds for which its server may still wait for requests.
        """
        self._grant = grant
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, functools.partial(self._drain, loop, signal.getsignal(number)))

    def left(self) -> float:
        """Seconds until the process must be gone. They run from the signal on; without one, from the first asking."""
        if self._deadline is None:
            self._deadline = self._clock() + self._grace
        return max(0.0, self._deadline - self._clock())

    def left_for_requests(self) -> float:
        """The same, without what is kept for writing and closing."""
        return max(0.0, self.left() - min(CLOSING, self._grace / 3))

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
        if not impatient:
            # By the kernel, which ends a process also whose threads hang, and whose interpreter waits for them.
            signal.setitimer(signal.ITIMER_REAL, self.left() + _BY_FORCE)
        if callable(then):
            self._end = functools.partial(self._tell, then, number, frame)
        if impatient or not self._under_way:
            self._finish()
        else:
            loop.call_soon_threadsafe(loop.call_later, self.left_for_requests(), self._finish)

    def _finish(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end()

    def _tell(self, then: Handler, number: int, frame: FrameType | None) -> None:
        self._grant(then, self.left_for_requests())
        then(number, frame)


def draining() -> Draining:
    """What is said from the signal on."""
    return Draining("This process is ending. Ask another one.", retry_after=1.0)


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
            raise draining()
        return {"status": "ready"}

    @get("/metrics", summary="Prometheus metrics", media_type=metrics.content_type, sync_to_thread=False)
    def exposition() -> Response[bytes]:
        """In Prometheus' text format."""
        # As a header, because Litestar would add a second charset to a media type of text.
        return Response(metrics.render(), headers={"Content-Type": metrics.content_type})

    return Router("/", route_handlers=[healthz, readyz, exposition], tags=["operations"])

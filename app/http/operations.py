"""For those who run it: health, readiness, metrics."""

import functools
import signal
from types import FrameType

from litestar import Response, Router, get

from app.errors import Draining
from app.metrics import Metrics


class Lifecycle:
    """Whether the process takes new work."""

    def __init__(self) -> None:
        self.draining = False

    def drain_on_signals(self) -> None:
        """Not ready any more as soon as the process is told to end, while requests under way are answered.

        To be called in the main thread, when the server's own signal handlers are in place: they are called on.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, functools.partial(self._drain, signal.getsignal(number)))

    def _drain(self, then: object, number: int, frame: FrameType | None) -> None:
        self.draining = True
        if callable(then):
            then(number, frame)


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

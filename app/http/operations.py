"""For those who run it: health, readiness, metrics."""

from litestar import Response, Router, get

from app.errors import Draining
from app.metrics import Metrics


class Lifecycle:
    """Whether the process takes new work."""

    def __init__(self) -> None:
        self.draining = False


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
        return Response(metrics.render(), media_type=metrics.content_type)

    return Router("/", route_handlers=[healthz, readyz, exposition], tags=["operations"])

"""`GET /v1/providers`: how each provider stands."""

from collections.abc import Callable

from litestar import Router, get
from litestar.datastructures import CacheControlHeader

from app.speech.standing import Standings


def providers(standings: Callable[[], Standings]) -> Router:
    """The route. The doorway lets administrators in only; all the same it has no key, address or text."""

    @get(
        "/v1/providers",
        summary="Providers: state, latency, calls, spend, abilities",
        cache_control=CacheControlHeader(no_store=True),
        sync_to_thread=False,
    )
    def providers() -> Standings:
        """Every configured provider; counts are of the process that answers, since its start."""
        return standings()

    return Router("/", route_handlers=[providers], tags=["operations"])

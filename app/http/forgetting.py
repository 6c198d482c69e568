"""`DELETE /v1/speech/{digest}`: forgotten in every tier and by every replica."""

from litestar import Request, delete
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.status_codes import HTTP_204_NO_CONTENT

from app.http.owner import Owners
from app.http.replay import address_of
from app.speech.studio import Studio


class ForgettingSurface:
    """One speech and its clips."""

    def __init__(self, studio: Studio, owners: Owners) -> None:
        self._studio = studio
        self._owners = owners

    def route(self) -> HTTPRouteHandler:
        """For Litestar."""

        @delete("/v1/speech/{address:str}", status_code=HTTP_204_NO_CONTENT, include_in_schema=False)
        async def forget(address: FromPath[str], request: Request) -> None:  # type: ignore[type-arg]
            digest, _ = address_of(address)
            await self._studio.forget(digest, self._owners.of(request.scope))

        return forget

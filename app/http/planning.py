"""`POST /v1/speech/plan`: the dry run."""

from functools import partial

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPScope, Receive, Send

from app.http.doorway import user_of
from app.http.owner import Owners
from app.http.requests import decode, speech_request
from app.http.wire import ClientGone, encoded, read_json_body, require_method, send_whole
from app.speech.cast import Casting
from app.speech.estimate import Terms, estimate
from app.speech.studio import Studio
from app.users.desk import Desk


class PlanSurface:
    """Decodes, plans, answers."""

    def __init__(self, studio: Studio, casting: Casting, owners: Owners, desk: Desk, max_body: int) -> None:
        """`max_body` in bytes."""
        self._desk = desk
        self._owners = owners
        self._studio = studio
        self._casting = casting
        self._max_body = max_body

    def route(self) -> ASGIRouteHandler:
        """For Litestar."""
        return asgi("/v1/speech/plan", copy_scope=False)(self.plan)

    async def plan(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """One request.

        Raises:
            RefrainError: as for speech, but no provider is called.
        """
        require_method(scope, "POST")
        try:
            body = decode(await read_json_body(scope, receive, self._max_body))
        except ClientGone:
            return
        cast = self._casting.now
        self._desk.limits.recall(user_of(scope))
        asked = speech_request(body, cast.voices, cast.outputs, self._owners.of(scope))
        plan = await self._studio.plan(asked)
        user = user_of(scope)
        entrance = self._desk.limits.enter(user)
        limits = entrance.limits
        terms = Terms(limits, partial(self._desk.accounts.refused, user.id, limits))
        estimated = await estimate(self._studio, plan, terms)
        await self._desk.limits.admit(entrance)
        answer = msgspec.json.encode(estimated)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        headers += entrance.headers
        await send_whole(send, 200, encoded(headers), [answer])

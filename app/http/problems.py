"""Errors on the wire: OpenAI's form under `/v1/audio`, RFC 9457 elsewhere; both from the table in `app.errors`."""

import json
import logging
import math
from collections.abc import Iterator
from contextlib import suppress

from litestar import Request, Response
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.status_codes import HTTP_401_UNAUTHORIZED
from litestar.types import Scope, Send

from app.errors import (
    Internal,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    OverLimit,
    RefrainError,
    whereabouts,
)
from app.http import request_id
from app.http.wire import encoded, send_whole

log = logging.getLogger("refrain")


def headers_of(error: RefrainError) -> dict[str, str]:
    """What goes beside the body: when to come back, and what is allowed.

    It holds for now: networks that keep sound by its extension keep a 404 as well, for minutes, unless they are told.
    """
    headers = {"Cache-Control": "no-store", **dict(error.headers if isinstance(error, OverLimit) else ())}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
        headers["Retry-After-Ms"] = str(max(1, round(error.retry_after * 1000)))
    if error.hopeless:
        # Stock OpenAI clients ask three times otherwise: three calls, and maybe three bills.
        headers["X-Should-Retry"] = "false"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allow
    if error.row.status == HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def openai_body(error: RefrainError) -> dict[str, object]:
    """OpenAI's form."""
    row = error.row
    return {"error": {"message": error.message, "type": row.kind, "param": error.param, "code": row.code}}


def problem_body(error: RefrainError) -> dict[str, object]:
    """RFC 9457."""
    row = error.row
    body: dict[str, object] = {
        "type": "about:blank",
        "title": row.code.replace("_", " ").capitalize(),
        "status": row.status,
        "detail": error.message,
        "code": row.code,
    }
    if error.param:
        body["param"] = error.param
    return body


def answer(path: str, error: RefrainError) -> Response[bytes]:
    """The whole answer, in the form that clients of this path expect."""
    if path == "/v1/audio" or path.startswith("/v1/audio/"):
        body, media = openai_body(error), "application/json"
    else:
        body, media = problem_body(error), "application/problem+json"
    return Response(
        json.dumps(body).encode(), status_code=error.row.status, media_type=media, headers=headers_of(error)
    )


async def send_error(path: str, error: RefrainError, send: Send) -> None:
    """The same, where no handler of Litestar's is left to send it."""
    told = answer(path, error)
    sizes = (("Content-Type", str(told.media_type)), ("Content-Length", str(len(told.content))))
    await send_whole(send, error.row.status, encoded([*sizes, *told.headers.items()]), [told.content])


def on_refrain_error(request: Request, error: RefrainError) -> Response[bytes]:  # type: ignore[type-arg]
    """Ours: as the table says."""
    return answer(request.scope["path"], error)


def on_http_exception(request: Request, error: HTTPException) -> Response[bytes]:  # type: ignore[type-arg]
    """Litestar's own: routing and validation."""
    if isinstance(error, NotFoundException):
        return answer(request.scope["path"], NotFound("Nothing is at this address. See /docs for what is."))
    if isinstance(error, MethodNotAllowedException):
        allow = ", ".join(allowed(request.scope))
        return answer(request.scope["path"], MethodNotAllowed(f"This address takes {allow}.", allow=allow))
    if error.status_code < 500:  # noqa: PLR2004 - the client's fault, whatever it is
        return answer(request.scope["path"], InvalidInput("The request could not be understood. See /docs."))
    return on_defect(request, error)


def allowed(scope: Scope) -> Iterator[str]:
    """The methods that this path has: RFC 9110 asks for them with each 405, and Litestar does not say."""
    router = scope["litestar_app"].asgi_router
    for method in HttpMethod:
        with suppress(HTTPException):
            # The envelope answers HEAD wherever there is GET.
            asked = HttpMethod.GET if method is HttpMethod.HEAD else method
            router.handle_routing(path=scope["path"], method=asked)
            yield method.value


def on_defect(request: Request, error: Exception) -> Response[bytes]:  # type: ignore[type-arg]
    """A defect of ours: its type and place are logged, never its message, which may carry text."""
    log.error("defect: %s (request %s)", whereabouts(error), request_id.current())
    return answer(request.scope["path"], defect())


def defect() -> Internal:
    """What the caller is told of a defect."""
    return Internal(
        "Something went wrong in Refrain itself. Please report it with the X-Request-Id of this answer."
    )

"""`POST /v1/tokens`: a pass for what can send no header, from one who can."""

import re
from collections.abc import Container
from typing import Annotated, Final
from urllib.parse import unquote

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPScope, Receive, Send
from msgspec import Meta

from app.errors import InvalidInput, InvalidJson
from app.http.doorway import user_of
from app.http.wire import ClientGone, encoded, header, read_json_body, require_method, send_whole
from app.unprinted import Unprinted
from app.users.passes import MOST_SECONDS, Passes

_PATH: Final = re.compile(r"(/v1/speech/[0-9a-f]{40})(?:\.[a-z0-9]{2,5})?")

_AT: Final = re.compile(r" - at `\$\.(expires_in|path)`$")


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/tokens`; it may be left out."""

    expires_in: Annotated[int, Meta(description=f"Seconds, from 1 to {MOST_SECONDS}.")] = MOST_SECONDS
    path: Annotated[
        str | None,
        Meta(
            description="Only for this speech: its `/v1/speech/{digest}`; or for this WebSocket, which takes no other: "
            "its path. Left out: for all that its user may hear."
        ),
    ] = None


class IssuedToken(Unprinted, frozen=True):
    """For `?token=`. `expires_in`: seconds, fewer than asked for where what it is made from ends sooner."""

    token: str
    expires_in: int


_DECODER = msgspec.json.Decoder(TokenBody)


class TokenSurface:
    """Decodes, signs, answers."""

    def __init__(self, passes: Passes, sockets: Container[str], max_body: int) -> None:
        """`sockets` are paths at which a WebSocket is opened; `max_body` in bytes."""
        self._passes = passes
        self._sockets = sockets
        self._max_body = max_body

    def route(self) -> ASGIRouteHandler:
        """For Litestar."""
        return asgi("/v1/tokens", copy_scope=False)(self.issue)

    async def issue(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """One request.

        Raises:
            InvalidJson, InvalidInput: what is asked for cannot be.
            UsersUnavailable: as `Passes.issue`.
        """
        require_method(scope, "POST")
        try:
            body = decoded(b"" if _is_empty(scope) else await read_json_body(scope, receive, self._max_body))
        except ClientGone:
            return
        token, seconds = await self._passes.issue(
            user_of(scope), body.expires_in, path_of(body.path, self._sockets)
        )
        answer = msgspec.json.encode(IssuedToken(token, seconds))
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(answer))),
            ("Cache-Control", "no-store"),
        ]
        await send_whole(send, 200, encoded(headers), [answer])


def _is_empty(scope: HTTPScope) -> bool:
    """Whether no body is announced: a page that sends none need not say of what type it is."""
    length = header(scope, b"content-length")
    return header(scope, b"transfer-encoding") is None and (length is None or length.strip() == "0")


def decoded(body: bytes) -> TokenBody:
    """The body's fields.

    Raises:
        InvalidJson: not JSON in UTF-8, or nested too deep.
        InvalidInput: a field is unknown, of the wrong type or out of range.
    """
    try:
        asked = _DECODER.decode(body) if body.strip() else TokenBody()
    except msgspec.ValidationError as error:
        at = _AT.search(str(error))
        raise InvalidInput(
            "The body takes `expires_in`, a whole number of seconds, and `path`, a string, and nothing else.",
            param=at[1] if at else None,
        ) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise InvalidJson("The body is not valid JSON in UTF-8. Send an object, or nothing.") from None
    if not 1 <= asked.expires_in <= MOST_SECONDS:
        raise InvalidInput(f"`expires_in` must be from 1 to {MOST_SECONDS} seconds.", param="expires_in")
    return asked


def path_of(path: str | None, sockets: Container[str]) -> str:
    """The address of a speech without the extension of its format, or of a WebSocket; empty: of all speeches.

    Raises:
        InvalidInput: it is none.
    """
    if path is None:
        return ""
    if (decoded := unquote(path)) in sockets:
        return decoded
    match = _PATH.fullmatch(path)
    if match is None:
        message = (
            "`path` must be the address of a speech, as in the Content-Location of the answer that made it, or that "
            "of a WebSocket."
        )
        raise InvalidInput(message, param="path")
    return match[1]

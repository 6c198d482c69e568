"""`POST /v1/cache/purge`: an administrator has what fits forgotten."""

import re
from typing import Annotated, Final

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPScope, Receive, Send
from msgspec import Meta

from app.errors import CacheUnavailable, InvalidInput, InvalidJson
from app.http import request_id
from app.http.doorway import user_of
from app.http.wire import ClientGone, encoded, read_json_body, require_method, send_whole
from app.purging import Purging, Wanted
from app.unprinted import Unprinted
from cache.errors import Unreachable

_DIGEST: Final = re.compile("[0-9a-f]{40}")
_WORDS: Final = 64
"""Characters of a name or tag."""

Word = Annotated[str, Meta(max_length=_WORDS)]


class PurgeBody(Unprinted, frozen=True, forbid_unknown_fields=True):
    """What fits all that is given is forgotten; a digest stands alone. A field that there is not is a mistake."""

    voice: Annotated[Word | None, Meta(description="What was asked for in this voice (name or alias).")] = (
        None
    )
    provider: Annotated[
        Word | None, Meta(description="What this provider spoke, by its configured name.")
    ] = None
    tag: Annotated[Word | None, Meta(description="What was asked for under this tag.")] = None
    digest: Annotated[str | None, Meta(description="One speech with its clips, or one clip.")] = None


class Forgotten(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many entries were forgotten, and what is to be done for the others, if there may be some."""

    forgotten: int
    missed: str = ""


class PurgeSurface:
    """Decodes, purges, answers."""

    def __init__(self, purging: Purging, max_body: int) -> None:
        """`max_body` in bytes."""
        self._purging = purging
        self._max_body = max_body

    def route(self) -> ASGIRouteHandler:
        """For Litestar. The doorway lets administrators in only."""
        return asgi("/v1/cache/purge", copy_scope=False)(self.purge)

    async def purge(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """One request.

        Raises:
            InvalidJson, InvalidInput: nothing was forgotten.
            CacheUnavailable: not everything was.
        """
        require_method(scope, "POST")
        try:
            wanted = _wanted(await read_json_body(scope, receive, self._max_body))
        except ClientGone:
            return
        try:
            purged = await self._purging.purge(wanted, user_of(scope), request_id.current())
        except Unreachable:
            message = "Redis does not answer, or the archive, so not everything is forgotten. Ask again."
            raise CacheUnavailable(message, retry_after=1.0) from None
        answer = msgspec.json.encode(Forgotten(purged.count, purged.missed))
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        await send_whole(send, 200, encoded(headers), [answer])


def _wanted(body: bytes) -> Wanted:
    try:
        given = msgspec.json.decode(body, type=PurgeBody)
    except msgspec.ValidationError:
        raise InvalidInput(
            f"Send `voice`, `provider` or `tag`, words of at most {_WORDS} characters, or `digest`, and nothing else."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJson("The body is not valid JSON in UTF-8. Send an object.") from None
    wanted = Wanted(given.voice or "", given.provider or "", given.tag or "", given.digest or "")
    if wanted == Wanted():
        raise InvalidInput("Say what to forget: `voice`, `provider`, `tag` or `digest`.")
    if wanted.digest:
        if not _DIGEST.fullmatch(wanted.digest):
            message = (
                "`digest` must be the 40 hexadecimal digits of a Content-Location, or of a chunk in a plan."
            )
            raise InvalidInput(message, param="digest")
        if wanted != Wanted(digest=wanted.digest):
            message = "`digest` names what to forget by itself: leave the others out."
            raise InvalidInput(message, param="digest")
    return wanted

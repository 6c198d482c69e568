"""`GET /v1/speech/{digest}`: what was said once, by its address; HEAD is answered by the envelope."""

import functools
import re
from contextlib import aclosing
from dataclasses import dataclass

from litestar import Request, get
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from app.errors import NotFound
from app.http.doorway import is_checked
from app.http.owner import Owners
from app.http.sound import TRIES, Head, send_following, send_sound
from app.http.speech_headers import Pairs, followed_headers, replay_headers
from app.http.wire import encoded, header, is_head, send_whole
from app.speech.following import Followed
from app.speech.ready import Ready
from app.speech.shelf import MadeAnew, gone
from app.speech.studio import Studio

_ADDRESS = re.compile(r"([0-9a-f]{40})(?:\.([a-z0-9]{2,5}))?")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to and without `end`; empty where a range lies outside of the speech."""

    start: int
    end: int


class ReplaySurface:
    """Whole or in part."""

    def __init__(self, studio: Studio, owners: Owners) -> None:
        self._studio = studio
        self._owners = owners

    def route(self) -> HTTPRouteHandler:
        """For Litestar. Not a raw route: those cannot have parameters in their path (a KeyError at each request)."""

        @get("/v1/speech/{address:str}", include_in_schema=False)
        async def replay(address: FromPath[str], request: Request) -> ASGIApp:  # type: ignore[type-arg]
            return await self.replay(address, self._owners.of(request.scope))

        return replay

    async def replay(self, address: str, owner: str | None) -> ASGIApp:
        """The answer to one request of `owner`'s.

        Raises:
            NotFound: nothing is at this address, or it is another's.
        """
        digest, extension = address_of(address)
        speech = await self._found(digest, owner)
        fmt = speech.begun.fmt if isinstance(speech, Followed) else speech.manifest.fmt
        if extension not in {None, fmt.extension}:
            raise NotFound(f"This speech is {fmt.extension}, not {extension}.")
        if isinstance(speech, Followed):
            return functools.partial(_send_followed, speech)

        return functools.partial(self._send_found, speech, owner)

    async def _found(self, digest: str, owner: str | None) -> Ready | Followed:
        try:
            return await self._studio.replay(digest, owner)
        except NotFound:
            if following := await self._studio.follow(digest, owner):
                return following
            # It may have been completed between the two looks.
            return await self._studio.replay(digest, owner)

    async def _send_found(
        self, speech: Ready, owner: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        assert scope["type"] == ScopeType.HTTP
        for _ in range(TRIES):
            try:
                await _send(scope, receive, send, speech)
            except MadeAnew:
                # Nothing has left yet. With the clips as they are now, other bytes have another name.
                speech = await self._studio.replay(speech.digest, owner)
            else:
                return
        raise gone()


async def _send_followed(speech: Followed, scope: Scope, receive: Receive, send: Send) -> None:
    """All of it from the beginning, whatever range is asked for: neither its length nor its bytes' name is known."""
    assert scope["type"] == ScopeType.HTTP
    headers = encoded(followed_headers(speech))
    async with aclosing(speech.sound()) as sound:
        if is_head(scope):
            await send_whole(send, 200, headers)
            return
        await send_following(receive, send, headers, sound)


async def _send(scope: HTTPScope, receive: Receive, send: Send, speech: Ready) -> None:
    headers = replay_headers(speech, private=is_checked(scope))
    required = header(scope, b"if-match")
    if required is not None and not _is_among(required, speech.manifest.etag):
        await send_whole(send, 412, encoded([*headers, ("Content-Length", "0")]))
        return
    if matches(header(scope, b"if-none-match"), speech.manifest.etag):
        await send_whole(send, 304, encoded(headers))
        return
    headers.append(("Content-Type", speech.manifest.fmt.media_type))
    if is_head(scope):
        await send_whole(send, 200, encoded([*headers, ("Content-Length", str(speech.size))]))
        return
    await _send_span(scope, receive, send, speech, headers)


async def _send_span(scope: HTTPScope, receive: Receive, send: Send, speech: Ready, headers: Pairs) -> None:
    span = _span(scope, speech)
    if span is None:
        status, span = 200, Span(0, speech.size)
    elif span.start >= span.end:
        headers = [pair for pair in headers if pair[0] != "Content-Type"]
        headers += [("Content-Range", f"bytes */{speech.size}"), ("Content-Length", "0")]
        await send_whole(send, 416, encoded(headers))
        return
    else:
        status = 206
        headers.append(("Content-Range", f"bytes {span.start}-{span.end - 1}/{speech.size}"))
    length = span.end - span.start
    headers.append(("Content-Length", str(length)))
    sound = speech.sound(span.start, span.end)
    await send_sound(receive, send, Head(status, encoded(headers), length), sound)


def address_of(address: str) -> tuple[str, str | None]:
    """Digest and extension, if there is one.

    Raises:
        NotFound: it is not made like an address of ours.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise NotFound(
            "That is not an address of a speech. Use the Content-Location of the answer that made it."
        )
    return match[1], match[2]


def matches(condition: str | None, etag: str) -> bool:
    """If-None-Match compares weakly."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return "*" in tags or etag in tags


def _is_among(tags: str, etag: str) -> bool:
    """If-Match compares strongly: no weak tag is any byte's name."""
    named = [tag.strip() for tag in tags.split(",")]
    return "*" in named or etag in named


def _span(scope: HTTPScope, speech: Ready) -> Span | None:
    """The one range asked for; None for all of it: no range, several, one we don't read, or other bytes by now."""
    condition = header(scope, b"if-range")
    match = _RANGE.fullmatch((header(scope, b"range") or "").replace(" ", ""))
    if match is None or (condition is not None and condition.strip() != speech.manifest.etag):
        return None
    first, last = match[1], match[2]
    if not first:
        # The last so many bytes; of an empty suffix there are none.
        return Span(max(0, speech.size - int(last)), speech.size) if last else None
    if last and int(last) < int(first):
        return None
    return Span(int(first), min(int(last) + 1, speech.size) if last else speech.size)

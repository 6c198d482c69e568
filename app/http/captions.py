"""`GET /v1/speech/{digest}/captions.vtt`, `.srt`, `.json`, and `/alignment.json`: what is heard when.

HEAD is answered by the envelope.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec
from litestar import Request, Router, get
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from app.errors import NotFound
from app.http.doorway import is_checked
from app.http.owner import Owners
from app.http.replay import matches
from app.http.wire import encoded, header, send_whole
from app.speech.alignment import Alignment, alignment
from app.speech.captions import Cue
from app.speech.studio import Studio
from app.speech.subtitles import subrip, webvtt
from app.unprinted import Unprinted

_DIGEST: Final = re.compile(r"[0-9a-f]{40}")


class CaptionWord(Unprinted, frozen=True):
    """A word as it was written, with its punctuation; times in seconds."""

    text: str
    start: float
    end: float


class Caption(Unprinted, frozen=True, omit_defaults=True):
    """A sentence; `words` are those of which the provider told the times."""

    start: float
    end: float
    text: str
    words: tuple[CaptionWord, ...] = ()


class Captions(msgspec.Struct, frozen=True):
    """All of a speech, whose sound is `duration` seconds long."""

    duration: float
    cues: list[Caption]


@dataclass(frozen=True, slots=True)
class Form:
    """A form of captions: its media type, and how it is written, from the speech's text and its cues.

    `struct` is what JSON is made of; None: it is no JSON.
    """

    media_type: str
    write: Callable[[str, Sequence[Cue]], bytes]
    struct: type[msgspec.Struct] | None = None


def _json(_text: str, cues: Sequence[Cue]) -> bytes:
    duration = cues[-1].end / 1_000  # the last one lasts as long as the sound
    return msgspec.json.encode(Captions(duration, [_caption(cue) for cue in cues]))


def _caption(cue: Cue) -> Caption:
    words = (CaptionWord(word.text, word.start / 1_000, word.end / 1_000) for word in cue.words if word.told)
    return Caption(cue.start / 1_000, cue.end / 1_000, cue.text, tuple(words))


def _alignment(text: str, cues: Sequence[Cue]) -> bytes:
    return msgspec.json.encode(alignment(text, cues))


FORMS: Final = MappingProxyType(
    {
        "captions.vtt": Form("text/vtt; charset=utf-8", lambda _, cues: webvtt(cues).encode()),
        "captions.srt": Form("application/x-subrip; charset=utf-8", lambda _, cues: subrip(cues).encode()),
        "captions.json": Form("application/json; charset=utf-8", _json, Captions),
        "alignment.json": Form("application/json; charset=utf-8", _alignment, Alignment),
    }
)
"""By what stands behind a speech's address."""


class CaptionSurface:
    """One speech's captions in the form that is asked for."""

    def __init__(self, studio: Studio, owners: Owners) -> None:
        self._studio = studio
        self._owners = owners

    def router(self) -> Router:
        """For Litestar."""
        return Router("/v1/speech", route_handlers=[self._route(name) for name in FORMS])

    def _route(self, name: str) -> HTTPRouteHandler:
        @get(f"/{{address:str}}/{name}", include_in_schema=False, name=name)
        async def captions(address: FromPath[str], request: Request) -> ASGIApp:  # type: ignore[type-arg]
            return await self.captions(address, FORMS[name], self._owners.of(request.scope))

        return captions

    async def captions(self, address: str, form: Form, owner: str | None) -> ASGIApp:
        """The answer to one request of `owner`'s.

        Raises:
            NotFound: nothing is at this address, not yet, no text, or it is another's.
        """
        if not _DIGEST.fullmatch(address):
            raise NotFound(
                "That is not the address of a speech. Use the Content-Location of the answer that made it, "
                "and /captions.vtt, .srt, .json or /alignment.json behind it."
            )
        manifest, cues = await self._studio.captions(address, owner)
        body = await asyncio.to_thread(
            form.write, manifest.text, cues
        )  # 130 to 160 ms for the longest text that is taken
        etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
            assert scope["type"] == ScopeType.HTTP
            kept = manifest.cache_control(time.time(), private=is_checked(scope))
            headers = [("Cache-Control", kept), ("ETag", etag)]
            if matches(header(scope, b"if-none-match"), etag):
                await send_whole(send, 304, encoded(headers))
                return
            sized = [*headers, ("Content-Type", form.media_type), ("Content-Length", str(len(body)))]
            await send_whole(send, 200, encoded(sized), [body])

        return answer

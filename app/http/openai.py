"""`POST /v1/audio/speech` in OpenAI's form, as audio or as server-sent events; `POST /v1/speech/plan` beside it.

The speech surface is a raw ASGI route: a Litestar handler's own reading and writing of request and response
costs 60 µs, more than all the rest of a hit.
"""

import base64
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from logging import getLogger

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPScope, Receive, Send

from app.errors import InvalidInput, NotCached, NotFound, ProvidersUnavailable, RefrainError, whereabouts
from app.http import request_id
from app.http.doorway import user_of
from app.http.owner import Owners
from app.http.problems import defect, openai_body
from app.http.requests import SpeechBody, decode, speech_request
from app.http.sound import TRIES, Head, send_sound
from app.http.speech_headers import live_headers, ready_headers
from app.http.wire import (
    ClientGone,
    WhileConnected,
    encoded,
    header,
    read_json_body,
    require_method,
    send_end,
    send_head,
    send_slices,
    send_whole,
)
from app.metrics import Metrics
from app.speech.cast import Casting
from app.speech.failures import told
from app.speech.making import Live
from app.speech.plan import Plan
from app.speech.ready import Ready, Short
from app.speech.report import report
from app.speech.shelf import MadeAnew
from app.speech.studio import Studio
from app.users.desk import Desk
from app.users.idempotency import HEADER, Claim
from app.users.visit import Visit
from providers.errors import ProviderError

log = getLogger("refrain")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be heard, since when (`perf_counter`), and on whose bill."""

    body: SpeechBody = field(repr=False)
    began: float
    visit: Visit

    @property
    def sse(self) -> bool:
        """Whether as events."""
        return self.body.stream_format == "sse"


class SpeechSurface:
    """Decodes, performs, sends."""

    def __init__(
        self,
        studio: Studio,
        casting: Casting,
        owners: Owners,
        desk: Desk,
        *,
        metrics: Metrics,
        max_body: int,
    ) -> None:
        """`max_body` in bytes."""
        self._desk = desk
        self._owners = owners
        self._studio = studio
        self._casting = casting
        self._metrics = metrics
        self._max_body = max_body

    def route(self) -> ASGIRouteHandler:
        """For Litestar."""
        return asgi("/v1/audio/speech", copy_scope=False)(self.speak)

    async def speak(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """One request.

        Raises:
            RefrainError: before anything was sent; afterwards the connection is cut instead.
        """
        require_method(scope, "POST")
        try:
            body = decode(await read_json_body(scope, receive, self._max_body))
            began = time.perf_counter()
            cast = self._casting.now
            self._desk.limits.recall(user_of(scope))
            asked = speech_request(body, cast.voices, cast.outputs, self._owners.of(scope))
            # Behind the checks: a request that was refused for its form may be mended and sent under the same key.
            claim = await self._claim(scope, body)
            if claim is not None and claim.standing == "done" and asked.cache == "refresh":
                asked = msgspec.structs.replace(asked, cache="default")  # it was made anew
            # By the same cast: there may have been another meanwhile.
            plan = await cast.plans.get(asked)
            with self._desk.visit(user_of(scope), claim) as visit:
                done = False
                try:
                    done = await self._answer(receive, send, Wish(body, began, visit), plan)
                except NotCached:
                    # He may have asked once too often all the same: that it is not there has cost a look, too.
                    await visit.admit()
                    raise
                finally:
                    if claim is not None:
                        self._desk.idempotency.finish(claim, done=done)
        except ClientGone:
            return

    async def _claim(self, scope: HTTPScope, body: SpeechBody) -> Claim | None:
        key = header(scope, b"idempotency-key")
        if key is None:
            return None
        if body.cache == "bypass":
            message = (
                'With "cache": "bypass" nothing is kept that could be given again. Leave out one of the two.'
            )
            raise InvalidInput(message, param=HEADER)
        # As it was understood: the same request may be written in other words of JSON.
        return await self._desk.idempotency.claim(user_of(scope), key, msgspec.json.encode(body))

    async def _answer(self, receive: Receive, send: Send, wish: Wish, plan: Plan) -> bool:
        """Whether all of it was said."""
        visit = wish.visit
        for _ in range(TRIES):
            visit.ask()
            async with self._studio.perform(plan) as speech:
                await visit.admit()
                if isinstance(speech, Live):
                    async with WhileConnected(receive):
                        await visit.reserve(speech.due, plan.characters - speech.due.characters)
                        speech.over = visit.close
                        visit.lend()
                        await self._send_live(send, wish, speech)
                    return len(speech.clips) == len(plan.chunks)
                if visit.tally.counting == "all":
                    await visit.reserve_hit(plan.characters)
                try:
                    await self._send_ready(receive, send, wish, speech)
                except (NotFound, MadeAnew):
                    # Nothing has left yet: what was there has gone, or is another by now, and is looked for again.
                    visit.tally.look_again()
                    continue
                return True
        message = "Some of this speech is being replaced over and over. Ask for it again."
        raise ProvidersUnavailable(message, retry_after=1.0)

    async def _send_ready(self, receive: Receive, send: Send, wish: Wish, speech: Ready) -> None:
        took = time.perf_counter() - wish.began
        self._metrics.first_audio.observe(took)
        headers = ready_headers(speech, took, wish.visit.charge, sse=wish.sse)
        headers += encoded(wish.visit.headers)
        if not wish.sse:
            if isinstance(speech, Short):
                await send_whole(send, 200, headers, speech.parts)
                return
            await send_sound(receive, send, Head(200, headers, speech.size), speech.sound())
            return
        async with WhileConnected(receive), aclosing(speech.sound()) as sound:
            window = await anext(sound)
            await send_head(send, 200, headers)
            try:
                await self._send_deltas(send, window)
                async for window in sound:
                    await self._send_deltas(send, window)
            except (RefrainError, MadeAnew, ValueError) as error:
                message = "Some of this speech has gone, or was made anew. Ask for it again."
                refusal = error if isinstance(error, RefrainError) else ProvidersUnavailable(message)
                await self._abort(send, refusal, sse=True)
                return
        await send_slices(send, _done(report(speech, wish.visit.charge)))
        await send_end(send)

    async def _send_deltas(self, send: Send, window: Sequence[bytes | memoryview]) -> None:
        for part in window:
            await send_slices(send, _delta(part))

    async def _send_live(self, send: Send, wish: Wish, speech: Live) -> None:
        sse = wish.sse
        head_sent = False
        try:
            async with aclosing(speech.sound()) as sound:
                async for piece in sound:
                    if not head_sent:
                        took = time.perf_counter() - wish.began
                        self._metrics.first_audio.observe(took)
                        headers = [*live_headers(speech, took, sse=sse), *wish.visit.headers]
                        await send_head(send, 200, encoded(headers))
                        head_sent = True
                    await send_slices(send, _delta(piece) if sse else piece)
        except (RefrainError, ProviderError) as error:
            refusal = told([error]) if isinstance(error, ProviderError) else error
            if not head_sent:
                raise refusal from None
            await self._abort(send, refusal, sse=sse)
            return
        except Exception as error:
            if not head_sent:
                raise
            # Litestar could only log the message now, and that may carry the text.
            log.error(  # noqa: TRY400 - for the same reason
                "defect: %s (request %s)", whereabouts(error), request_id.current()
            )
            await self._abort(send, defect(), sse=sse)
            return
        if sse:
            await send_slices(send, _done(report(speech, wish.visit.charge)))
        await send_end(send)

    async def _abort(self, send: Send, error: RefrainError, *, sse: bool) -> None:
        """Returning without an end makes the server cut the connection: every client sees that sound is missing."""
        log.warning("speech cut short: %s (request %s)", error.row.code, request_id.current())
        if sse:
            await send_slices(send, _event({"type": "error", **openai_body(error)}))


def _event(data: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _delta(piece: bytes | memoryview) -> bytes:
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode("ascii")})


def _done(what: dict[str, object]) -> bytes:
    """Refrain counts characters, not tokens: `input_tokens` are the characters charged, and no others exist."""
    charged = what["characters_charged"]
    usage = {"input_tokens": charged, "output_tokens": 0, "total_tokens": charged}
    return _event({"type": "speech.audio.done", "usage": usage, "refrain": what})

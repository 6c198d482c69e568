"""The line to a vendor over HTTP: one account's connections, and how every request over them is made and heard."""

import functools
import json as json_module
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import httpx

from providers import wire
from providers.authorities import authorities
from providers.errors import BadAudio, ProviderError, Unavailable
from providers.interface import Health, ProviderSettings, Sound, Timing, Utterance
from providers.patience import Patience
from providers.wire import refused, translated

T = TypeVar("T")

Classify = Callable[[int, Mapping[str, str], bytes], type[ProviderError]]
"""What an answer with this status, these headers and this body (perhaps cut off, perhaps empty) stands for."""

NOT_SOUND: Final = ("text/", "application/json", "application/problem+json", "application/xml")
MOST_REFUSAL: Final = 64 * 1024
MOST_LISTING: Final = 4 * 1024 * 1024


class Line:
    """Requests to one vendor's server for one account.

    Everything is asked for with identity encoding and read raw, for nothing may be decompressed without a limit;
    each wait counts into the request's `Patience`; httpx's errors, refusals and answers that are no sound come out
    as `ProviderError`s; leaving, raising and being cancelled at any await closes the request and loses no connection.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        classify: Classify,
        *,
        base: str,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`base` is the vendor's own URL, where the settings have none. `transport` replaces the network."""
        self.name = settings.name
        self.base = (settings.base_url or base).rstrip("/")
        self.patience = functools.partial(
            Patience, provider=self.name, first_byte=settings.first_byte_timeout, total=settings.timeout
        )
        self._classify = classify
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **(headers or {})},
            auth=auth,
            # Only connecting is httpx's to time; `Patience` times all the rest, over all steps together.
            timeout=httpx.Timeout(None, connect=settings.connect_timeout),
            # No bound here: the gate has it.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=60),
            verify=authorities(),
            transport=transport,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        """A request below `base`; what is None is left out."""
        return self._client.build_request(
            method, self.base + path, params=params, json=json, content=content, headers=headers
        )

    @asynccontextmanager
    async def answer(
        self, request: httpx.Request, patience: Patience, *, not_sound: tuple[str, ...] = NOT_SOUND
    ) -> AsyncGenerator[httpx.Response]:
        """The vendor's answer once its head is there and says that sound follows.

        `not_sound` are the beginnings of content types that cannot be it; lower case.

        Raises:
            ProviderError: it could not be had, or refuses, or is something else.
        """
        async with AsyncExitStack() as closing:
            with translated(self.name):
                response = await patience.first(
                    lambda: wire.whole(lambda: self._client.send(request, stream=True))
                )
            closing.push_async_callback(wire.whole, response.aclose)
            if response.status_code != httpx.codes.OK:
                body = await self._refusal_body(response, patience)
                # Azure says what is wrong in the status line alone.
                said = body or response.reason_phrase.encode()
                raise self.refusal(response.status_code, response.headers, said)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise BadAudio(f"{self.name} compressed its answer, unasked.", provider=self.name)
            if not_sound and response.headers.get("content-type", "").lower().startswith(not_sound):
                raise BadAudio(f"{self.name} answered with text instead of sound.", provider=self.name)
            yield response

    @asynccontextmanager
    async def spoken(
        self, request: httpx.Request, most: int, *, not_sound: tuple[str, ...] = NOT_SOUND
    ) -> AsyncGenerator[tuple[httpx.Headers, AsyncGenerator[bytes]]]:
        """The head and the body, at most `most` bytes of it, that a request for sound is answered with.

        Raises:
            ProviderError: on entering as `answer` does, while reading as `pieces` does.
        """
        patience = self.patience()
        async with (
            self.answer(request, patience, not_sound=not_sound) as response,
            aclosing(self.pieces(response, patience, most)) as pieces,
        ):
            yield response.headers, pieces

    async def whole(
        self, request: httpx.Request, most: int, *, not_sound: tuple[str, ...] = NOT_SOUND
    ) -> bytes:
        """All of that body, where the sound is inside of something else.

        Raises:
            ProviderError: as `spoken` does.
        """
        async with self.spoken(request, most, not_sound=not_sound) as (_, pieces):
            return b"".join([piece async for piece in pieces])

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an answer with this status stands for. `body` may be cut off or empty."""
        return refused(self.name, self._classify(status, headers, body), status, headers)

    async def _refusal_body(self, response: httpx.Response, patience: Patience) -> bytes:
        # The status alone classifies well enough, so trouble with the body changes nothing.
        try:
            with translated(self.name):
                return await patience.first(lambda: head_of(response, MOST_REFUSAL))
        except ProviderError:
            return b""

    async def pieces(self, response: httpx.Response, patience: Patience, most: int) -> AsyncGenerator[bytes]:
        """The body as it comes, at most `most` bytes of it.

        That an announced length is kept is h11's to enforce; without one, a connection that closes in the middle
        looks like the end.

        Raises:
            ProviderError: the connection broke, it took too long, or there was nothing or too much.
        """
        raw: AsyncIterator[bytes] = response.aiter_raw()
        so_far = 0
        wait = patience.first
        while True:
            with translated(self.name):
                piece = await wait(lambda: wire.whole(lambda: anext(raw, b"")))
            if not piece:
                break
            wait = patience.more
            so_far += len(piece)
            if so_far > most:
                raise BadAudio(f"{self.name} sent far more than this text can take.", provider=self.name)
            yield piece
        if not so_far:
            raise BadAudio(f"{self.name} answered with nothing.", provider=self.name)

    async def read(self, request: httpx.Request, *, signed: bool = True) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body (its first `MOST_LISTING` bytes) of something that is not sound.

        `signed` False: without `auth`.

        Raises:
            ProviderError: it could not be had.
        """
        patience = self.patience()
        auth = httpx.USE_CLIENT_DEFAULT if signed else None
        async with AsyncExitStack() as closing:
            with translated(self.name):
                response = await patience.first(
                    lambda: wire.whole(lambda: self._client.send(request, auth=auth, stream=True))
                )
                closing.push_async_callback(wire.whole, response.aclose)
                body = await patience.first(lambda: wire.whole(lambda: head_of(response, MOST_LISTING)))
            return response.status_code, response.headers, body

    async def warm(self) -> None:
        """Have a connection open, or kept open, by a request that costs nothing, whatever it is answered.

        What goes wrong is left for the next utterance to meet.
        """
        with suppress(ProviderError):
            # Unsigned: credentials may have to be fetched, and say nothing about the line.
            await self.read(self._client.build_request("HEAD", self.base), signed=False)

    async def listing(
        self,
        path: str,
        form: Callable[[Any], T],
        *,
        params: Mapping[str, str] | None = None,
        absent: T | None = None,
    ) -> T:
        """What the vendor lists there, as `form` makes it of its JSON; `absent` where there is no such list.

        Raises:
            ProviderError: it could not be had, refuses, or lists in a form that is not known.
        """
        status, headers, body = await self.read(self.request("GET", path, params=params))
        if absent is not None and status in {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED}:
            return absent
        if status != httpx.codes.OK:
            raise self.refusal(status, headers, body)
        try:
            return form(json_module.loads(body))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise Unavailable(
                f"{self.name} lists its voices in an unknown form.", provider=self.name
            ) from None

    async def health(
        self, path: str, *, params: Mapping[str, str] | None = None, may_lack: bool = False
    ) -> Health:
        """Whether it answers there, which costs nothing; `may_lack`: servers of this wire need not have the path."""
        try:
            status, headers, body = await self.read(self.request("GET", path, params=params))
        except ProviderError as error:
            return Health(ok=False, detail=str(error))
        if status == httpx.codes.OK or (may_lack and status == httpx.codes.NOT_FOUND):
            return Health(ok=True, detail=f"{self.name} answers.")
        return Health(ok=False, detail=str(self.refusal(status, headers, body)))

    async def aclose(self) -> None:
        """Give back the connections. Idempotent."""
        await self._client.aclose()


async def head_of(response: httpx.Response, most: int) -> bytes:
    """The first `most` bytes of a body, raw."""
    head = bytearray()
    async for piece in response.aiter_raw():
        head += piece
        if len(head) >= most:
            break
    return bytes(head[:most])


def sound(
    pieces: AsyncGenerator[bytes],
    rate: int | None,
    *,
    timings: Sequence[Timing] = (),
    billed: float | None = None,
    at_once: int | None = None,
) -> Sound:
    """Of one channel: bare samples, `rate` of them in a second, or, without a rate, a file that says its own."""
    return Sound(
        encoding="file" if rate is None else "pcm_s16le",
        sample_rate=rate or 0,
        channels=1,
        pieces=pieces,
        timings=timings,
        billed=billed,
        at_once=at_once,
    )


def most_bytes(utterance: Utterance, rate: int | None) -> int:
    """More than this is no answer to this text: 20 s and 1 s per character at normal pace (speech takes 0.07 s).

    `rate` of bare samples that is asked for, and no less than 48 kHz: some servers send another than they were asked
    for; None: a file, which takes no more than 48 kHz in stereo.
    """
    bytes_per_second = 192_000 if rate is None else max(2 * rate, 96_000)
    return int((20 + len(utterance.text)) / min(utterance.speed, 1.0) * bytes_per_second)

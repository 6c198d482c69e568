"""Any server that speaks OpenAI's wire: `POST {base_url}/audio/speech` answers sound.

OpenAI itself, LiteLLM, Kokoro-FastAPI, Speaches, LocalAI, vLLM, another Refrain.
"""

import functools
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import limits, options
from providers.errors import BadAudio, ProviderError, Unavailable
from providers.interface import (
    Capabilities,
    Health,
    ListedVoice,
    Profile,
    ProviderSettings,
    ProviderVoice,
    Sound,
    Utterance,
)
from providers.openai_errors import refusal
from providers.patience import Patience
from providers.wire import translated, whole

BASE_URL: Final = "https://api.openai.com/v1"
MOST_CHARACTERS: Final = 4_096
MOST_TOKENS: Final = 2_000
"""Of gpt-4o-mini-tts; a chunk of ours has fewer unless it is full of pictographs, so it is kept for all models."""
VOICES: Final = tuple(
    "alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar".split(),  # noqa: SIM905
)

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "model": options.words,
        "chunking": options.choice("sentence", "group"),
        "response_format": options.choice("pcm", "wav", "mp3", "flac", "opus", "aac"),
        "sample_rate": options.count(8_000, 192_000),
    }
)

_RESERVED: Final = frozenset(
    ("model", "input", "voice", "response_format", "speed", "instructions", "stream_format")
)
_NOT_SOUND: Final = ("text/", "application/json", "application/problem+json", "application/xml")
_MOST_REFUSAL: Final = 64 * 1024
_MOST_LISTING: Final = 1024 * 1024


class OpenAI:
    """One account, or one server, with a pool of connections of its own."""

    kind = "openai"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        chosen = options.read(settings.options, OPTIONS)
        self.name = settings.name
        self._base = (settings.base_url or BASE_URL).rstrip("/")
        self._model: str = chosen.get("model", "tts-1")
        self._format: str = chosen.get("response_format", "pcm")
        self._sample_rate: int = chosen.get("sample_rate", 24_000)
        self._profile: Profile = chosen.get("chunking", "group")
        self._price = settings.price_per_million_chars
        self._patience = functools.partial(
            Patience, provider=self.name, first_byte=settings.first_byte_timeout, total=settings.timeout
        )
        headers = {"Accept-Encoding": "identity"}
        if settings.api_key:
            headers["Authorization"] = f"Bearer {settings.api_key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            # Only connecting is httpx's to time; `Patience` times all the rest, over all steps together.
            timeout=httpx.Timeout(None, connect=settings.connect_timeout),
            # No bound here: the gate has it.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=60),
            transport=transport,
        )

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. The limits are OpenAI's: 4,096 characters or 2,000 tokens, speed 0.25 to 4."""
        model = voice.model or self._model
        return Capabilities(
            identity=(self._base, model, self._format, str(self._sample_rate)),
            limits=(limits.characters(MOST_CHARACTERS), limits.tokens(MOST_TOKENS)),
            profile=self._profile,
            speed_range=(0.25, 4.0),
            instructions=model not in {"tts-1", "tts-1-hd"},
            price=self._price,
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for status and head."""
        patience = self._patience()
        request = self._client.build_request("POST", f"{self._base}/audio/speech", json=self._body(utterance))
        async with AsyncExitStack() as closing:
            with translated(self.name):
                response = await patience.first(
                    lambda: whole(lambda: self._client.send(request, stream=True))
                )
            closing.push_async_callback(whole, response.aclose)
            await self._accept(response, patience)
            most = self._most_bytes(utterance)
            async with aclosing(self._pieces(response.aiter_raw(), patience, most)) as pieces:
                yield self._sound(response, pieces)

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        voice = utterance.voice
        body: dict[str, Any] = {key: value for key, value in voice.settings if key not in _RESERVED}
        body |= {
            "model": voice.model or self._model,
            "input": utterance.text,
            "voice": {"id": voice.voice} if voice.voice.startswith("voice_") else voice.voice,
            "response_format": self._format,
        }
        if utterance.speed != 1.0:
            body["speed"] = utterance.speed
        if utterance.instructions:
            body["instructions"] = utterance.instructions
        return body

    async def _accept(self, response: httpx.Response, patience: Patience) -> None:
        if response.status_code != httpx.codes.OK:
            body = await self._refusal_body(response, patience)
            raise refusal(self.name, response.status_code, response.headers, body)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise BadAudio(f"{self.name} compressed its answer, unasked.", provider=self.name)
        if response.headers.get("content-type", "").lower().startswith(_NOT_SOUND):
            raise BadAudio(f"{self.name} answered with text instead of sound.", provider=self.name)

    async def _refusal_body(self, response: httpx.Response, patience: Patience) -> bytes:
        # The status alone classifies well enough, so trouble with the body changes nothing.
        try:
            with translated(self.name):
                return await patience.first(lambda: _head_of(response, _MOST_REFUSAL))
        except ProviderError:
            return b""

    def _sound(self, response: httpx.Response, pieces: AsyncGenerator[bytes]) -> Sound:
        if self._format != "pcm":
            return Sound(encoding="file", sample_rate=0, channels=1, pieces=pieces)
        # Some servers send their voice's own rate and say so (local-tts-studio: 22,050 Hz in this header).
        said = response.headers.get("x-sample-rate", "")
        sample_rate = int(said) if said in {"8000", "16000", "22050", "44100", "48000"} else self._sample_rate
        return Sound(encoding="pcm_s16le", sample_rate=sample_rate, channels=1, pieces=pieces)

    def _most_bytes(self, utterance: Utterance) -> int:
        """More than this is no answer to this text.

        20 s and 1 s per character at normal pace (speech takes 0.07 s), in bytes of PCM at the agreed rate;
        for files as much as 48 kHz in stereo takes.
        """
        bytes_per_second = 2 * self._sample_rate if self._format == "pcm" else 192_000
        return int((20 + len(utterance.text)) / min(utterance.speed, 1.0) * max(bytes_per_second, 96_000))

    async def _pieces(
        self, raw: AsyncIterator[bytes], patience: Patience, most: int
    ) -> AsyncGenerator[bytes]:
        """The body as it comes.

        Raw, for nothing may be decompressed without a limit. That an announced length is kept is h11's to
        enforce; without one, a connection that closes in the middle looks like the end.
        """
        so_far = 0
        wait = patience.first
        while True:
            with translated(self.name):
                piece = await wait(lambda: whole(lambda: anext(raw, b"")))
            if not piece:
                break
            wait = patience.more
            so_far += len(piece)
            if so_far > most:
                raise BadAudio(f"{self.name} sent far more than this text can take.", provider=self.name)
            yield piece
        if not so_far:
            raise BadAudio(f"{self.name} answered with nothing.", provider=self.name)

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; OpenAI's thirteen where the server has no `/audio/voices`."""
        status, body = await self._get("/audio/voices")
        if status in {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED}:
            return [ListedVoice(voice, voice.capitalize()) for voice in VOICES]
        if status != httpx.codes.OK:
            raise refusal(self.name, status, {}, body)
        try:
            return _listed(json.loads(body))
        except (ValueError, TypeError, KeyError):
            raise Unavailable(
                f"{self.name} lists its voices in an unknown form.", provider=self.name
            ) from None

    async def health(self) -> Health:
        """See `Provider`; asks for the list of models."""
        try:
            status, body = await self._get("/models")
        except ProviderError as error:
            return Health(ok=False, detail=str(error))
        if status in {httpx.codes.OK, httpx.codes.NOT_FOUND}:
            return Health(ok=True, detail=f"{self.name} answers.")
        return Health(ok=False, detail=str(refusal(self.name, status, {}, body)))

    async def _get(self, path: str) -> tuple[int, bytes]:
        patience = self._patience()
        request = self._client.build_request("GET", self._base + path)
        with translated(self.name):
            response = await patience.first(lambda: self._client.send(request, stream=True))
            async with aclosing(response):
                return response.status_code, await patience.first(lambda: _head_of(response, _MOST_LISTING))

    async def warm(self) -> None:
        """See `Provider`; nothing to load."""

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._client.aclose()


async def _head_of(response: httpx.Response, most: int) -> bytes:
    head = bytearray()
    async for piece in response.aiter_raw():
        head += piece
        if len(head) >= most:
            break
    return bytes(head[:most])


def _listed(document: Any) -> list[ListedVoice]:
    entries = document.get("voices", document.get("data")) if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise TypeError
    return [_voice(entry) for entry in entries]


def _voice(entry: Any) -> ListedVoice:
    if isinstance(entry, str):
        return ListedVoice(entry, entry)
    voice = str(entry.get("id") or entry["voice_id"])
    language = entry.get("language")
    return ListedVoice(voice, str(entry.get("name") or voice), str(language) if language else None)


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    found = []
    if settings.base_url is None and not settings.api_key:
        found.append("api_key is needed for OpenAI itself; give base_url for another server.")
    if settings.api_key and not (settings.api_key.isascii() and settings.api_key.isprintable()):
        found.append("api_key must be printable ASCII on one line.")
    if settings.base_url is not None and not settings.base_url.startswith(("http://", "https://")):
        found.append("base_url must begin with http:// or https://.")
    return found

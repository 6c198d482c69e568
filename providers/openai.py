"""Any server that speaks OpenAI's wire: `POST {base_url}/audio/speech` answers sound.

OpenAI itself, LiteLLM, Kokoro-FastAPI, Speaches, LocalAI, vLLM, another Refrain.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import limits, options
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
from providers.line import Line, most_bytes, sound
from providers.openai_errors import classify

BASE_URL: Final = "https://api.openai.com/v1"
MOST_CHARACTERS: Final = 4_096
MOST_TOKENS: Final = 2_000
"""Of gpt-4o-mini-tts; a chunk of ours has fewer unless it is full of pictographs, so it is kept for all models."""
VOICES: Final = tuple(
    "alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar".split(),  # noqa: SIM905
)

PRICES: Final = {"tts-1": 15.0, "tts-1-hd": 30.0}
"""OpenAI's own, in dollars per million characters (its price list, November 2026). Its later models are priced by
tokens: what they come to is the operator's to say."""

FORMATS: Final = ("pcm", "wav", "mp3", "flac", "opus", "aac")

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "model": options.words,
        "chunking": options.choice("sentence", "group"),
        "response_format": options.choice(*FORMATS),
        "sample_rate": options.count(8_000, 192_000),
    }
)

RATES: Final = frozenset(map(str, (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)))
"""That a server may say its sound has."""

RESERVED: Final = frozenset(
    ("model", "input", "voice", "response_format", "speed", "instructions", "stream_format")
)


class OpenAI:
    """One account, or one server, with a pool of connections of its own."""

    kind = "openai"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        chosen = options.read(settings.options, OPTIONS)
        self.name = settings.name
        self._model: str = chosen.get("model", "tts-1")
        self._format: str = chosen.get("response_format", "pcm")
        self._sample_rate: int = chosen.get("sample_rate", 24_000)
        self._rate = self._sample_rate if self._format == "pcm" else None
        self._profile: Profile = chosen.get("chunking", "group")
        self._settings = settings
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._line = Line(settings, classify, base=BASE_URL, headers=headers, transport=transport)

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. The limits are OpenAI's: 4,096 characters or 2,000 tokens, speed 0.25 to 4."""
        model = voice.model or self._model
        return Capabilities(
            identity=(self._line.base, model, self._format, str(self._sample_rate)),
            limits=(limits.characters(MOST_CHARACTERS), limits.tokens(MOST_TOKENS)),
            profile=self._profile,
            speed_range=(0.25, 4.0),
            formats=(self._format, *(one for one in FORMATS if one != self._format)),
            instructions=model not in {"tts-1", "tts-1-hd"},
            price=self._settings.price(PRICES.get(model, 0.0) if self._line.base == BASE_URL else 0.0),
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for status and head."""
        request = self._line.request("POST", "/audio/speech", json=self._body(utterance))
        async with self._line.spoken(request, most_bytes(utterance, self._rate)) as (headers, pieces):
            # Some servers send their voice's own rate and say so (local-tts-studio: 22,050 Hz in this header).
            said = headers.get("x-sample-rate", "") if self._rate else ""
            yield sound(pieces, int(said) if said in RATES else self._rate)

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        voice = utterance.voice
        body: dict[str, Any] = {key: value for key, value in voice.settings if key not in RESERVED}
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

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; OpenAI's thirteen where the server has no `/audio/voices`."""
        thirteen = [ListedVoice(voice, voice.capitalize()) for voice in VOICES]
        return await self._line.listing("/audio/voices", _listed, absent=thirteen)

    async def health(self) -> Health:
        """See `Provider`; asks for the list of models."""
        return await self._line.health("/models", may_lack=True)

    async def warm(self) -> None:
        """See `Provider`; opens a connection."""
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._line.aclose()


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
    if settings.base_url is None and not settings.api_key:
        missing = "api_key is needed for OpenAI itself; give base_url for another server."
        return [missing]
    return options.reached(settings)

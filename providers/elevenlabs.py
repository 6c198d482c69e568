"""ElevenLabs, or a server with its wire: `POST /v1/text-to-speech/{voice}/stream/with-timestamps`.

Its sound comes with the times of its characters unless that is switched off.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import httpx

from providers import elevenlabs_lines, limits, options
from providers.elevenlabs_errors import classify
from providers.elevenlabs_models import PRICE_OF_CREDITS, model
from providers.errors import BadRequest, BadVoice, ProviderError
from providers.interface import (
    Capabilities,
    Health,
    ListedVoice,
    Profile,
    ProviderSettings,
    ProviderVoice,
    Sound,
    Timing,
    Utterance,
)
from providers.line import NOT_SOUND, Line, most_bytes, sound
from providers.wire import number

BASE_URL: Final = "https://api.elevenlabs.io"
MODEL: Final = "eleven_multilingual_v2"
CONTEXT: Final = 300
"""Characters on either side that `stitch` sends: two or three sentences, more than a sentence's melody hangs on."""
SPEEDS: Final = (0.7, 1.2)

_FILES: Final = (
    "mp3_22050_32 mp3_24000_48 mp3_44100_32 mp3_44100_64 mp3_44100_96 mp3_44100_128 mp3_44100_192 "
    "opus_48000_32 opus_48000_64 opus_48000_96 opus_48000_128 opus_48000_192"
)
_RATES: Final = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
FORMATS: Final = (
    *(f"pcm_{rate}" for rate in _RATES),
    *(f"wav_{rate}" for rate in _RATES),
    *_FILES.split(),
)

_SEED: Final = options.count(0, 2**32 - 1)
_NORMALIZATION: Final = options.choice("auto", "on", "off")

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "model": options.words,
        "output_format": options.choice(*FORMATS),
        "timestamps": options.flag,
        "stitch": options.flag,
        "chunking": options.choice("sentence", "group"),
        "seed": _SEED,
        "apply_text_normalization": _NORMALIZATION,
        "optimize_streaming_latency": options.count(0, 4),
        "enable_logging": options.flag,
    }
)

_OF_A_VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "stability": options.number(0, 1),
        "similarity_boost": options.number(0, 1),
        "style": options.number(0, 1),
        "use_speaker_boost": options.flag,
        "clone_strength": options.number(0, 1),
    }
)
VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {**_OF_A_VOICE, "seed": _SEED, "apply_text_normalization": _NORMALIZATION}
)
"""What a link of a chain may say of its voice; the last two win over the provider's own."""

_PAGES: Final = 50
_PAGE: Final = 100  # voices; the most that ElevenLabs gives
_NO_LINES: Final = ("text/html", "application/xml")  # lines are labelled in more than one way


class ElevenLabs:
    """One account, with a pool of connections of its own."""

    kind = "elevenlabs"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        self.name = settings.name
        self._settings = settings
        self._chosen = options.read(settings.options, OPTIONS)
        self._format: str = self._chosen.get("output_format", "pcm_24000")
        self._pcm = self._format.startswith("pcm_")
        self._rate = int(self._format.split("_")[1])
        self._timestamps: bool = self._chosen.get("timestamps", True)
        self._profile: Profile = self._chosen.get("chunking", "group")
        headers = {"xi-api-key": settings.api_key} if settings.api_key else {}
        self._line = Line(settings, classify, base=BASE_URL, headers=headers, transport=transport)

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. Limits, price and what else hangs on the model are in `elevenlabs_models.py`."""
        name = self._model(voice)
        known = model(name)
        return Capabilities(
            identity=(self._line.base, name, self._format, *self._changes()),
            limits=(limits.characters(known.most),),
            profile=self._profile,
            speed_range=SPEEDS if known.speed else (1.0, 1.0),
            languages=frozenset(("en",)) if known.english else None,
            price=self._settings.price(known.credits * PRICE_OF_CREDITS),
            formats=tuple(dict.fromkeys(one.split("_")[0] for one in (self._format, *FORMATS))),
            streaming=not self._whole,
            timings=self._timestamps,
            context=CONTEXT if known.context and self._chosen.get("stitch") else 0,
        )

    def _changes(self) -> list[str]:
        """Options that change the sound, or what is told of it, beyond the model and the format."""
        keys = ("seed", "apply_text_normalization", "optimize_streaming_latency")
        found = [f"{key} {self._chosen[key]}" for key in keys if key in self._chosen]
        return [*found, f"words {elevenlabs_lines.RULES}"] if self._timestamps else found

    def _model(self, voice: ProviderVoice) -> str:
        return voice.model or self._chosen.get("model", MODEL)

    @property
    def _whole(self) -> bool:
        """WAV is had from the route without a stream only."""
        return self._format.startswith("wav_")

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for status and head."""
        request = self._line.request(
            "POST", self._path(utterance.voice), params=self._query(), json=self._body(utterance)
        )
        not_sound = _NO_LINES if self._timestamps else NOT_SOUND
        rate = self._rate if self._pcm else None
        # With timestamps it comes in base 64, with a line's alignment.
        most = most_bytes(utterance, rate) * (2 if self._timestamps else 1)
        async with self._line.spoken(request, most, not_sound=not_sound) as (headers, pieces):
            timings: list[Timing] = []
            heard = pieces
            if self._timestamps:
                heard = elevenlabs_lines.spoken(pieces, utterance.text, timings, self.name)
            async with aclosing(heard):
                billed, at_once = self._told(utterance.voice, headers)
                yield sound(heard, rate, timings=timings, billed=billed, at_once=at_once)

    def _path(self, voice: ProviderVoice) -> str:
        # A voice of points alone would be a step up in the path, and escaping does not keep servers from taking it.
        if not voice.voice.strip("."):
            raise BadVoice(f"{self.name} has no voice of that name.", provider=self.name)
        stream = "" if self._whole else "/stream"
        timestamps = "/with-timestamps" if self._timestamps else ""
        return f"/v1/text-to-speech/{quote(voice.voice, safe='')}{stream}{timestamps}"

    def _query(self) -> dict[str, str]:
        query: dict[str, str] = {
            key: str(self._chosen[key]).lower()
            for key in ("enable_logging", "optimize_streaming_latency")
            if key in self._chosen
        }
        return query | {"output_format": self._format}

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        voice = utterance.voice
        if options.problems(voice.settings, VOICE):
            raise BadRequest(f"{self.name} does not take the settings of this voice.", provider=self.name)
        asked = {**self._chosen, **options.read(voice.settings, VOICE)}
        name = self._model(voice)
        known = model(name)
        body: dict[str, Any] = {"text": utterance.text, "model_id": name}
        if utterance.language and known.language:
            body["language_code"] = utterance.language.split("-")[0].lower()
        settings = {key: asked[key] for key in _OF_A_VOICE if key in asked}
        if utterance.speed != 1.0:
            settings["speed"] = utterance.speed
        if settings:
            body["voice_settings"] = settings
        body |= {key: asked[key] for key in ("seed", "apply_text_normalization") if key in asked}
        beside = {"previous_text": utterance.before, "next_text": utterance.after}
        return body | {key: text for key, text in beside.items() if text is not None}

    def _told(self, voice: ProviderVoice, headers: Mapping[str, str]) -> tuple[float | None, int | None]:
        """The characters that are charged for, and how many utterances the account may have under way."""
        charged = number(headers.get("character-cost"))
        most = number(headers.get("maximum-concurrent-requests"))
        # The header counts credits, an account's discounts taken off; the price is that of a model's character.
        billed = None if charged is None else charged / model(self._model(voice)).credits
        return billed, int(most) if most else None

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; those of the account, the first 5,000."""
        found: list[ListedVoice] = []
        query = {"page_size": str(_PAGE), "include_total_count": "false"}
        for _ in range(_PAGES):
            page, token = await self._line.listing("/v2/voices", _page, params=query)
            found += page
            if not token:
                break
            query = {**query, "next_page_token": token}
        return found

    async def health(self) -> Health:
        """See `Provider`; asks for the account, which is free and refused to a wrong key."""
        try:
            status, headers, body = await self._line.read(self._line.request("GET", "/v1/user"))
        except ProviderError as error:
            return Health(ok=False, detail=str(error))
        if status == httpx.codes.OK:
            return Health(ok=True, detail=f"{self.name} answers{_used(body)}.")
        # A key that may do nothing but speak is refused here for that, and so is known; a server that has no
        # accounts is not the vendor's.
        if b"missing_permissions" in body or (status == httpx.codes.NOT_FOUND and self._settings.base_url):
            return Health(ok=True, detail=f"{self.name} answers; what is used up, it does not tell.")
        return Health(ok=False, detail=str(self._line.refusal(status, headers, body)))

    async def warm(self) -> None:
        """See `Provider`; opens a connection."""
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._line.aclose()


def _page(told: Any) -> tuple[list[ListedVoice], str | None]:
    """Its voices, and what to ask for the next one by."""
    token = told.get("next_page_token") if told.get("has_more") else None
    return [*map(_voice, told["voices"])], str(token) if token else None


def _voice(entry: Any) -> ListedVoice:
    voice = str(entry["voice_id"])
    language = (entry.get("labels") or {}).get("language")
    return ListedVoice(voice, str(entry.get("name") or voice), str(language) if language else None)


def _used(body: bytes) -> str:
    """What the account says of its credits, as the end of a sentence; nothing where it says nothing."""
    try:
        subscription = json.loads(body)["subscription"]
        used, most = int(subscription["character_count"]), int(subscription["character_limit"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return f"; {used} of {most} credits are used up"


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    found = options.reached(settings)
    if settings.base_url is None and not settings.api_key:
        found.append("api_key is needed for ElevenLabs itself; give base_url for another server.")
    if settings.base_url is not None and settings.base_url.rstrip("/").endswith("/v1"):
        found.append("base_url is given without /v1, which is part of every path.")
    chosen = dict(settings.options)
    if chosen.get("output_format", "").startswith("wav_") and chosen.get("timestamps") != "false":
        found.append("output_format wav_... comes without timestamps: set timestamps = false, or use pcm_...")
    return found

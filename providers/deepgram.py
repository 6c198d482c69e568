"""Deepgram's Aura: `POST /v1/speak`, the text as JSON, everything else in the query. The model is the voice."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import limits, options
from providers.errors import BadVoice, ProviderError, QuotaExceeded
from providers.interface import (
    Capabilities,
    Health,
    ListedVoice,
    ProviderSettings,
    ProviderVoice,
    Sound,
    Utterance,
)
from providers.line import Line, most_bytes, sound
from providers.wire import by_status, number, said

BASE_URL: Final = "https://api.deepgram.com"
MOST_CHARACTERS: Final = 2_000
"""Of one request; Deepgram answers 413 beyond (its documentation of text-to-speech, 2026)."""
PRICES: Final = {"aura-2": 30.0, "aura": 15.0}
"""In dollars per million characters, pay as you go, by the model's family (its price list, 2026)."""
FORMATS: Final = ("pcm", "wav", "mp3", "flac", "opus", "aac")
RATES: Final = (8_000, 16_000, 22_050, 24_000, 32_000, 48_000)
FLAC: Final = frozenset(("8000", "16000", "22050", "32000", "48000"))
"""Of `sample_rate`; linear16 has 24000 in place of 22050 (its table of audio format combinations)."""

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "response_format": options.choice(*FORMATS),
        "sample_rate": options.choice(*map(str, RATES)),
        "mip_opt_out": options.choice("true", "false"),
        "tag": options.words,
    }
)

# What the formats are in its query. All that apply are always sent: without them its documentation names two defaults.
_ENCODINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "pcm": {"encoding": "linear16", "container": "none"},
    "wav": {"encoding": "linear16", "container": "wav"},
    "mp3": {"encoding": "mp3", "bit_rate": "48000"},
    "flac": {"encoding": "flac"},
    "opus": {"encoding": "opus", "container": "ogg"},
    "aac": {"encoding": "aac"},
}
_WITH_RATE: Final[Mapping[str, str]] = {"pcm": "24000", "wav": "24000", "flac": "48000"}
"""The formats that take a rate, and which one where none is configured."""


class Deepgram:
    """One project's key."""

    kind = "deepgram"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        chosen = options.read(settings.options, OPTIONS)
        self.name = settings.name
        self._settings = settings
        self._format: str = chosen.get("response_format", "pcm")
        self._sample_rate = int(chosen.get("sample_rate") or _WITH_RATE.get(self._format, "24000"))
        self._query: dict[str, str] = {key: chosen[key] for key in ("mip_opt_out", "tag") if key in chosen}
        headers = {"Authorization": f"Token {settings.api_key}"}
        self._line = Line(settings, classify, base=BASE_URL, headers=headers, transport=transport)

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. The pace is the voice's own; the language is what the model's name ends in."""
        model = _model(voice)
        family = max((one for one in PRICES if model.startswith(one)), key=len, default="")
        language = model.rpartition("-")[2]
        known = family and len(language) == len("en")
        return Capabilities(
            identity=(self._line.base, self._format, str(self._sample_rate)),
            limits=(limits.characters(MOST_CHARACTERS),),
            profile="group",
            languages=frozenset((language,)) if known else None,
            price=self._settings.price(PRICES.get(family, 0.0)),
            formats=(self._format, *(one for one in FORMATS if one != self._format)),
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for status and head."""
        query = {"model": _model(utterance.voice)} | self._encoding() | self._query
        request = self._line.request("POST", "/v1/speak", params=query, json={"text": utterance.text})
        rate = self._sample_rate if self._format == "pcm" else None
        async with self._line.spoken(request, most_bytes(utterance, rate)) as (headers, pieces):
            yield sound(pieces, rate, billed=number(headers.get("dg-char-count")))

    def _encoding(self) -> dict[str, str]:
        encoding = dict(_ENCODINGS[self._format])
        if self._format in _WITH_RATE:
            encoding["sample_rate"] = str(self._sample_rate)
        return encoding

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; the models that speak."""
        return await self._line.listing("/v1/models", lambda told: [*map(_listed, told["tts"])])

    async def health(self) -> Health:
        """See `Provider`; asks whose key this is."""
        return await self._line.health("/v1/auth/token", may_lack=True)

    async def warm(self) -> None:
        """See `Provider`; opens a connection."""
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._line.aclose()


def _model(voice: ProviderVoice) -> str:
    """`aura-2-thalia-en`, as a voice or in two parts."""
    return f"{voice.model}-{voice.voice}" if voice.model else voice.voice


def _listed(entry: Any) -> ListedVoice:
    languages = entry.get("languages") or [None]
    identity = str(entry["canonical_name"])
    return ListedVoice(identity, str(entry.get("name") or identity), languages[0])


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer stands for, as Deepgram's page of errors has them: mostly by status.

    Shapes: `{"err_code", "err_msg", "request_id"}`, `{"category", "message", "details", "request_id"}`, and
    `{"error_code", ...}` in the documentation's own example of a 503. ASR_PAYMENT_REQUIRED is shown for transcription
    only; text-to-speech has 402 at least.
    """
    told = said(body)
    if told.get("err_code") == "ASR_PAYMENT_REQUIRED":
        return QuotaExceeded
    if status == httpx.codes.FORBIDDEN:
        return BadVoice  # only ever: no access to this model; a key without rights is a 401
    if status == httpx.codes.BAD_REQUEST and "no such model" in str(told.get("err_msg")).lower():
        return BadVoice
    return by_status(status)


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    found = options.keyed(settings)
    given = dict(settings.options)
    rate, flac = given.get("sample_rate"), given.get("response_format") == "flac"
    if rate == "24000" and flac:
        found.append(f"sample_rate of flac must be one of {', '.join(sorted(FLAC, key=int))}.")
    if rate == "22050" and not flac:
        found.append("sample_rate 22050 is flac's only; use 24000.")
    return found

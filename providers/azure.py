"""Azure's Speech service: `POST /cognitiveservices/v1` with a document of SSML, answered by sound as it is made."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import limits, options
from providers.errors import BadVoice, ProviderError, QuotaExceeded, RateLimited, TooLong
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
from providers.ssml import Element, document
from providers.wire import by_status

MOST_CHARACTERS: Final = 4_000
"""Of one utterance. Azure cuts its sound at ten minutes and says nothing: this is five at the usual pace, so that
half of that pace still ends in time."""
PRICE, PRICE_HD = 15.0, 30.0
"""In dollars per million characters: neural voices, and those with `HD` in their names (price list, 2026)."""
_VOICES: Final = "/cognitiveservices/voices/list"
MSTTS: Final = "http://www.w3.org/2001/mstts"
ELEMENTS: Final = frozenset(("break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub"))
RATES: Final = {
    "8000": "8khz",
    "16000": "16khz",
    "22050": "22050hz",
    "24000": "24khz",
    "44100": "44100hz",
    "48000": "48khz",
}
FORMATS: Final = ("pcm", "mp3", "opus")
_FILES: Final = {"mp3": "audio-24khz-96kbitrate-mono-mp3", "opus": "ogg-24khz-16bit-mono-opus"}

_TWICE: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "region": options.words,
        "response_format": options.choice(*FORMATS),
        "sample_rate": options.choice(*RATES),
        "language": options.words,
    }
)
VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "style": options.words,
        "style_degree": options.number(0.01, 2),
        "role": options.words,
        "pitch": options.words,
        "volume": options.words,
    }
)


class Azure:
    """One Speech resource."""

    kind = "azure"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        chosen = options.read(settings.options, OPTIONS)
        self.name = settings.name
        self._settings = settings
        self._format: str = chosen.get("response_format", "pcm")
        self._rate: str = chosen.get("sample_rate", "24000")
        self._language: str | None = chosen.get("language")
        headers = {
            "Ocp-Apim-Subscription-Key": settings.api_key or "",
            "User-Agent": "Refrain",  # it refuses requests without one
        }
        base = f"https://{chosen.get('region', '')}.tts.speech.microsoft.com"
        self._line = Line(settings, classify, base=base, headers=headers, transport=transport)

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. SSML; half to double speed; multilingual voices speak what the text is in."""
        return Capabilities(
            identity=(self._line.base, self._output, self._language or ""),
            limits=(limits.escaped_characters(MOST_CHARACTERS),),
            ssml=ELEMENTS,
            speed_range=(0.5, 2.0),
            languages=None
            if _multilingual(voice.voice)
            else frozenset((_language_of(voice.voice).split("-")[0],)),
            price=self._settings.price(PRICE_HD if "HD" in voice.voice else PRICE),
            billed=lambda utterance: _billed(self._document(utterance)),
            formats=(self._format, *(one for one in FORMATS if one != self._format)),
        )

    @property
    def _output(self) -> str:
        if self._format == "pcm":
            return f"raw-{RATES[self._rate]}-16bit-mono-pcm"
        return _FILES[self._format]

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for status and head."""
        written = self._document(utterance)
        request = self._line.request(
            "POST",
            "/cognitiveservices/v1",
            content=written.encode(),
            headers={"Content-Type": "application/ssml+xml", "X-Microsoft-OutputFormat": self._output},
        )
        rate = int(self._rate) if self._format == "pcm" else None
        async with self._line.spoken(request, most_bytes(utterance, rate)) as (_, pieces):
            yield sound(pieces, rate)

    def _document(self, utterance: Utterance) -> str:
        given = dict(utterance.voice.settings)
        around: list[Element] = []
        style = {"style": "style", "style_degree": "styledegree", "role": "role"}
        if expressed := {name: given[key] for key, name in style.items() if key in given}:
            around.append(("mstts:express-as", expressed))
        prosody: dict[str, str] = {key: given[key] for key in ("pitch", "volume") if key in given}
        if utterance.speed != 1.0:
            prosody["rate"] = f"{(utterance.speed - 1) * 100:+.2f}%"
        if prosody:
            around.append(("prosody", prosody))
        # The root's language has to be there, but the voice speaks its own; multilingual ones are told by `<lang>`.
        if language := self._language or _other(utterance):
            around.append(("lang", {"xml:lang": language}))
        voice = utterance.voice.voice
        return document(
            utterance, language=_language_of(voice), voice=voice, around=around, spaces={"mstts": MSTTS}
        )

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`."""
        return await self._line.listing(_VOICES, lambda told: [*map(_listed, told)])

    async def health(self) -> Health:
        """See `Provider`; asks for the list of voices."""
        return await self._line.health(_VOICES)

    async def warm(self) -> None:
        """See `Provider`; opens a connection."""
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._line.aclose()


def _billed(written: str) -> int:
    """By Azure's rules: all that stands in `<voice>`, tags included, and Chinese characters, wherever used, twice."""
    within = written.partition("<voice")[2].partition(">")[2].rpartition("</voice>")[0]
    return len(within) + len(_TWICE.findall(within))


def _language_of(voice: str) -> str:
    """`en-US` of `en-US-JennyNeural`; English where the name says nothing."""
    parts = voice.split("-")
    return "-".join(parts[:2]) if len(parts) > 2 else "en-US"  # noqa: PLR2004 - language, region, name


def _multilingual(voice: str) -> bool:
    """`en-US-AvaMultilingualNeural`, `en-US-Ava:DragonHDLatestNeural`; or a name that says nothing of a language."""
    return "Multilingual" in voice or ":DragonHD" in voice or "-" not in voice


def _other(utterance: Utterance) -> str | None:
    """The text's language where a multilingual voice is to speak another than its own."""
    language, voice = utterance.language, utterance.voice.voice
    # HD voices hear by themselves which language it is.
    if not language or "Multilingual" not in voice:
        return None
    return None if language.split("-")[0] == voice.split("-")[0] else language


def _listed(entry: Any) -> ListedVoice:
    return ListedVoice(
        str(entry["ShortName"]), str(entry.get("DisplayName") or entry["ShortName"]), str(entry["Locale"])
    )


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer stands for; `body` is often empty, and then the status line's phrase."""
    kind = by_status(status)
    said = body[:2000].decode(errors="replace").lower()
    if kind is RateLimited:
        # Used up for the month; 429 for a moment, also below the quota, while the service grows.
        return QuotaExceeded if "quota exceeded" in said else kind
    if (
        status == httpx.codes.BAD_REQUEST
        and "voice" in said
        and ("unsupported" in said or "not found" in said)
    ):
        return BadVoice
    if status == httpx.codes.BAD_REQUEST and ("too long" in said or "exceed" in said):
        return TooLong
    return kind


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    region = dict(settings.options).get("region")
    found = options.keyed(settings)
    if region is None and settings.base_url is None:
        found.append('region is needed, such as "westeurope", or base_url.')
    elif region is not None and not (region.isascii() and region.isalnum()):
        found.append('region must be a region\'s name, such as "westeurope".')
    return found

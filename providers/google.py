"""Google Cloud's Text-to-Speech: `POST /v1/text:synthesize`, one JSON with all of the sound in it."""

import base64
import binascii
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import google_credentials, google_marks, limits, options
from providers.errors import (
    BadAudio,
    BadCredentials,
    BadVoice,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    TooLong,
)
from providers.google_credentials import Bearer
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
from providers.ssml import bare
from providers.wire import by_status, said

BASE_URL: Final = "https://texttospeech.googleapis.com"
MOST_BYTES: Final = 5_000
ROOT: Final = len(bare(""))
"""Characters around an utterance's own markup, which Google counts and bills as it does the text."""
PRICES: Final = (
    ("Chirp3-HD", 30.0),
    ("Chirp-HD", 30.0),
    ("Neural2", 16.0),
    ("News", 16.0),
    ("Polyglot", 16.0),
    ("Standard", 4.0),
    ("Studio", 160.0),
    ("Wavenet", 4.0),
)
"""In dollars per million characters, by the family in the voice's name (price list, 2026). Gemini's voices are priced
by tokens: what they come to is the operator's to say."""
ELEMENTS: Final = frozenset(("break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub"))
GENERATIVE: Final = ("Chirp", "gemini")
FORMATS: Final = ("wav", "mp3", "opus")
_ENCODINGS: Final = {"wav": "LINEAR16", "mp3": "MP3", "opus": "OGG_OPUS"}
NOT_JSON: Final = ("text/", "audio/")

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "response_format": options.choice(*FORMATS),
        "sample_rate": options.count(8_000, 48_000),
        "quota_project": options.words,
        "timestamps": options.flag,
        "credentials": google_credentials.place,
    }
)
VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "language": options.words,
        "pitch": options.number(-20, 20),
        "volume_gain_db": options.number(-96, 16),
        "effects_profile": options.names,
    }
)


class Google:
    """One project, by an API key or by credentials."""

    kind = "google"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        chosen = options.read(settings.options, OPTIONS)
        self.name = settings.name
        self._settings = settings
        self._format: str = chosen.get("response_format", "wav")
        self._sample_rate: int = chosen.get("sample_rate", 24_000)
        self._timed: bool = chosen.get("timestamps", False)
        headers = {"X-Goog-Api-Key": settings.api_key} if settings.api_key else {}
        if project := chosen.get("quota_project"):
            headers["X-Goog-User-Project"] = project
        source = chosen.get("credentials") or google_credentials.usual()
        self._bearer = (
            None
            if settings.api_key or source is None
            else Bearer(self.name, source, timeout=settings.first_byte_timeout, transport=transport)
        )
        self._line = Line(
            settings, classify, base=BASE_URL, headers=headers, auth=self._bearer, transport=transport
        )

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. 5,000 bytes; SSML but for generative voices; a quarter to double speed."""
        generative = _is_generative(voice)
        timed = self._timed and not generative
        language = _language_of(voice)
        most = MOST_BYTES - ROOT
        return Capabilities(
            identity=(
                self._line.base,
                self._format,
                str(self._sample_rate),
                *((f"words {google_marks.RULES}",) if timed else ()),
            ),
            limits=(google_marks.limit(most) if timed else limits.utf8_bytes(most),),
            profile="group" if generative else "sentence",
            ssml=frozenset() if generative else ELEMENTS,
            speed_range=(0.25, 2.0),
            instructions=_is_gemini(voice),
            languages=frozenset((language.split("-")[0],)) if language else None,
            price=self._settings.price(next((price for one, price in PRICES if one in voice.voice), 0.0)),
            billed=lambda utterance: _billed(self._asked(utterance)),
            formats=(self._format, *(one for one in FORMATS if one != self._format)),
            streaming=False,
            timings=timed,
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for all of the sound: it comes in one piece."""
        asked = self._asked(utterance)
        timed = asked is not utterance
        body, path = self._body(asked), "/v1/text:synthesize"
        if timed:
            # The only version that has them.
            body["enableTimePointing"], path = ["SSML_MARK"], "/v1beta1/text:synthesize"
        request = self._line.request("POST", path, json=body)
        most = 2 * most_bytes(utterance, None)  # base64 and the JSON around it take less
        heard, points = self._heard(await self._line.whole(request, most, not_sound=NOT_JSON))
        async with aclosing(_once(heard)) as pieces:
            timings = google_marks.timings(utterance.text, points) if timed else ()
            yield sound(pieces, None, timings=timings)

    def _asked(self, utterance: Utterance) -> Utterance:
        """With a mark before each word, where their times are wanted."""
        timed = self._timed and utterance.ssml is None and not _is_generative(utterance.voice)
        return replace(utterance, ssml=google_marks.marked(utterance.text)) if timed else utterance

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        voice = utterance.voice
        language = _language_of(voice) or utterance.language or "en-US"
        given: dict[str, Any] = {"text": utterance.text}
        if utterance.ssml is not None:
            given = {"ssml": bare(utterance.ssml)}
        if utterance.instructions:
            given["prompt"] = utterance.instructions
        asked: dict[str, Any] = {"languageCode": language, "name": voice.voice}
        if voice.model:
            asked["modelName"] = voice.model
        return {"input": given, "voice": asked, "audioConfig": self._config(utterance)}

    def _config(self, utterance: Utterance) -> dict[str, Any]:
        config: dict[str, Any] = {
            "audioEncoding": _ENCODINGS[self._format],
            "sampleRateHertz": self._sample_rate,
        }
        if utterance.speed != 1.0:
            config["speakingRate"] = utterance.speed
        given = options.read(utterance.voice.settings, VOICE)
        wire = {"pitch": "pitch", "volume_gain_db": "volumeGainDb"}
        config |= {name: given[key] for key, name in wire.items() if key in given}
        if profiles := given.get("effects_profile"):
            config["effectsProfileId"] = [*profiles]  # one on top of the other, in this order
        return config

    def _heard(self, body: bytes) -> tuple[bytes, Any]:
        """The sound, and the times that came with it, unread."""
        try:
            told = json.loads(body)
            heard = base64.b64decode(told["audioContent"], validate=True)
        except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
            told, heard = {}, b""
        if not heard:
            raise BadAudio(f"{self.name} answered without sound.", provider=self.name)
        return heard, told.get("timepoints")

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`."""
        return await self._line.listing("/v1/voices", lambda told: [*map(_listed, told["voices"])])

    async def health(self) -> Health:
        """See `Provider`; asks for the voices of one language."""
        return await self._line.health("/v1/voices", params={"languageCode": "en-GB"})

    async def warm(self) -> None:
        """See `Provider`; finds the credentials, and opens a connection."""
        if self._bearer is not None:
            await self._bearer.token()
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        if self._bearer is not None:
            await self._bearer.aclose()
        await self._line.aclose()


def _billed(asked: Utterance) -> int:
    """By Google's price list every tag of SSML is charged for like text, all but `<mark>`."""
    return len(asked.text if asked.ssml is None else google_marks.without(bare(asked.ssml)))


async def _once(whole: bytes) -> AsyncGenerator[bytes]:
    yield whole


def _is_generative(voice: ProviderVoice) -> bool:
    """Such a voice takes no SSML."""
    return any(one in f"{voice.voice} {voice.model}" for one in GENERATIVE)


def _is_gemini(voice: ProviderVoice) -> bool:
    return (voice.model or "").startswith("gemini")


def _language_of(voice: ProviderVoice) -> str | None:
    """What the link says, else `en-US` of `en-US-Neural2-A`; None: the voice speaks any (Gemini's)."""
    given = dict(voice.settings).get("language")
    parts = voice.voice.split("-")
    return given or ("-".join(parts[:2]) if len(parts) > 2 else None)  # noqa: PLR2004 - language, region, name


def _listed(entry: Any) -> ListedVoice:
    return ListedVoice(str(entry["name"]), str(entry["name"]), str(entry["languageCodes"][0]))


_REASONS: Final[Mapping[str, type[ProviderError]]] = {
    "API_KEY_INVALID": BadCredentials,
    "API_KEY_EXPIRED": BadCredentials,
    "BILLING_DISABLED": QuotaExceeded,
    "SERVICE_DISABLED": QuotaExceeded,
    "CONSUMER_SUSPENDED": QuotaExceeded,
}
# In this order; the first that is found decides. None of them shuts the account: a message may quote the text.
_MARKS: Final[tuple[tuple[type[ProviderError], tuple[str, ...]], ...]] = (
    (TooLong, ("longer than the limit", "5000 bytes", "too long")),
    (BadVoice, ("does not exist", "voice not found", "is not supported by voice", "model not found")),
)


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer stands for: `{"error": {"code", "message", "status", "details": [{"reason"}]}}`.

    A bad key is 400 here, with the reason API_KEY_INVALID.
    """
    kind = by_status(status)
    message, reasons = _told(said(body).get("error"))
    if kind is RateLimited:
        return QuotaExceeded if "per day" in message else kind
    if kind.retryable:
        return kind
    for reason in reasons:
        if reason in _REASONS:
            return _REASONS[reason]
    if message.startswith("api key not valid"):
        return BadCredentials
    if status == httpx.codes.FORBIDDEN:
        return QuotaExceeded if "billing to be enabled" in message else kind
    return next((error for error, marks in _MARKS if any(mark in message for mark in marks)), kind)


def _told(error: Any) -> tuple[str, list[str]]:
    """Its message in small letters, and the reasons in its details."""
    if not isinstance(error, dict):
        return "", []
    details = error.get("details")
    each = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    return str(error.get("message", "")).lower(), [str(one.get("reason", "")) for one in each]


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    found = options.reached(settings)
    given = "credentials" in dict(settings.options)
    if settings.api_key and given:
        found.append("give api_key or credentials, not both.")
    if not (settings.api_key or given or google_credentials.usual()):
        found.append(
            'api_key is needed, or credentials = "file:PATH" of a service account\'s key; '
            f"{google_credentials.VARIABLE} in the environment says the same."
        )
    return found

"""Amazon Polly: `POST /v1/speech`, signed; and for the times of words a second request, billed as well."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import limits, options
from providers.errors import ProviderError
from providers.interface import (
    Capabilities,
    Health,
    ListedVoice,
    ProviderSettings,
    ProviderVoice,
    Sound,
    Timing,
    Utterance,
)
from providers.line import MOST_LISTING, Line, most_bytes, sound
from providers.polly_errors import classify
from providers.polly_signing import Signed
from providers.ssml import bare
from providers.wire import number
from providers.words import Words

MOST_BILLED, MOST_ALL = 3_000, 6_000
"""Characters of a request: those that are billed, and all, the tags of SSML among them (the service's quotas)."""
ROOT: Final = len(bare(""))
"""Characters around an utterance's own markup."""
PRICES: Final = {"standard": 4.0, "neural": 16.0, "generative": 30.0, "long-form": 100.0}
"""In dollars per million characters, by engine (price list, October 2026)."""
FORMATS: Final = ("mp3", "pcm", "ogg_vorbis", "ogg_opus")
RATES: Final = {"mp3": "24000", "pcm": "16000", "ogg_vorbis": "24000", "ogg_opus": "48000"}
"""The best of each: its PCM ends at 16 kHz, and so has nothing above 8 kHz. That is why MP3 is what we ask for."""
_SIMPLE: Final = frozenset(("break", "lang", "p", "s", "say-as", "sub"))
ELEMENTS: Final = {
    "standard": _SIMPLE | {"emphasis", "phoneme", "prosody"},
    "neural": _SIMPLE | {"phoneme"},  # of prosody it takes some attributes only, and refuses the others
    "generative": _SIMPLE,
    "long-form": _SIMPLE | {"phoneme"},
}
LAST: Final = 0.6
"""Seconds that the last word is taken to last, where only the beginnings of words are told."""

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "region": options.words,
        "profile": options.words,
        "response_format": options.choice(*FORMATS),
        "speech_marks": options.flag,
    }
)
VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {"engine": options.choice(*PRICES), "language": options.words, "lexicons": options.names}
)


class Polly:
    """One AWS account in one region."""

    kind = "polly"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        chosen = options.read(settings.options, OPTIONS)
        self.name = settings.name
        self._settings = settings
        self._format: str = chosen.get("response_format", "mp3")
        self._marks: bool = chosen.get("speech_marks", False)
        region: str = chosen.get("region", "us-east-1")
        self._signing = Signed(
            settings.name, "polly", region, key=settings.api_key, profile=chosen.get("profile")
        )
        base = f"https://polly.{region}.amazonaws.com"
        self._line = Line(settings, classify, base=base, auth=self._signing, transport=transport)

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. 3,000 billed characters; SSML by engine; the pace is the voice's own."""
        engine = _engine(voice)
        twice = 2 if self._marks else 1
        return Capabilities(
            identity=(self._line.base, self._format, *(("marks",) if self._marks else ())),
            limits=(limits.billed_characters(MOST_BILLED), limits.characters(MOST_ALL - ROOT)),
            profile="group" if engine in {"generative", "long-form"} else "sentence",
            ssml=ELEMENTS[engine],
            price=twice * self._settings.price(PRICES[engine]),
            formats=(self._format, *(one for one in FORMATS if one != self._format)),
            timings=self._marks,
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for status and head."""
        body = _body(utterance) | {"OutputFormat": self._format, "SampleRate": RATES[self._format]}
        request = self._line.request("POST", "/v1/speech", json=body)
        rate = int(RATES["pcm"]) if self._format == "pcm" else None
        async with self._line.spoken(request, most_bytes(utterance, rate)) as (headers, pieces):
            timings: list[Timing] = []
            async with aclosing(self._and_marks(pieces, utterance, timings)) as heard:
                billed = number(headers.get("x-amzn-requestcharacters"))
                yield sound(heard, rate, timings=timings, billed=billed)

    async def _and_marks(
        self, pieces: AsyncGenerator[bytes], utterance: Utterance, timings: list[Timing]
    ) -> AsyncGenerator[bytes]:
        async for piece in pieces:
            yield piece
        if self._marks:
            # Behind the sound, so that nobody waits for its beginning; and sound without them is sound all the same.
            try:
                timings += await self._timings(utterance)
            except ProviderError:
                return

    async def _timings(self, utterance: Utterance) -> list[Timing]:
        body = _body(utterance) | {"OutputFormat": "json", "SpeechMarkTypes": ["word"]}
        request = self._line.request("POST", "/v1/speech", json=body)
        told = await self._line.whole(request, MOST_LISTING, not_sound=())
        marks = [mark for line in told.splitlines() if (mark := _mark(line)) is not None]
        # Its offsets are bytes of what was sent, markup and all: words are found by what they are.
        ends = [begins for _, begins in marks[1:]] + [begins + LAST for _, begins in marks[-1:]]
        return Words(utterance.text).timed(
            (word, begins, end) for (word, begins), end in zip(marks, ends, strict=True)
        )

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; page by page."""
        found: list[ListedVoice] = []
        query: dict[str, str] = {}
        for _ in range(20):
            page, token = await self._line.listing("/v1/voices", _page, params=query)
            found += page
            if not token:
                break
            query = {"NextToken": token}
        return found

    async def health(self) -> Health:
        """See `Provider`; asks for the voices of one language."""
        return await self._line.health("/v1/voices", params={"LanguageCode": "en-US"})

    async def warm(self) -> None:
        """See `Provider`; finds the credentials, and opens a connection."""
        await self._signing.warm()
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._line.aclose()


def _engine(voice: ProviderVoice) -> str:
    """By `engine` of the link, else its `model`; standard is what the service takes where nothing is said."""
    engine = dict(voice.settings).get("engine") or voice.model or ""
    return engine if engine in PRICES else "standard"


def _body(utterance: Utterance) -> dict[str, Any]:
    voice = utterance.voice
    given = dict(voice.settings)
    body: dict[str, Any] = {"VoiceId": voice.voice, "Text": utterance.text, "TextType": "text"}
    if utterance.ssml is not None:
        body |= {"Text": bare(utterance.ssml), "TextType": "ssml"}
    if engine := given.get("engine") or voice.model:
        body["Engine"] = engine
    if language := given.get("language"):
        body["LanguageCode"] = language
    if lexicons := given.get("lexicons"):
        body["LexiconNames"] = [*options.names(lexicons)]  # of two that know a word, the first one says it
    return body


def _mark(line: bytes) -> tuple[str, float] | None:
    """A word and when it begins, in seconds."""
    try:
        match json.loads(line):
            case {"type": "word", "time": int() | float() as time, "value": str() as value}:
                return value, time / 1000
    except (ValueError, RecursionError):
        pass
    return None


def _page(told: Any) -> tuple[list[ListedVoice], str | None]:
    """Its voices, and what to ask for the next one by."""
    return [*map(_listed, told["Voices"])], told.get("NextToken")


def _listed(entry: Any) -> ListedVoice:
    return ListedVoice(str(entry["Id"]), str(entry.get("Name") or entry["Id"]), str(entry["LanguageCode"]))


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    found = options.reached(settings)
    region = dict(settings.options).get("region", "us-east-1")
    if not (region.isascii() and region.replace("-", "").isalnum()):
        found.append('region must be a region\'s name, such as "eu-central-1".')
    if settings.api_key and not all(settings.api_key.partition(":")[::2]):
        found.append(
            'api_key must be "ACCESS_KEY_ID:SECRET_ACCESS_KEY"; leave it out to use what AWS\' own tools use.'
        )
    return found

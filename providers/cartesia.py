"""Cartesia's Sonic: `POST /tts/bytes` for sound alone, `POST /tts/sse` for sound with the times of its words."""

import base64
import binascii
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import options
from providers.errors import BadAudio, BadVoice, ProviderError, Unavailable
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
from providers.line import NOT_SOUND, Line, most_bytes, sound
from providers.lines import data, lines
from providers.wire import by_status
from providers.words import Words

BASE_URL: Final = "https://api.cartesia.ai"
VERSION: Final = "2026-08-14"
"""Of the API; from 2026-03-01 on errors are JSON."""
MODEL: Final = "sonic-3"
PRICE: Final = 35.0
"""In dollars per million characters: about one credit for each, at what credits cost in the middle plans (2026)."""
RATES: Final = ("8000", "16000", "22050", "24000", "44100", "48000")
FORMATS: Final = ("pcm", "wav", "mp3")

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "model": options.words,
        "version": options.words,
        "response_format": options.choice(*FORMATS),
        "sample_rate": options.choice(*RATES),
        "pronunciation_dict_id": options.words,
        "timestamps": options.flag,
    }
)
VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {"volume": options.number(0.5, 2.0), "emotion": options.words}
)
NO_EVENTS: Final = (*(one for one in NOT_SOUND if one != "text/"), "text/html", "text/plain")
MOST_PAGES: Final = 50


class Cartesia:
    """One organisation's key."""

    kind = "cartesia"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        chosen = options.read(settings.options, OPTIONS)
        self.name = settings.name
        self._settings = settings
        self._model: str = chosen.get("model", MODEL)
        self._format: str = chosen.get("response_format", "pcm")
        self._sample_rate = int(chosen.get("sample_rate", "24000"))
        self._dictionary: str | None = chosen.get("pronunciation_dict_id")
        self._timed: bool = chosen.get("timestamps", False)
        headers = {
            "Authorization": f"Bearer {settings.api_key}",
            "Cartesia-Version": chosen.get("version", VERSION),
        }
        self._line = Line(settings, classify, base=BASE_URL, headers=headers, transport=transport)
        self._version = headers["Cartesia-Version"]

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. No limit of the text is published; speed 0.6 to 1.5."""
        return Capabilities(
            identity=(
                self._line.base,
                self._version,
                voice.model or self._model,
                self._format,
                str(self._sample_rate),
                self._dictionary or "",
                *(("timestamps",) if self._timed else ()),
            ),
            profile="group",
            speed_range=(0.6, 1.5),
            price=self._settings.price(PRICE),
            formats=(self._format, *(one for one in FORMATS if one != self._format)),
            timings=self._timed,
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for status and head."""
        body = self._body(utterance)
        path = "/tts/bytes"
        not_sound: tuple[str, ...] = NOT_SOUND
        if self._timed:
            path, not_sound, body["add_timestamps"] = "/tts/sse", NO_EVENTS, True
        request = self._line.request("POST", path, json=body)
        rate = self._sample_rate if self._format == "pcm" else None
        # Base64 and the words around it take less than twice the sound.
        most = most_bytes(utterance, rate) * (2 if self._timed else 1)
        async with self._line.spoken(request, most, not_sound=not_sound) as (_, pieces):
            timings: list[Timing] = []
            heard = self._spoken(pieces, utterance.text, timings) if self._timed else pieces
            async with aclosing(heard):
                yield sound(heard, rate, timings=timings)

    async def _spoken(
        self, pieces: AsyncGenerator[bytes], text: str, timings: list[Timing]
    ) -> AsyncGenerator[bytes]:
        """The sound in the events; `timings` gets the words'."""
        words = Words(text)
        any_sound = ended = False
        async with aclosing(lines(pieces, self.name)) as each:
            async for line in each:
                if (event := data(line)) is None:
                    continue
                said = self._event(event)
                match said.get("type"):
                    case "chunk":
                        if heard := self._decoded(said.get("data")):
                            any_sound = True
                            yield heard
                    case "timestamps":
                        timings += words.timed(_told(said.get("word_timestamps")))
                    case "done":
                        ended = True  # read on to the body's end, so that the connection can be used again
                    case "error":
                        status = said.get("status_code")
                        raise self._line.refusal(status if isinstance(status, int) else 500, {}, event)
        if not any_sound:
            raise BadAudio(f"{self.name} answered without sound.", provider=self.name)
        if not ended:
            raise Unavailable(f"{self.name} broke off.", provider=self.name)

    def _event(self, event: bytes) -> dict[str, Any]:
        try:
            said = json.loads(event)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise BadAudio(f"{self.name} sent an event that cannot be read.", provider=self.name)
        return said

    def _decoded(self, told: object) -> bytes:
        try:
            return base64.b64decode(told if isinstance(told, str) else "", validate=True)
        except binascii.Error:
            raise BadAudio(f"{self.name} sent sound that cannot be read.", provider=self.name) from None

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        voice = utterance.voice
        body: dict[str, Any] = {
            "model_id": voice.model or self._model,
            "transcript": utterance.text,
            "voice": {"mode": "id", "id": voice.voice},
            "output_format": self._output(),
        }
        if utterance.language:
            body["language"] = utterance.language.split("-")[0].lower()
        if generation := self._generation(utterance):
            body["generation_config"] = generation
        if self._dictionary:
            body["pronunciation_dict_id"] = self._dictionary
        return body

    def _generation(self, utterance: Utterance) -> dict[str, Any]:
        generation = options.read(utterance.voice.settings, VOICE)
        if utterance.speed != 1.0:
            generation["speed"] = utterance.speed
        return generation

    def _output(self) -> dict[str, Any]:
        if self._format == "mp3":
            return {"container": "mp3", "sample_rate": self._sample_rate, "bit_rate": 128_000}
        container = "raw" if self._format == "pcm" else "wav"
        return {"container": container, "encoding": "pcm_s16le", "sample_rate": self._sample_rate}

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; page by page, at most `MOST_PAGES` of them."""
        found: list[ListedVoice] = []
        after: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            page, last = await self._line.listing("/voices", _page, params={"limit": "100", **after})
            found += page
            if last is None:
                break
            after = {"starting_after": last}
        return found

    async def health(self) -> Health:
        """See `Provider`; asks for one voice, which needs the key and costs nothing."""
        return await self._line.health("/voices", params={"limit": "1"})

    async def warm(self) -> None:
        """See `Provider`; opens a connection."""
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._line.aclose()


def _told(words: object) -> Iterable[tuple[object, object, object]]:
    match words:
        case {"words": list() as said, "start": list() as begins, "end": list() as ends}:
            return zip(said, begins, ends, strict=False)
        case _:
            return ()


def _page(told: Any) -> tuple[list[ListedVoice], str | None]:
    """Its voices, and the last one where more follow; older versions list all at once."""
    if not isinstance(told, dict):
        return [*map(_listed, told)], None
    voices = [*map(_listed, told["data"])]
    return voices, voices[-1].id if told.get("has_more") else None


def _listed(entry: Any) -> ListedVoice:
    language = entry.get("language")
    return ListedVoice(
        str(entry["id"]), str(entry.get("name") or entry["id"]), str(language) if language else None
    )


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer stands for: by status.

    Of its `error_code`s (from version 2026-03-01 on; before, there is plain text), Cartesia's documentation shows one,
    concurrency_limited with 429, and its SDK none. Titles and messages may quote the transcript, and are not read.
    """
    # The addresses are ours, and right: what is not found is a voice or a model.
    return BadVoice if status == httpx.codes.NOT_FOUND else by_status(status)


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    found = options.keyed(settings)
    given = dict(settings.options)
    if given.get("timestamps") == "true" and given.get("response_format", "pcm") != "pcm":
        found.append('timestamps are given with response_format = "pcm" only.')
    return found

"""Piper's voices: in this process, by the package piper-tts (an extra: it is GPL-3), or over its own server."""

import asyncio
import functools
import importlib
import importlib.util
import os
import re
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx

from providers import limits, options
from providers.errors import BadRequest, BadVoice, ProviderError, Unavailable
from providers.interface import (
    Capabilities,
    Health,
    ListedVoice,
    Provider,
    ProviderSettings,
    ProviderVoice,
    Sound,
    Utterance,
)
from providers.jobs import Job, pieces_of
from providers.line import Line, most_bytes, sound
from providers.patience import Patience
from providers.wire import by_status

MOST_CHARACTERS: Final = 4_000
"""Ours, not the engine's: bounds what one utterance can cost."""
OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "data_dir": options.words,
        "noise_scale": options.number(0, 2),
        "noise_w_scale": options.number(0, 2),
    }
)
VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {"speaker_id": options.count(0, 10_000), "speaker": options.words}
)
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.+-]*")


def from_settings(settings: ProviderSettings) -> Provider:
    """A server where `base_url` names one, else the engine."""
    return PiperServer(settings) if settings.base_url else Piper(settings)


def _capabilities(settings: ProviderSettings, identity: tuple[str, ...], *, streaming: bool) -> Capabilities:
    voiced = tuple(f"{key} {value}" for key, value in settings.options if key.startswith("noise"))
    return Capabilities(
        identity=(*identity, *voiced),
        limits=(limits.characters(MOST_CHARACTERS),),
        speed_range=(0.5, 2.0),
        price=settings.price(),
        formats=("pcm",) if streaming else ("wav",),
        streaming=streaming,
    )


class PiperServer:
    """`python -m piper.http_server`: a whole WAV for each text."""

    kind = "piper"

    def __init__(
        self, settings: ProviderSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`settings` have no problems. `transport` replaces the network."""
        self.name = settings.name
        self._settings = settings
        self._noise = options.read(settings.options, OPTIONS)
        self._line = Line(settings, lambda status, *_: by_status(status), base="", transport=transport)
        self._offered: dict[str, Any] | None = None

    def capabilities(self, voice: ProviderVoice) -> Capabilities:  # noqa: ARG002
        """See `Provider`. Half to double speed."""
        return _capabilities(self._settings, (self._line.base,), streaming=False)

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for the head, which comes with the sound."""
        described = await self._described(utterance.voice)
        request = self._line.request("POST", "/synthesize", json=self._body(utterance, described))
        # It calls its sound text/html; what it is, its first bytes tell.
        most = most_bytes(utterance, None)
        async with self._line.spoken(request, most, not_sound=()) as (_, pieces):
            yield sound(pieces, None)

    async def _described(self, voice: ProviderVoice) -> dict[str, Any]:
        """The voice's own file, as the server lists it; empty where it lists nothing.

        The server speaks with its default where it does not know a voice or a speaker, and that would be kept under a
        wrong name.
        """
        if self._offered is None or voice.voice not in self._offered:
            self._offered = await self._listing()
        if self._offered and voice.voice not in self._offered:
            raise BadVoice(f"{self.name} has no such voice.", provider=self.name)
        described = self._offered.get(voice.voice)
        described = described if isinstance(described, dict) else {}
        speaker = dict(voice.settings).get("speaker")
        if described and speaker is not None and speaker not in (described.get("speaker_id_map") or {}):
            raise BadVoice(f"{self.name} has no such speaker in this voice.", provider=self.name)
        return described

    def _body(self, utterance: Utterance, described: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"text": utterance.text, "voice": utterance.voice.voice}
        if utterance.speed != 1.0:
            # What is sent stands in for the voice's own pace, which is not 1 in every voice's file.
            match described.get("inference"):
                case {"length_scale": int() | float() as own}:
                    body["length_scale"] = round(own / utterance.speed, 4)
                case _:
                    body["length_scale"] = round(1 / utterance.speed, 4)
        body |= {key: self._noise[key] for key in ("noise_scale", "noise_w_scale") if key in self._noise}
        return body | options.read(utterance.voice.settings, VOICE)

    async def _listing(self) -> dict[str, Any]:
        return await self._line.listing("/voices", lambda told: {**told}, absent={})

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; empty where the server is too old to tell."""
        return [_listed(name, described) for name, described in (await self._listing()).items()]

    async def health(self) -> Health:
        """See `Provider`; asks for its voices."""
        try:
            voices = await self.voices()
        except ProviderError as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True, detail=f"{self.name} answers; it has {len(voices)} voices.")

    async def warm(self) -> None:
        """See `Provider`; opens a connection."""
        await self._line.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._line.aclose()


class Piper:
    """The engine in this process. A voice is `NAME.onnx` with `NAME.onnx.json` in `data_dir`."""

    kind = "piper"

    def __init__(self, settings: ProviderSettings) -> None:
        """Cheap: threads start and voices load with the first utterance."""
        self.name = settings.name
        self._settings = settings
        self._chosen = options.read(settings.options, OPTIONS)
        self._folder = Path(self._chosen.get("data_dir", "."))
        self._patience = functools.partial(
            Patience, provider=self.name, first_byte=settings.timeout, total=settings.timeout
        )
        self._threads = ThreadPoolExecutor(threads(settings) or 1, thread_name_prefix=f"piper-{self.name}")
        self._version = ""  # without the package nothing is spoken that could be kept
        with suppress(PackageNotFoundError):
            self._version = version("piper-tts")
        self._loaded: dict[str, Any] = {}
        self._loading = threading.Lock()
        self._running: set[Job] = set()
        self._closed = False

    def capabilities(self, voice: ProviderVoice) -> Capabilities:  # noqa: ARG002
        """See `Provider`. Half to double speed. Which model a voice's name stands for is the operator's to keep."""
        return _capabilities(self._settings, ("in process", self._version), streaming=True)

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering loads the voice and waits for the first sentence's sound."""
        self._refuse_when_closed()
        patience = self._patience()
        rate: list[int] = []
        work = functools.partial(self._spoken, utterance, rate)
        job = Job(asyncio.get_running_loop(), work, self._failure)
        self._running.add(job)
        job.future = self._threads.submit(job.run)
        try:
            first = await patience.first(job.next)
            if first is None:
                raise BadRequest(f"{self.name} finds nothing to say in this text.", provider=self.name)
            async with aclosing(pieces_of(first, job, patience)) as pieces:
                yield Sound("pcm_s16le", rate[0], channels=1, pieces=pieces)
        finally:
            job.stop()
            self._running.discard(job)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.name} is closed.", provider=self.name)

    def _failure(self, error: Exception) -> ProviderError:
        # The engine's own messages may quote the text.
        if isinstance(error, ProviderError):
            return error
        return BadRequest(f"{self.name} cannot read this text.", provider=self.name)

    def _spoken(self, utterance: Utterance, rate: list[int]) -> Iterator[bytes]:
        """The sound of one sentence after the other; runs in a thread. `rate` is there before the first."""
        from piper import SynthesisConfig  # noqa: PLC0415 - an extra, loaded where it is used

        voice = self._voice(utterance.voice.voice)
        rate.append(int(voice.config.sample_rate))
        given = options.read(utterance.voice.settings, VOICE)
        config = SynthesisConfig(
            speaker_id=given["speaker_id"] if "speaker_id" in given else self._speaker(voice, given),
            length_scale=voice.config.length_scale / utterance.speed,
            noise_scale=self._chosen.get("noise_scale"),
            noise_w_scale=self._chosen.get("noise_w_scale"),
        )
        for chunk in voice.synthesize(utterance.text, config):
            yield chunk.audio_int16_bytes

    def _speaker(self, voice: Any, given: dict[str, Any]) -> int | None:
        """By name; None: the voice's own. An unknown one would be kept under the wrong name."""
        if "speaker" not in given:
            return None
        speakers = voice.config.speaker_id_map or {}
        if given["speaker"] not in speakers:
            raise BadVoice(f"{self.name} has no such speaker in this voice.", provider=self.name)
        return int(speakers[given["speaker"]])

    def _voice(self, name: str) -> Any:
        # Under the lock, so that two first utterances do not both load it.
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def _load(self, name: str) -> Any:
        from piper import PiperVoice  # noqa: PLC0415

        path = self._folder / f"{name}.onnx"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise BadVoice(f"{self.name} has no file for this voice in its data_dir.", provider=self.name)
        try:
            return PiperVoice.load(path)
        except Exception:  # noqa: BLE001 - the runtime has many for a file that is no voice
            raise BadVoice(f"{self.name} cannot read this voice's files.", provider=self.name) from None

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; those whose files are there."""
        found = await asyncio.to_thread(lambda: sorted(self._folder.glob("*.onnx")))
        return [_listed(path.stem, {}) for path in found]

    async def health(self) -> Health:
        """See `Provider`; whether the package and any voice are there."""
        if importlib.util.find_spec("piper") is None:
            return Health(ok=False, detail='piper-tts is not installed; pip install "refrain[piper]".')
        voices = await self.voices()
        if not voices:
            return Health(ok=False, detail=f"{self.name} has no *.onnx in its data_dir.")
        return Health(ok=True, detail=f"{self.name} has {len(voices)} voices.")

    async def warm(self) -> None:
        """See `Provider`; imports the engine. Which voices will be asked for it does not know."""
        if importlib.util.find_spec("piper") is None:
            raise Unavailable('piper-tts is not installed; pip install "refrain[piper]".', provider=self.name)
        await asyncio.get_running_loop().run_in_executor(self._threads, importlib.import_module, "piper")

    async def aclose(self) -> None:
        """See `Provider`; waits for nobody: a thread ends with the sentence it is at."""
        self._closed = True
        for job in tuple(self._running):
            job.abandon(Unavailable(f"{self.name} is closed.", provider=self.name))
        self._threads.shutdown(wait=False, cancel_futures=True)


def _listed(name: str, described: Any) -> ListedVoice:
    """Names begin with the language: `en_US-joe-medium`."""
    language = name.partition("-")[0].replace("_", "-")
    told = described.get("language", {}).get("code") if isinstance(described, dict) else None
    return ListedVoice(name, name, str(told or language).replace("_", "-"))


def problems(settings: ProviderSettings) -> list[str]:
    """What would keep it from being built, beyond the options."""
    if settings.base_url or dict(settings.options).get("data_dir"):
        return options.reached(settings)
    return ["data_dir is needed, where the voices' files are, or base_url of a piper server."]


def threads(settings: ProviderSettings) -> int | None:
    """How many utterances it speaks at once: as configured, else one for each core but the event loop's.

    A server bounds itself.
    """
    if settings.base_url:
        return settings.max_concurrency
    return settings.max_concurrency or max(1, (os.cpu_count() or 1) - 1)


def is_local(settings: ProviderSettings) -> bool:
    """Whether it runs in this process."""
    return not settings.base_url

"""The local neural engine: hibari-tts (Apache-2.0), English, 24 kHz, its voice `heart` in the package.

Synthesis runs in threads of its own. The network and the signal processing release the interpreter lock; the
grapheme-to-phoneme rules do not, so a lock of ours lets one thread at a time into them: the event loop then
competes with one thread for the interpreter and not with all.
"""

import asyncio
import functools
import os
import re
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from providers import hibari_words, limits, options
from providers.errors import BadRequest, BadVoice, ProviderError, Unavailable
from providers.hibari_text import RULES, readable
from providers.hibari_words import ReadWord, SpokenWord, read_words, spoken_words, with_lengths
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
from providers.jobs import Job, pieces_of
from providers.patience import Patience

if TYPE_CHECKING:
    # numpy is loaded with the engine, off the event loop.
    from numpy import float32
    from numpy.random import Generator
    from numpy.typing import NDArray

SAMPLE_RATE: Final = 24_000
MOST_CHARACTERS: Final = 2_000
"""Ours, not the engine's: bounds what one utterance can cost."""
SEED: Final = 1
"""Of the noise in the sound; fixed, so that the same text is the same bytes."""
MOST_PHONEMES: Final = 400
"""The engine's own bound for one run of the network, which it keeps only where there is a comma to cut at."""

LOUDNESS: MappingProxyType[str, float] = MappingProxyType({"heart": -26.0})
"""LUFS, of voices that were measured: 40 sentences of samples/article.txt, one by one, came to -25.9 (standard
deviation 0.4), at half speed to -26.4, at double speed to -26.5."""

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType({})

_SPECTRA: Final = 6  # outputs of the network that the sound is made of; the engine's own
_LEAST_IDS: Final = 3  # a pause in front, one behind, and something between
_RUN = re.compile(rf"\S.{{0,{MOST_PHONEMES - 1}}}(?=\s|$)|\S{{1,{MOST_PHONEMES}}}")


class Hibari:
    """The engine on this machine."""

    kind = "hibari"

    def __init__(self, settings: ProviderSettings) -> None:
        """Cheap: threads start and models load with the first utterance, or `warm`."""
        self.name = settings.name
        self._price = settings.price()
        self._patience = functools.partial(
            Patience, provider=self.name, first_byte=settings.timeout, total=settings.timeout
        )
        packages = ("hibari-tts", "anyascii", "onnxruntime")
        self._versions = tuple(f"{package} {version(package)}" for package in packages)
        self._threads = ThreadPoolExecutor(threads(settings), thread_name_prefix=f"hibari-{self.name}")
        self._engines: dict[str, Any] = {}
        self._reading = threading.Lock()
        self._running: set[Job] = set()
        self._closed = False

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`. English; half to double speed."""
        return Capabilities(
            identity=(*self._versions, f"reading {RULES}", f"words {hibari_words.RULES}", f"seed {SEED}"),
            limits=(limits.characters(MOST_CHARACTERS),),
            speed_range=(0.5, 2.0),
            languages=frozenset(("en",)),
            price=self._price,
            loudness=LOUDNESS.get(voice.voice),
            timings=True,
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for the first sentence's sound. One piece for each sentence."""
        patience = self._patience()
        timings: list[Timing] = []
        job = self._start(utterance, timings)
        try:
            first = await patience.first(job.next)
            async with aclosing(pieces_of(first, job, patience)) as pieces:
                yield Sound("pcm_s16le", SAMPLE_RATE, channels=1, pieces=pieces, timings=timings)
        finally:
            job.stop()
            self._running.discard(job)

    def _start(self, utterance: Utterance, timings: list[Timing]) -> Job:
        self._refuse_when_closed()
        work = functools.partial(self._spoken, utterance, timings)
        job = Job(asyncio.get_running_loop(), work, self._failure)
        self._running.add(job)
        job.future = self._threads.submit(job.run)
        return job

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable(f"{self.name} is closed.", provider=self.name)

    def _failure(self, error: Exception) -> ProviderError:
        # The engine's own messages may quote the text.
        if isinstance(error, ProviderError):
            return error
        return BadRequest(f"{self.name} cannot read this text.", provider=self.name)

    def _spoken(self, utterance: Utterance, timings: list[Timing]) -> Iterator[bytes]:
        """The sound of one sentence after the other; runs in a thread. At the end the timings are there."""
        import numpy as np  # noqa: PLC0415 - loaded with the engine, off the event loop

        engine = self._engine(utterance.voice.voice)
        noise = np.random.default_rng(SEED)
        words: list[SpokenWord] = []
        said = 0
        for run in self._runs(engine, readable(utterance.text)):
            wave, lengths = _wave(engine, run.phonemes, utterance.speed, noise)
            if wave.size:
                words += spoken_words(run.phonemes, run.words, engine.vocab, lengths, said / SAMPLE_RATE)
                said += wave.size
                yield (np.clip(wave, -1.0, 1.0) * 32_767).astype("<i2").tobytes()
        if not said:
            raise BadRequest(f"{self.name} finds nothing to say in this text.", provider=self.name)
        timings += hibari_words.timings(utterance.text, words)

    def _runs(self, engine: Any, text: str) -> Iterator["_Run"]:
        with self._reading:
            sentences = engine.split_sentences(text)
        for sentence in sentences:
            with self._reading:
                runs = _read(engine, sentence)
            yield from runs

    def _engine(self, voice: str) -> Any:
        # Under the lock, so that two first utterances do not both load it.
        with self._reading:
            if voice not in self._engines:
                self._engines[voice] = self._load(voice)
            return self._engines[voice]

    def _load(self, voice: str) -> Any:
        import numpy as np  # noqa: PLC0415
        from hibari import Hibari as Engine  # noqa: PLC0415 - with onnxruntime 0.2 s, so not at start
        from hibari.voices import VOICES, voice_path  # noqa: PLC0415

        if voice not in VOICES:
            known = ", ".join(sorted(VOICES))
            raise BadVoice(f"{self.name} has no such voice; it has {known}.", provider=self.name)
        try:
            voice_path(voice, download_missing=False)
        except FileNotFoundError as missing:
            raise BadVoice(
                f"{self.name} does not have the file of this voice and downloads nothing; "
                f"put {os.path.basename(str(missing))} into hibari's cache folder, or use heart.",  # noqa: PTH119
                provider=self.name,
            ) from None
        model = Path(voice_path(voice, download_missing=False)).read_bytes()
        try:
            engine = Engine(voice=voice, model=with_lengths(model), threads=1)
        except Exception:  # noqa: BLE001 - the runtime has many; a network that has no lengths speaks all the same
            engine = Engine(voice=voice, threads=1)
        # The dictionaries load with the first word, the network for unknown words with the first of those.
        for run in _read(engine, "Warm blorgish."):
            _wave(engine, run.phonemes, 1.0, np.random.default_rng(SEED))
        return engine

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; those whose files are here."""
        self._refuse_when_closed()
        return await asyncio.get_running_loop().run_in_executor(self._threads, _present)

    async def health(self) -> Health:
        """See `Provider`; loads the engine."""
        try:
            await self.warm()
        except ProviderError as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True, detail=", ".join(self._versions))

    async def warm(self) -> None:
        """See `Provider`; loads the voice `heart`. While dictionaries load, the event loop stutters."""
        self._refuse_when_closed()
        await asyncio.get_running_loop().run_in_executor(self._threads, self._engine, "heart")

    async def aclose(self) -> None:
        """See `Provider`; waits for nobody: a thread ends with the sentence it is at."""
        self._closed = True
        for job in tuple(self._running):
            job.abandon(Unavailable(f"{self.name} is closed.", provider=self.name))
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Run:
    """What goes through the network at once, and the words in it, as far as they are known."""

    phonemes: str = field(repr=False)
    words: Sequence[ReadWord] = field(default=(), repr=False)


def _read(engine: Any, sentence: str) -> list[_Run]:
    """A sentence as the engine's own `phonemize` has it, and which word is where in it."""
    from hibari.g2p import normalize  # noqa: PLC0415 - loaded with the engine

    g2p = engine.g2p
    phonemes, words = read_words(g2p.phonemize_tokens(g2p.tokenize(normalize(sentence))))
    if len(phonemes) <= MOST_PHONEMES:
        return [_Run(phonemes, words)] if phonemes else []
    return [_Run(part) for cut in engine.phonemize(sentence) for part in _RUN.findall(cut)]


def _wave(
    engine: Any, phonemes: str, speed: float, noise: "Generator"
) -> "tuple[NDArray[float32], list[int]]":
    """As the engine's `from_ids`, and where each phoneme ends, if the network tells."""
    import numpy as np  # noqa: PLC0415 - loaded with the engine
    from hibari import dsp  # noqa: PLC0415

    ids = engine.ids(phonemes)
    if len(ids) < _LEAST_IDS:
        return np.zeros(0, np.float32), []
    given = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
    told = engine.sess.run(None, given)
    wave = dsp.synth(*(one[0] for one in told[:_SPECTRA]), noise)
    return wave, told[_SPECTRA].tolist() if len(told) > _SPECTRA else []


def _present() -> list[ListedVoice]:
    from hibari.voices import VOICES, voice_path  # noqa: PLC0415

    found = []
    for name, voice in VOICES.items():
        with suppress(FileNotFoundError):
            voice_path(name, download_missing=False)
            found.append(ListedVoice(name, name.capitalize(), voice["language"]))
    return found


def threads(settings: ProviderSettings) -> int:
    """How many utterances it speaks at once: as configured, else one for each core but the event loop's.

    With a thread on every core the loop was late by up to 15 ms, waiting for one (docs/performance.md).
    """
    return settings.max_concurrency or max(1, (os.cpu_count() or 1) - 1)

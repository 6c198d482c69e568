"""The scripted provider: tones instead of speech, with delays and faults by script. For tests, ours and yours.

It speaks, waits and fails exactly as told, needs neither network nor model, and remembers who called.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from providers import limits, options, ssml, tones
from providers.errors import (
    BadAudio,
    BadCredentials,
    BadRequest,
    BadVoice,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    TimedOut,
    TooLong,
    Unavailable,
)
from providers.interface import (
    Capabilities,
    Encoding,
    Health,
    Limit,
    ListedVoice,
    Profile,
    ProviderSettings,
    ProviderVoice,
    Sound,
    Timing,
    Utterance,
)
from providers.poison import ANSWERS, Answer, poisoned_answer, poisoned_pcm

FAULTS: MappingProxyType[str, type[ProviderError]] = MappingProxyType(
    {
        error.code: error
        for error in (
            RateLimited,
            Unavailable,
            TimedOut,
            BadAudio,
            BadCredentials,
            QuotaExceeded,
            BadVoice,
            BadRequest,
            TooLong,
        )
    }
)

# Parsers by option name; the names are the fields of `Script`.
OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "delay": options.seconds,
        "pace": options.seconds,
        "piece_bytes": options.count(1, 1 << 24),
        "seconds_per_character": options.seconds,
        "sample_rate": options.count(8_000, 192_000),
        "container": options.choice("pcm", "wav", "mp3"),
        "announced": options.choice("pcm", "file"),
        "announced_rate": options.count(1, 1 << 31),
        "answer": options.choice(*ANSWERS),
        "fault": options.choice(*FAULTS),
        "fault_calls": options.count(0, 1 << 31),
        "retry_after": options.seconds,
        "die_after": options.count(0, 1 << 31),
        "when": options.words,
        "timings": options.choice("none", "words"),
        "gain": options.decibels,
        "loudness": options.choice("known", "unknown"),
        "chunking": options.choice("sentence", "group"),
        "ssml": lambda value: frozenset(options.names(value)),
        "max_characters": options.count(1, 1 << 31),
        "max_bytes": options.count(4, 1 << 31),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How it behaves. Times are in seconds.

    `delay` passes before the first byte and `pace` between pieces of `piece_bytes` bytes. `answer` is what comes
    instead of the tone (`poison.py` has the list). `announced` and `announced_rate` (Hz) are what it says that its
    answer is, where that is not what it is. `fault` names an error of the tree by its code, raised instead of an
    answer (with `retry_after`); `die_after` cuts the answer with Unavailable after that many bytes. Both strike
    the first `fault_calls` calls only (None: all), and answers, faults and cuts alike only texts that contain
    `when` (None: all). `container` sends a WAV or MP3 file instead of bare PCM. With `timings` `words` each word
    has a tone of its own, and its times are told. `gain` makes it louder, in decibels; `loudness` is whether it
    says how loud it is. `chunking`, `ssml` (elements) and the
    limits are what it says of itself in its capabilities; it does not hold anybody to them.
    """

    delay: float = 0.0
    pace: float = 0.0
    piece_bytes: int = 4_800
    seconds_per_character: float = tones.SECONDS_PER_CHARACTER
    sample_rate: int = tones.SAMPLE_RATE
    container: Literal["pcm", "wav", "mp3"] = "pcm"
    announced: Literal["pcm", "file"] | None = None
    announced_rate: int | None = None
    answer: Answer = "tone"
    fault: str | None = None
    fault_calls: int | None = None
    retry_after: float | None = None
    die_after: int | None = None
    when: str | None = None
    timings: Literal["none", "words"] = "none"
    gain: float = 0.0
    loudness: Literal["known", "unknown"] = "known"
    chunking: Profile = "sentence"
    ssml: frozenset[str] = frozenset()
    max_characters: int | None = None
    max_bytes: int | None = None

    def announcement(self) -> tuple[Encoding, int]:
        """What it says that its answer is: encoding, and sample rate in Hz."""
        if (self.announced or self.container) == "pcm":
            return "pcm_s16le", self.announced_rate or self.sample_rate
        return "file", self.announced_rate or 0  # a file says its own, whatever is announced

    def limits(self) -> tuple[Limit, ...]:
        """Those that are set."""
        characters = (limits.characters(self.max_characters),) if self.max_characters else ()
        return (*characters, limits.utf8_bytes(self.max_bytes)) if self.max_bytes else characters


@dataclass(slots=True, eq=False)
class Call:
    """One utterance asked for. `state` ends as `done` (read to its end), `failed` by script, or `left` early.

    `document` is what a vendor of SSML would have been sent, where the script takes any.
    """

    utterance: Utterance
    document: str | None = None
    state: Literal["open", "done", "failed", "left"] = "open"


class Scripted:
    """A provider that does what its `script` says; the script may be replaced at any time, for later calls.

    `calls` lists every call in order. `before_first` and `between` are events to hold it by: the first byte, and
    every later piece, waits until its event is set.
    """

    kind = "scripted"

    def __init__(
        self,
        name: str = "scripted",
        script: Script | None = None,
        *,
        price: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`price` is per million characters."""
        self.name = name
        self.script = script or Script()
        self.calls: list[Call] = []
        self.before_first = asyncio.Event()
        self.before_first.set()
        self.between = asyncio.Event()
        self.between.set()
        self.closed = False
        self._price = price
        self._sleep = sleep
        self._rang = asyncio.Event()
        self._struck = 0

    async def called(self, times: int) -> None:
        """Wait until it was called at least so often, since it was made."""
        while len(self.calls) < times:
            self._rang.clear()
            await self._rang.wait()

    def capabilities(self, voice: ProviderVoice) -> Capabilities:  # noqa: ARG002 - they are all alike
        """See `Provider`. Half to double speed, instructions taken and not heard; the rest by script."""
        script = self.script
        told = () if script.timings == "none" else (script.timings,)
        sound = (
            str(script.sample_rate),
            str(script.seconds_per_character),
            script.container,
            str(script.gain),
        )
        return Capabilities(
            identity=(*sound, *told),
            limits=script.limits(),
            profile=script.chunking,
            ssml=script.ssml,
            speed_range=(0.5, 2.0),
            instructions=True,
            price=self._price,
            loudness=tones.LOUDNESS + script.gain if script.loudness == "known" else None,
            timings=script.timings == "words",
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; does what the script says at the time of the call."""
        call = Call(utterance, self._document(utterance))
        self.calls.append(call)
        self._rang.set()
        try:
            script = self._script_for(utterance)
            await self._first_byte(script)
            encoding, sample_rate = script.announcement()
            timings: list[Timing] = []
            async with aclosing(self._pieces(call, script, timings)) as pieces:
                yield Sound(encoding, sample_rate, channels=1, pieces=pieces, timings=timings)
        except ProviderError:
            call.state = "failed"
            raise
        finally:
            if call.state == "open":
                call.state = "left"

    def _document(self, utterance: Utterance) -> str | None:
        if not self.script.ssml:
            return None
        return ssml.document(utterance, language=utterance.language or "en", voice=utterance.voice.voice)

    def _script_for(self, utterance: Utterance) -> Script:
        script = self.script
        faulty = script.fault is not None or script.die_after is not None
        spent = faulty and script.fault_calls is not None and self._struck >= script.fault_calls
        meant = script.when is None or script.when in utterance.text
        if not meant or spent:
            return _well(script)
        self._struck += faulty
        return script

    async def _first_byte(self, script: Script) -> None:
        await self.before_first.wait()
        if script.delay:
            await self._sleep(script.delay)
        if script.fault is not None:
            raise FAULTS[script.fault](
                f"{self.name} fails as scripted.", provider=self.name, retry_after=script.retry_after
            )

    async def _pieces(self, call: Call, script: Script, timings: list[Timing]) -> AsyncGenerator[bytes]:
        answer = _answer(call.utterance, script)
        end = len(answer) if script.die_after is None else min(script.die_after, len(answer))
        starts: Iterable[int] = range(0, end, script.piece_bytes)
        for number, start in enumerate(itertools.cycle(starts) if script.answer == "endless" else starts):
            if number:
                await self.between.wait()
                if script.pace:
                    await self._sleep(script.pace)
            yield answer[start : min(start + script.piece_bytes, end)]
        if script.die_after is not None:
            raise Unavailable(f"{self.name} broke off as scripted.", provider=self.name)
        timings += _timings(call.utterance, script)
        call.state = "done"

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`. It speaks any voice; these are for show."""
        return [ListedVoice("low", "Low"), ListedVoice("high", "High")]

    async def health(self) -> Health:
        """See `Provider`."""
        fault = self.script.fault
        return Health(ok=fault is None, detail="scripted" if fault is None else f"scripted to fail: {fault}")

    async def warm(self) -> None:
        """See `Provider`; nothing to load."""

    async def aclose(self) -> None:
        """See `Provider`."""
        self.closed = True


def _well(script: Script) -> Script:
    return replace(
        script, answer="tone", announced=None, announced_rate=None, fault=None, die_after=None, when=None
    )


def _answer(utterance: Utterance, script: Script) -> bytes:
    speak = tones.tone_pcm if script.timings == "none" else tones.word_tones_pcm
    pcm = speak(
        utterance.text,
        utterance.voice.voice,
        speed=utterance.speed,
        seconds_per_character=script.seconds_per_character,
        sample_rate=script.sample_rate,
    )
    sound = poisoned_pcm(script.answer, tones.amplified(pcm, script.gain))
    return poisoned_answer(script.answer, tones.contained(script.container, sound, script.sample_rate))


def _timings(utterance: Utterance, script: Script) -> list[Timing]:
    if script.timings == "none":
        return []
    places = tones.word_places(
        utterance.text, speed=utterance.speed, seconds_per_character=script.seconds_per_character
    )
    return [Timing(*place) for place in places]


def from_settings(settings: ProviderSettings) -> Scripted:
    """The provider as configured. `settings` have no problems."""
    script = Script(**options.read(settings.options, OPTIONS))
    return Scripted(settings.name, script, price=settings.price())

"""The scripted provider: tones instead of speech, with delays and faults by script. For tests, ours and yours.

It speaks, waits and fails exactly as told, needs neither network nor model, and remembers who called.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
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
    Utterance,
)

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

Answer = Literal["tone", "silence", "noise", "empty", "odd", "html"]
ANSWERS: tuple[Answer, ...] = ("tone", "silence", "noise", "empty", "odd", "html")

# Parsers by option name; the names are the fields of `Script`.
OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType(
    {
        "delay": options.seconds,
        "pace": options.seconds,
        "piece_bytes": options.count(1, 1 << 24),
        "seconds_per_character": options.seconds,
        "sample_rate": options.count(8_000, 192_000),
        "container": options.choice("pcm", "wav"),
        "answer": options.choice(*ANSWERS),
        "fault": options.choice(*FAULTS),
        "fault_calls": options.count(0, 1 << 31),
        "retry_after": options.seconds,
        "die_after": options.count(0, 1 << 31),
        "when": options.words,
        "chunking": options.choice("sentence", "group"),
        "ssml": options.names,
        "max_characters": options.count(1, 1 << 31),
        "max_bytes": options.count(4, 1 << 31),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How it behaves. Times are in seconds.

    `delay` passes before the first byte and `pace` between pieces of `piece_bytes` bytes. `answer` is what comes
    instead of the tone: silence or noise of the same length, nothing at all (`empty`), the tone with its last
    byte missing (`odd`), a page (`html`). `fault` names an error of the tree by its code, raised instead of an
    answer (with `retry_after`); `die_after` cuts the answer with Unavailable after that many bytes. Both strike
    the first `fault_calls` calls only (None: all), and answers, faults and cuts alike only texts that contain
    `when` (None: all). `container` `wav` sends a WAV file instead of bare PCM. `chunking`, `ssml` (elements) and the
    limits are what it says of itself in its capabilities; it does not hold anybody to them.
    """

    delay: float = 0.0
    pace: float = 0.0
    piece_bytes: int = 4_800
    seconds_per_character: float = tones.SECONDS_PER_CHARACTER
    sample_rate: int = tones.SAMPLE_RATE
    container: Literal["pcm", "wav"] = "pcm"
    answer: Answer = "tone"
    fault: str | None = None
    fault_calls: int | None = None
    retry_after: float | None = None
    die_after: int | None = None
    when: str | None = None
    chunking: Profile = "sentence"
    ssml: frozenset[str] = frozenset()
    max_characters: int | None = None
    max_bytes: int | None = None

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
        identity = (str(script.sample_rate), str(script.seconds_per_character), script.container)
        return Capabilities(
            identity=identity,
            limits=script.limits(),
            profile=script.chunking,
            ssml=script.ssml,
            speed_range=(0.5, 2.0),
            instructions=True,
            price=self._price,
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
            encoding: Encoding = "pcm_s16le" if script.container == "pcm" else "file"
            sample_rate = script.sample_rate if script.container == "pcm" else 0
            async with aclosing(self._pieces(call, script)) as pieces:
                yield Sound(encoding=encoding, sample_rate=sample_rate, channels=1, pieces=pieces)
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

    async def _pieces(self, call: Call, script: Script) -> AsyncGenerator[bytes]:
        answer = _answer(call.utterance, script)
        end = len(answer) if script.die_after is None else min(script.die_after, len(answer))
        for start in range(0, end, script.piece_bytes):
            if start:
                await self.between.wait()
                if script.pace:
                    await self._sleep(script.pace)
            yield answer[start : min(start + script.piece_bytes, end)]
        if script.die_after is not None:
            raise Unavailable(f"{self.name} broke off as scripted.", provider=self.name)
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
    return Script(
        delay=script.delay,
        pace=script.pace,
        piece_bytes=script.piece_bytes,
        seconds_per_character=script.seconds_per_character,
        sample_rate=script.sample_rate,
        container=script.container,
    )


def _answer(utterance: Utterance, script: Script) -> bytes:
    pcm = tones.tone_pcm(
        utterance.text,
        utterance.voice.voice,
        speed=utterance.speed,
        seconds_per_character=script.seconds_per_character,
        sample_rate=script.sample_rate,
    )
    match script.answer:
        case "silence":
            pcm = bytes(len(pcm))
        case "noise":
            pcm = random.Random(len(pcm)).randbytes(len(pcm))  # noqa: S311 - noise, not a secret
        case "empty":
            return b""
        case "html":
            return b"<html><body><h1>502 Bad Gateway</h1></body></html>"
        case "tone" | "odd":
            pass
    answer = pcm if script.container == "pcm" else tones.wav(pcm, script.sample_rate)
    return answer[:-1] if script.answer == "odd" else answer


def from_settings(settings: ProviderSettings) -> Scripted:
    """The provider as configured. `settings` have no problems."""
    script = Script(**options.read(settings.options, OPTIONS))
    return Scripted(settings.name, script, price=settings.price_per_million_chars)

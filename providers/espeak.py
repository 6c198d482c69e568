"""espeak-ng, the last resort: a process for each utterance, which reads the text and writes a WAV."""

import asyncio
import functools
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from providers import limits, options
from providers.errors import BadAudio, BadVoice, ProviderError, Unavailable
from providers.interface import (
    Capabilities,
    Health,
    ListedVoice,
    ProviderSettings,
    ProviderVoice,
    Sound,
    Utterance,
)
from providers.patience import Patience
from providers.ssml import bare

MOST_CHARACTERS: Final = 4_000
"""Ours, not the program's: bounds what one utterance can cost."""
WORDS_PER_MINUTE: Final = 175
"""The program's own pace."""
ELEMENTS: Final = frozenset(("break", "emphasis", "p", "phoneme", "prosody", "s", "say-as", "sub"))
PIECE: Final = 32 * 1024

OPTIONS: MappingProxyType[str, options.Parser] = MappingProxyType({"program": options.words})
VOICE: MappingProxyType[str, options.Parser] = MappingProxyType(
    {"pitch": options.count(0, 99), "amplitude": options.count(0, 200), "gap": options.count(0, 1_000)}
)
_FLAGS: Final = {"pitch": "-p", "amplitude": "-a", "gap": "-g"}


class Espeak:
    """The program on this machine."""

    kind = "espeak"

    def __init__(self, settings: ProviderSettings) -> None:
        """Looks for nothing yet: `health` and `warm` say whether the program is there."""
        self.name = settings.name
        self._settings = settings
        self._program: str = options.read(settings.options, OPTIONS).get("program", "espeak-ng")
        self._patience = functools.partial(
            Patience, provider=self.name, first_byte=settings.first_byte_timeout, total=settings.timeout
        )
        self._running: set[Process] = set()
        self._there = False

    def capabilities(self, voice: ProviderVoice) -> Capabilities:  # noqa: ARG002
        """See `Provider`. A hundred languages; half to double speed."""
        return Capabilities(
            identity=(Path(self._program).name,),
            limits=(limits.escaped_characters(MOST_CHARACTERS),),
            ssml=ELEMENTS,
            speed_range=(0.5, 2.0),
            price=self._settings.price(),
            formats=("wav",),
        )

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for the first bytes. Leaving kills the process."""
        patience = self._patience()
        async with self._process(*_arguments(utterance)) as process:
            first = await patience.first(lambda: self._begun(process, _given(utterance)))
            async with aclosing(self._pieces(process, first, patience)) as pieces:
                yield Sound("file", sample_rate=0, channels=1, pieces=pieces)

    @asynccontextmanager
    async def _process(self, *arguments: str) -> AsyncGenerator[Process]:
        """A running program; it is gone when this is left, and awaited, so that it is no zombie."""
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                *arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                limit=2 * PIECE,
            )
        except OSError:
            self._there = False
            raise Unavailable(
                f"{self.name} cannot start {self._program}; install espeak-ng, or give its path as program.",
                provider=self.name,
            ) from None
        self._running.add(process)
        try:
            yield process
        finally:
            await self._ended(process)

    async def _ended(self, process: Process) -> None:
        _kill(process)
        # Shielded, so that a second cancellation does not leave it unawaited, a zombie.
        ending = asyncio.ensure_future(_reaped(process))
        ending.add_done_callback(lambda _: self._running.discard(process))
        await asyncio.shield(ending)

    async def _begun(self, process: Process, given: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        # The program reads all before it speaks, so that writing all first cannot lock both up. By its standard
        # input, for every user of the machine can read a process' arguments.
        with suppress(ConnectionError):
            process.stdin.write(given)
            await process.stdin.drain()
            process.stdin.close()
        if first := await process.stdout.read(PIECE):
            self._there = True
            return first
        if await process.wait():
            raise BadVoice(f"{self.name} does not know this voice.", provider=self.name)
        raise BadAudio(f"{self.name} answered with nothing.", provider=self.name)

    async def _pieces(self, process: Process, first: bytes, patience: Patience) -> AsyncGenerator[bytes]:
        assert process.stdout is not None
        piece = first
        while piece:
            yield piece
            piece = await patience.more(functools.partial(process.stdout.read, PIECE))
        if await patience.more(process.wait):
            raise Unavailable(f"{self.name} broke off.", provider=self.name)

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`; what the program lists."""
        listing = await self._told("--voices")
        rows = [line.split() for line in listing.splitlines()[1:]]
        # Columns: priority, language, age and gender, name, file, other languages.
        return [ListedVoice(row[1], row[3].replace("_", " "), row[1]) for row in rows if len(row) > 3]  # noqa: PLR2004

    async def health(self) -> Health:
        """See `Provider`; asks the program for its version."""
        try:
            said = await self._told("--version")
        except ProviderError as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True, detail=said.strip().partition("  Data at")[0])

    async def _told(self, flag: str) -> str:
        patience = self._patience()
        async with self._process(flag) as process:
            said, _ = await patience.first(process.communicate)
            return said.decode(errors="replace")

    async def warm(self) -> None:
        """See `Provider`; the program's files are in the machine's memory then. Nothing once it has spoken."""
        if not self._there:
            await self._told("--version")
            self._there = True

    async def aclose(self) -> None:
        """See `Provider`; ends what still runs. Who listens to it hears of it."""
        for process in self._running:
            _kill(process)


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


async def _reaped(process: Process) -> None:
    assert process.stdout is not None
    # asyncio tells of a process' end only behind the end of its output, and that comes behind all of it.
    while await process.stdout.read(PIECE):
        pass
    await process.wait()


def _arguments(utterance: Utterance) -> list[str]:
    settings = dict(utterance.voice.settings)
    flags = [part for key, flag in _FLAGS.items() if key in settings for part in (flag, settings[key])]
    pace = str(round(WORDS_PER_MINUTE * utterance.speed))
    markup = ["-m"] if utterance.ssml is not None else []
    # Joined to its flag, a voice that begins with a dash is no flag of its own.
    return [f"-v{utterance.voice.voice}", "-s", pace, *flags, *markup, "-b", "1", "--stdin", "--stdout"]


def _given(utterance: Utterance) -> bytes:
    if utterance.ssml is not None:
        return bare(utterance.ssml).encode()
    return utterance.text.encode()


def processes(settings: ProviderSettings) -> int:
    """How many utterances it speaks at once: as configured, else one for each core."""
    return settings.max_concurrency or os.cpu_count() or 1

"""Connections to the providers that are likely to be asked next are kept open while somebody speaks."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from app.errors import whereabouts
from app.speech.cast import Cast, Casting
from app.speech.voices import Voice
from providers.errors import ProviderError
from providers.interface import Provider

EVERY = 45.0
"""Seconds between two touches; an idle connection is closed after 60, by us, and by many vendors."""
QUIET = 600.0
"""Seconds without a chunk asked for, after which the connections may go."""
PATIENCE = 15.0
"""Seconds for all of them; the next touch is soon enough for who takes longer."""

log = logging.getLogger("refrain")


class Warmth:
    """Touches who speaks first for each voice."""

    def __init__(
        self,
        casting: Casting,
        chunks: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`chunks`: how many were asked for so far. `sleep` and `clock`, which is monotonic, in seconds."""
        self._casting = casting
        self._chunks = chunks
        self._sleep = sleep
        self._clock = clock
        self._seen = 0.0
        self._last: float | None = None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """As long as the block lasts."""
        task = asyncio.create_task(self._run(), name="warmth")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await self._sleep(EVERY)
            if self._busy():
                await self._touch()

    def _busy(self) -> bool:
        chunks = self._chunks()
        if chunks != self._seen:
            self._seen, self._last = chunks, self._clock()
        return self._last is not None and self._clock() - self._last < QUIET

    async def _touch(self) -> None:
        """Holds providers for no longer than this: one that was replaced is closed when nobody holds it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*map(_warm, first_choices(self._casting.now).values()))


async def _warm(provider: Provider) -> None:
    try:
        await provider.warm()
    except ProviderError:
        return  # whoever speaks next hears of it
    except Exception as error:  # noqa: BLE001 - a defect in one adapter must not let the others go cold
        log.error("defect: %s", whereabouts(error))  # noqa: TRY400 - the message may carry an address


def first_choices(cast: Cast) -> Mapping[str, Provider]:
    """Who may be asked first by any voice, by name."""
    names = {name for voice in cast.voices.all for name in _first(voice, cast)}
    return {name: cast.providers[name] for name in sorted(names)}


def _first(voice: Voice, cast: Cast) -> list[str]:
    links = list(voice.chain)
    if voice.order == "cheapest":
        links = [min(links, key=lambda link: cast.providers[link.provider].capabilities(link).price)]
    return [link.provider for link in (links if voice.order == "spread" else links[:1])]

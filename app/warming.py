"""Engines loaded and connections open before somebody waits for them."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from app.speech.voices import Voices
from cache.cache import Cache
from providers.errors import ProviderError
from providers.interface import Provider

WARM_UP: Final = 2.0
"""Seconds that providers may take to warm up before the server takes requests all the same."""
UNHURRIED_WARM_UP: Final = 30.0
"""Seconds for the same where those of before go on meanwhile."""

log = logging.getLogger("refrain")


def named(voices: Voices, providers: Iterable[Provider]) -> Sequence[Provider]:
    """Those that a voice names. Nobody asks the others, and an engine takes its time and its memory to load."""
    names = {link.provider for voice in voices.all for link in voice.chain}
    return [provider for provider in providers if provider.name in names]


async def warm_providers(providers: Sequence[Provider], seconds: float) -> None:
    """All at the same time, for as many seconds at the most; whoever fails is named in the log."""
    try:
        async with asyncio.timeout(seconds):
            outcomes = await asyncio.gather(
                *(provider.warm() for provider in providers), return_exceptions=True
            )
    except TimeoutError:
        log.warning("some providers took longer than %g s to warm up", seconds)
        return
    for provider, outcome in zip(providers, outcomes, strict=True):
        if isinstance(outcome, ProviderError):
            log.warning("provider %s could not be warmed up: %s", provider.name, outcome.code)
        elif isinstance(outcome, BaseException):
            raise outcome


async def warm_cache(cache: Cache) -> None:
    """Its connections and scripts, for as long at the most; Redis may be away."""
    try:
        async with asyncio.timeout(WARM_UP):
            await cache.warm()
    except TimeoutError:
        log.warning("the cache took longer than %g s to warm up", WARM_UP)

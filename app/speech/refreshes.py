"""Clips past their soft lifetime are made anew behind their listeners' backs, each once for the whole fleet."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Final

from app.errors import whereabouts
from cache.cache import Cache
from cache.interface import Entry
from providers.errors import ProviderError

log = getLogger("refrain")

PAUSE: Final = 60.0
"""Seconds until a clip may be tried again, by anybody; a vendor that is down must not be asked with every hit."""
REST: Final = 3600.0
"""Seconds, where it was made and could not be stored: it would be paid for again and again."""
AT_ONCE: Final = 2
"""More would take the providers from those who wait for sound."""
WAITING: Final = 64
"""More are let be: they come again with the next hit."""
_CLOSING_SECONDS: Final = 2.0


class Refreshes:
    """The refreshes of this process, in tasks that belong to no request."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def begin(
        self, digest: str, is_stale: Callable[[Entry], bool], remake: Callable[[], Awaitable[bool]]
    ) -> None:
        """Have it made anew by `remake`, unless somebody in the fleet did so, or tried, within `PAUSE`.

        `remake` stores what it makes, and says whether; what it raises costs nobody anything, the old sound stays.
        """
        if self._closed or digest in self._under_way or self._cache.is_claimed(digest):
            return
        if len(self._under_way) >= WAITING:
            return
        # An empty context: it must not carry the request's trace.
        task = asyncio.create_task(
            self._run(digest, is_stale, remake), name="refresh", context=contextvars.Context()
        )
        self._under_way[digest] = task
        task.add_done_callback(lambda _: self._under_way.pop(digest))

    async def aclose(self) -> None:
        """End what is under way; the old sound stays. Idempotent, and bounded: the service must come to its end."""
        self._closed = True
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)

    async def _run(
        self, digest: str, is_stale: Callable[[Entry], bool], remake: Callable[[], Awaitable[bool]]
    ) -> None:
        async with self._slots:
            claimed = await self._cache.claim(digest, PAUSE)
            # Another replica may have done it since this process read it: then theirs is taken over.
            there = await self._cache.reread(digest)
            # Or it was purged meanwhile: then nobody has asked for it.
            if not claimed or there is None or not is_stale(there):
                return
            try:
                if not await remake():
                    await self._cache.rest(digest, REST)
            except ProviderError as error:
                log.warning("a clip could not be made anew: %s", error.code)
            except Exception as error:  # noqa: BLE001 - nobody waits for it to be raised
                # The message may carry the text.
                log.error("defect: %s", whereabouts(error))  # noqa: TRY400

"""The configuration read again, in a server that goes on serving."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

from app.errors import whereabouts
from app.settings import BadConfiguration, Settings

FIXED = ("server", "redis", "cache", "auth")
"""Tables that are read at the start only: sockets, connections and tiers stand on them."""

log = logging.getLogger("refrain")


class Reload:
    """Reads again whenever it was asked to, one time after the other; a bad file changes nothing."""

    def __init__(self, read: Callable[[], Settings]) -> None:
        """`read` is called in a thread."""
        self._read = read
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have it read from now on; who asks while it is being read has it read once more. In the event loop."""
        self._asked.set()

    @asynccontextmanager
    async def answered(self, apply: Callable[[Settings], Awaitable[str]]) -> AsyncIterator[None]:
        """Who asks, also before this, is heard while the block lasts. `apply` answers what it changed."""
        task = asyncio.create_task(self._run(apply), name="reload")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, apply: Callable[[Settings], Awaitable[str]]) -> None:
        while True:
            await self._asked.wait()
            # Before reading: who asks while the file is read may have changed what was read already.
            self._asked.clear()
            try:
                settings = await asyncio.to_thread(self._read)
                log.warning("the configuration was read again: %s", await apply(settings))
            except BadConfiguration as error:
                log.error("the configuration stays as it was: %s", error)  # noqa: TRY400 - it says all there is
            except Exception as error:  # noqa: BLE001 - the next time it may be better
                log.error(  # noqa: TRY400 - the message may carry a secret
                    "the configuration stays as it was; defect: %s", whereabouts(error)
                )


def needs_restart(old: Settings, new: Settings) -> Iterator[str]:
    """Keys whose change is seen and not heeded; never their values, which may be secret."""
    for table in FIXED:
        before, after = getattr(old, table), getattr(new, table)
        for key in type(before).model_fields:
            if getattr(before, key) != getattr(after, key):
                yield f"{table}.{key}"


def in_force(old: Settings, new: Settings) -> Settings:
    """The new ones, with the tables of the start as they were: who reads them must find what the server does."""
    return new.model_copy(update={table: getattr(old, table) for table in FIXED})

"""Speeches whose own listener has left: made on for those who follow them at their address."""

import asyncio
from logging import getLogger

from app.errors import RefrainError, whereabouts
from app.speech.making import Live
from providers.errors import ProviderError

log = getLogger("refrain")

_CLOSING_SECONDS = 2.0


class Unattended:
    """Those of this process, each in a task that belongs to no request."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, live: Live) -> None:
        """A speech whose listener is done with it: closed at once, unless others may want the rest of it.

        Whether they do is found out in a task: who leaves need not wait for Redis.
        """
        if self._closed or not live.is_left:
            await live.aclose()
            return
        # In the context of who asked for it: what is made is his still.
        task = asyncio.create_task(self._go_on(live), name="unattended speech")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End them; followers are cut. Idempotent, and bounded."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_CLOSING_SECONDS)

    async def _go_on(self, live: Live) -> None:
        try:
            await live.go_on()
        except (RefrainError, ProviderError) as error:
            log.warning("followed speech cut short: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - nobody waits for it to be raised
            # The message may carry the text.
            log.error("defect: %s", whereabouts(error))  # noqa: TRY400
        finally:
            await live.aclose()

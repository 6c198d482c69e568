"""The circuit around Redis: after a failure nobody waits for it until it has answered again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from logging import getLogger

log = getLogger("refrain")


class Outage:
    """Open after the first failure (Redis hung costs one time-out, not one per command); closed by a probe.

    The probe is sent by a task of its own, which lives only while the circuit is open: no request ever pays
    for finding out whether Redis is back. `probe` raises when it is not; `what` is what the log calls it.
    `pause` is in seconds; the first probes come sooner, since most often a server was busy for a moment, and
    what is begun without it may be made twice.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        what: str = "Redis",
        pause: float = 0.5,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._probe = probe
        self._what = what
        self._pause = pause
        self._sleep = sleep
        self._mending: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether Redis is to be left alone."""
        return self._mending is not None

    def trip(self) -> None:
        """Redis failed: leave it alone until a probe succeeds."""
        if self._mending is None:
            self._mending = asyncio.create_task(self._mend(), name="outage-probe")
            log.warning("%s does not answer; going on without it until it does", self._what)

    async def _mend(self) -> None:
        pause = self._pause / 16
        while True:
            await self._sleep(pause)
            pause = min(2 * pause, self._pause)
            # Whatever the probe raises: a circuit that nobody mends would stay open for ever.
            with suppress(Exception):
                await self._probe()
                self._mending = None
                log.warning("%s answers again", self._what)
                return

    async def aclose(self) -> None:
        """End the probing; the circuit stays as it is."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])

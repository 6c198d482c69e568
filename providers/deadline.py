"""Until when sound is waited for: carried beside the call, as far down as somebody waits for a turn, or asks again.

A deadline is not one point in time from the beginning. What is made ahead of its listener has none before he comes to
it, and a synthesis that many share has that of the most patient of them. Nothing of it cuts short a vendor who has
been asked: whoever leaves does that, and others elsewhere, of whom nothing is known here, may be waiting still.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class Deadline:
    """Since when somebody waits, and until when: seconds of the event loop's clock. Infinite: nobody does yet.

    With others `aboard` it is theirs, each for the latest: as long as one of them has time, nobody's is over.
    """

    def __init__(self, since: float = math.inf, until: float = math.inf) -> None:
        self._since = since
        self._until = until
        self._aboard: set[Deadline] = set()
        # Looked for when it is asked for: among a thousand, it changes with each that comes or goes.
        self._latest: Deadline | None = None
        self._limits: dict[asyncio.Timeout, tuple[float, float]] = {}
        self.watchers: set[Callable[[Deadline], None]] = set()
        """Those that have this one aboard are told when it moves."""

    @property
    def time(self) -> tuple[float, float]:
        """Until when the last of them waits, and since when."""
        if not self._aboard:
            return self._until, self._since
        if self._latest is None:
            self._latest = max(self._aboard, key=lambda one: one.time)
        return self._latest.time

    @property
    def until(self) -> float:
        """When the last of them is gone."""
        return self.time[0]

    def begin(self, since: float, until: float) -> None:
        """Somebody waits, or waits again."""
        self._since, self._until = since, until
        self._moved()
        for told in self.watchers:
            told(self)

    @contextmanager
    def aboard(self, one: "Deadline") -> Iterator[None]:
        """Within it, this one lasts as long as `one` does, too."""
        self._aboard.add(one)
        one.watchers.add(self.heed)
        self.heed(one)
        try:
            yield
        finally:
            self._aboard.discard(one)
            one.watchers.discard(self.heed)
            if self._latest in {None, one}:
                self._latest = None
                if self._limits:
                    # Of a crowd that goes at once only the last has to be followed by another look for the latest.
                    asyncio.get_running_loop().call_soon(self._moved)

    def heed(self, one: "Deadline") -> None:
        """One of those aboard came, or moved."""
        latest = self._latest
        if latest is not None and latest is not one:
            if one.time <= latest.time:
                return
            self._latest = one
        else:
            self._latest = None
        self._moved()

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncGenerator[None]:
        """A block that only waits: until the end, and of the time in which somebody waits for it so many seconds.

        Raises:
            TimeoutError: it took longer.
        """
        entered = asyncio.get_running_loop().time()
        async with asyncio.timeout(None) as limit:
            self._limits[limit] = (entered, seconds)
            self._set(limit)
            try:
                yield
            finally:
                del self._limits[limit]

    def _moved(self) -> None:
        for limit in self._limits:
            self._set(limit)

    def _set(self, limit: asyncio.Timeout) -> None:
        if limit.expired():  # too late, though its block has not been left yet
            return
        entered, seconds = self._limits[limit]
        until, since = self.time
        end = min(until, max(since, entered) + seconds)
        limit.reschedule(None if end == math.inf else end)


speaking_until: ContextVar[Deadline | None] = ContextVar("speaking_until", default=None)
"""Until when the sound is wanted that a provider is asked for; None: nobody has said."""


def deadline() -> Deadline:
    """That of whoever asks. Who has not said any waits from now on, and has time."""
    return speaking_until.get() or Deadline(since=asyncio.get_running_loop().time())

"""A provider's circuit: open, nobody asks it any more, until somebody has found out that it speaks again."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from providers.budget import RetryBudget
from providers.errors import Account, BadCredentials, CircuitOpen, ProviderError, QuotaExceeded, Refused
from providers.promptness import Promptness

State = Literal["closed", "half_open", "open"]

_ACCOUNT = {kind.code: kind for kind in (BadCredentials, QuotaExceeded)}
SLOW = "slow"
"""The reason of a circuit that was opened by answers that came too late."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a circuit opens, and how often it is tried whether it may be closed.

    After `running` failures one behind the other, or when of the last `window` seconds' calls, if they are `least` or
    more, `rate` failed.
    `probe` seconds lie between two tries of the whole fleet whether an open one may be closed, `dead` where only
    somebody can mend it (a key, a bill).
    """

    running: int = 5
    rate: float = 0.5
    least: int = 10
    window: float = 30.0
    probe: float = 5.0
    dead: float = 60.0


class Circuit:
    """One provider's. All of it is synchronous: one event loop, no locks. `clock` is monotonic."""

    def __init__(
        self,
        provider: str,
        rules: Rules | None = None,
        *,
        account: str | None = None,
        slow: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`provider` is its configured name. `account` is under what processes tell each other of it; None: that name.

        A first sound after more than `slow` seconds is a failure, too.
        """
        self.provider = provider
        self.account = account or provider
        self.rules = rules or Rules()
        self.reason: str | None = None
        """What opened it: the code of an error of the tree, or `slow`; None: it is closed."""
        self.changes = 0
        """How often it was opened or closed."""
        self.probing = False
        """It is open, and this process is finding out whether it may be closed."""
        self.budget = RetryBudget()
        self.hedges = RetryBudget()
        """How often another may be asked in its place because it is slow."""
        self.promptness = Promptness()
        self.slow = slow
        self._clock = clock
        self._running = 0
        self._seen: deque[tuple[float, bool]] = deque()
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def state(self) -> State:
        """Whether calls are let through; `half_open`: not yet."""
        if self.reason is None:
            return "closed"
        return "half_open" if self.probing else "open"

    @property
    def pause(self) -> float:
        """Seconds between two probes, if it is open."""
        return self.rules.dead if self.reason in _ACCOUNT else self.rules.probe

    def counts(self) -> tuple[int, int]:
        """The calls of the last `window` seconds, and how many of them failed."""
        self._forget()
        return len(self._seen), sum(failed for _, failed in self._seen)

    def check(self) -> None:
        """Nothing, if calls are let through.

        Raises:
            CircuitOpen: they are not.
            Account: nor will they be until somebody acts: said as the provider itself would say it again.
        """
        if self.reason is not None:
            error = _ACCOUNT.get(self.reason, CircuitOpen)
            raise error(
                f"{self.provider} is not asked at the moment ({self.reason}).",
                provider=self.provider,
                retry_after=self.pause,
            )

    def succeeded(self, first_sound: float) -> None:
        """It spoke; the first sound came after so many seconds."""
        self.promptness.took(first_sound)
        self.hedges.first()
        if self.slow is not None and first_sound > self.slow:
            self._count(SLOW)
            return
        self._running = 0
        self._note(failed=False)

    def failed(self, error: ProviderError) -> None:
        """It did not. What the caller did wrong, and what was not even asked, counts for nothing."""
        if isinstance(error, Account):
            self.open(error.code)
        elif not isinstance(error, Refused | CircuitOpen):
            self._count(error.code)

    def open(self, reason: str) -> None:
        """Let nobody through, and let those go who wait."""
        if self.reason is None:
            self.changes += 1
            # Who has been let go before, and has not quite gone, cannot be told once more.
            for waiting in [one for one in self._waiting if not one.expired()]:
                waiting.reschedule(asyncio.get_running_loop().time())
        self.reason = reason

    def close(self) -> None:
        """Let calls through, as if nothing had ever been."""
        self.changes += self.reason is not None
        self.reason = None
        self._running = 0
        self._seen.clear()

    @asynccontextmanager
    async def unless_open(self) -> AsyncGenerator[None]:
        """A block that only waits: it is left as soon as the circuit opens.

        Raises:
            CircuitOpen, Account: it is open, or was opened meanwhile.
        """
        self.check()
        waiting = asyncio.timeout(None)
        try:
            async with waiting:
                self._waiting.add(waiting)
                try:
                    yield
                finally:
                    self._waiting.discard(waiting)
        except TimeoutError:
            self.check()
            if waiting.expired():
                # It was open for a moment only: still nobody came to ask.
                message = f"{self.provider} was not asked for a moment."
                raise CircuitOpen(message, provider=self.provider) from None
            raise

    def _count(self, reason: str) -> None:
        self._running += 1
        self._note(failed=True)
        calls, failures = self.counts()
        rules = self.rules
        too_many = calls >= rules.least and failures >= rules.rate * calls
        # What ends late must not say otherwise why it is open: a key is probed more rarely than an outage.
        if self.reason is None and (self._running >= rules.running or too_many):
            self.open(reason)

    def _note(self, *, failed: bool) -> None:
        self._seen.append((self._clock(), failed))
        self._forget()

    def _forget(self) -> None:
        oldest = self._clock() - self.rules.window
        while self._seen and self._seen[0][0] < oldest:
            self._seen.popleft()

"""Retries of one provider, up to its first piece of sound and never after it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from providers.budget import RetryBudget
from providers.deadline import Deadline, deadline
from providers.errors import ProviderError, TimedOut
from providers.interface import Provider, Sound, Utterance
from providers.wrapped import Wrapped

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


class Retrying(Wrapped):
    """Asks again while the error may pass by itself, at most `attempts` times in all.

    Entering waits for the first piece of sound as well, so that a failure on the way to it is still retried;
    once a piece was passed on, a failure is the caller's. Pauses have full jitter: evenly between 0 and a bound
    that doubles from 0.1 s to 5 s (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
    after the vendor's own `retry_after` where it gave one. `timeout` seconds bound everything up to the first
    piece. The error is raised at once where the pause, and an attempt as long as the last one, would outlast them or
    the caller's deadline: what is left is the next provider's. So it is when the `budget` of retries is spent.
    """

    def __init__(
        self,
        inside: Provider,
        attempts: int,
        *,
        timeout: float,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`random` gives numbers from 0 up to 1; `sleep` and `clock` are in seconds. `budget` None: one of its own."""
        super().__init__(inside)
        self._attempts = attempts
        self._timeout = timeout
        self.budget = budget or RetryBudget()
        self._sleep = sleep
        self._random = random
        self._clock = clock

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering includes the first piece and the retries."""
        async with AsyncExitStack() as upstream:
            sound, first = await self._begin(upstream, utterance)
            async with aclosing(_rejoined(first, sound.pieces)) as pieces:
                yield replace(sound, pieces=pieces)

    async def _begin(self, upstream: AsyncExitStack, utterance: Utterance) -> tuple[Sound, bytes]:
        self.budget.first()
        course = _Course(self._clock() + self._timeout, deadline())
        retrying = AsyncRetrying(
            sleep=self._sleep,
            wait=self._pause,
            stop=lambda state: self._enough(state, course),
            before=lambda _: course.attempt(self._clock()),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._timeout):
                return await retrying(self._attempt, upstream, utterance)
        except TimeoutError:
            raise TimedOut(
                f"{self.name} did not begin to speak within {self._timeout:g} s.", provider=self.name
            ) from None

    async def _attempt(self, upstream: AsyncExitStack, utterance: Utterance) -> tuple[Sound, bytes]:
        # The trial's own stack closes a failed request before the next one is made; only a request that has
        # begun to speak is handed over.
        async with AsyncExitStack() as trial:
            sound = await trial.enter_async_context(self.inside.speak(utterance))
            first = await anext(sound.pieces, b"")
            await upstream.enter_async_context(trial.pop_all())
            return sound, first

    def _pause(self, state: RetryCallState) -> float:
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (state.attempt_number - 1))
        return (_announced(state) or 0.0) + self._random() * bound

    def _enough(self, state: RetryCallState, course: "_Course") -> bool:
        if state.attempt_number >= self._attempts or not course.bears(self._clock(), state.upcoming_sleep):
            return True
        # Last: taking is spending, and it is asked only where the error may pass.
        return not self.budget.take()


class _Course:
    """What the attempts at one utterance have time for. Times are the clock's."""

    def __init__(self, end: float, deadline: Deadline) -> None:
        self._end = end
        self._deadline = deadline
        self._began = 0.0

    def attempt(self, now: float) -> None:
        """One begins."""
        self._began = now

    def bears(self, now: float, pause: float) -> bool:
        """Whether after such a pause there would be time for one more that takes as long as the last one did."""
        return now + pause + (now - self._began) < min(self._end, self._deadline.until)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ProviderError) and error.retryable


def _announced(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, ProviderError) else None


async def _rejoined(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        if first:
            yield first
        async for piece in rest:
            yield piece

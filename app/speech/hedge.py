"""Two links of a chain asked for one chunk: whoever speaks first is heard, the other is left."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from app.speech.clips import Clip, Hear
from app.speech.standing import Circuit
from providers.errors import ProviderError

Outcome = Clip | list[ProviderError]
"""A chunk's clip, or why there is none."""
Run = Callable[[Hear], Coroutine[None, None, Outcome]]
"""Gets a chunk by one link; the pieces of its sound are given to what it is called with."""


class Budget(Protocol):
    """What may be spent."""

    def take(self) -> bool:
        """Whether there is enough for one more; if so, it is taken."""
        ...


class Hedging(Circuit, Protocol):
    """A provider's circuit, with how often others may be asked in its place."""

    @property
    def hedges(self) -> Budget:
        """Each utterance that it speaks adds to it."""
        ...


class Race:
    """One race. `hedged`: the second was asked because the first is slow; `winner`, 0 or 1, is whose sound is heard."""

    def __init__(self, hear: Hear) -> None:
        """`hear` is called with the winner's pieces, and never with anybody else's."""
        self.winner: int | None = None
        self.hedged = False
        self._hear = hear
        self._decided = asyncio.Event()

    async def run(self, first: Run, second: Run, delay: float, afford: Callable[[], bool]) -> Outcome:
        """The chunk by who speaks first, or why neither does. `second` begins after `delay` seconds without a sound.

        `afford` is asked then whether it may. Where `first` fails, `second` begins at once. Whoever lost has ended when
        this returns or raises: nobody else listens to it, unless others asked for the same.
        """
        tasks: list[asyncio.Task[Outcome]] = [asyncio.create_task(first(self._lane(0)), name="hedged")]
        try:
            await self._wait(tasks, delay)
            if self.winner is None and not tasks[0].done():
                self.hedged = afford()
                if not self.hedged:
                    await self._wait(tasks, None)
            if self.winner is None and not _spoke(tasks[0]):
                tasks.append(asyncio.create_task(second(self._lane(1)), name="hedge"))
            return await self._outcome(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _lane(self, number: int) -> Hear:
        def hear(piece: bytes) -> None:
            # No await in here: two cannot both find that nobody has won.
            if self.winner is None:
                self.winner = number
                self._decided.set()
            if self.winner == number:
                self._hear(piece)

        return hear

    async def _outcome(self, tasks: list[asyncio.Task[Outcome]]) -> Outcome:
        while True:
            if self.winner is not None:
                for task in tasks:
                    if task is not tasks[self.winner]:
                        task.cancel()
                return await tasks[self.winner]
            if (ended := next((task for task in tasks if _spoke(task)), None)) is not None:
                return ended.result()
            if all(task.done() for task in tasks):
                return [failure for task in tasks for failure in _failures(task.result())]
            await self._wait([task for task in tasks if not task.done()], None)

    async def _wait(self, tasks: list[asyncio.Task[Outcome]], seconds: float | None) -> None:
        """Until one ends, one is heard, or the time is over."""
        deciding = asyncio.create_task(self._decided.wait())
        try:
            await asyncio.wait((*tasks, deciding), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deciding.cancel()


def _spoke(task: asyncio.Task[Outcome]) -> bool:
    """Whether it ended with a clip; what it raised is raised."""
    return task.done() and isinstance(task.result(), Clip)


def _failures(outcome: Outcome) -> list[ProviderError]:
    return [] if isinstance(outcome, Clip) else outcome

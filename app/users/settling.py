"""What was reserved and is over, until Redis has heard of it."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.users.store import named
from cache.errands import Errands
from cache.errors import Away
from cache.link import Answer
from cache.tending import keep_on, tell_of

SCRIPTS: Final = Path(__file__).parent / "scripts"
_MOST: Final = 10_000
"""Requests whose end is kept while Redis is away, for when it is back."""
_LATEST: Final = 120.0
"""Seconds after which a question that nobody waits for any more arrives no longer: TCP gives up sooner."""
_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was spoken in the end, in characters and millionths of money. `minute`: characters per minute there are.

    `kept`: seconds for which nothing is reserved under this token any more; None: only what is under way may come yet.
    """

    user: str
    token: str
    characters: int
    money: int
    minute: int | None
    kept: float | None = None


class Settling:
    """Tells Redis, soon, and again where it was not heard. `sleep` is in seconds."""

    def __init__(self, errands: Errands, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._errands = errands
        self._sleep = sleep
        self._script = errands.link.script("settle", SCRIPTS)
        self._waiting: list[Settlement] = []
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def settled(self) -> bool:
        """Whether nothing waits."""
        return self._task is None

    def add(self, settlement: Settlement) -> None:
        """One more; not behind the closing, when nobody would hear of it, again and again."""
        if self._is_closed:
            return
        if len(self._waiting) < _MOST:
            self._waiting.append(settlement)
        # No await between looking and setting: what waits has one who settles it.
        if self._task is None:
            work = keep_on("settling", self._settle_all)
            self._task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
            self._task.add_done_callback(tell_of("limits"))

    async def warm(self) -> None:
        """Have the script known before the first request."""
        await self._errands.run(self._script, counters("", "warm"), ["warm", 0, 0, 1, -1, 0])

    async def aclose(self, seconds: float) -> None:
        """Until nothing waits, for so many seconds. Idempotent."""
        self._is_closed = True
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=seconds)
            for task in late:
                task.cancel()
                await asyncio.wait([task])

    async def _settle_all(self) -> None:
        """Until nothing waits. Sent again where the answer was lost: the token counts once."""
        while self._waiting:
            some = self._waiting[:100]
            answers = [self._send(one) for one in some]
            came = [await answer for answer in answers]
            # Nothing was taken out meanwhile: only this task does, and others add behind. Those that were lost go
            # behind them: where one node of a cluster is away, or one user's count is damaged, nobody else waits.
            lost = [one for one, answer in zip(some, came, strict=True) if isinstance(answer, Away)]
            del self._waiting[: len(some)]
            self._waiting += lost
            if lost:
                await self._sleep(_PAUSE)
        self._task = None

    def _send(self, one: Settlement) -> "asyncio.Future[Answer | Away]":
        minute = -1 if one.minute is None else one.minute
        arguments: list[str | bytes | int] = [
            one.token, one.characters, one.money, int((one.kept or _LATEST) * 1000), minute, int(one.kept is not None),
        ]  # fmt: skip
        return self._errands.run(self._script, counters(one.user, one.token), arguments)


def counters(user: str, token: str) -> list[str]:
    """The keys of what `reserve.lua` and `settle.lua` count."""
    things = ("characters", "counts", "speaking", "reserved", f"settled:{token}")
    return [named(thing, user) for thing in things]

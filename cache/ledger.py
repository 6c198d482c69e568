"""How much each owner has had stored in Redis lately, over all processes that share it."""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable

from cache.errors import Away
from cache.interface import Entry
from cache.link import Answer, RedisLink
from cache.tending import tell_of

_WINDOW = 86400.0
_PERIOD = 1.0
"""Seconds between two tellings: what is stored in between by other processes is not known here."""
BRIEF = 10.0
"""Seconds that an entry beyond the budget is kept: for followers at other replicas, who read it within one or two."""
_OVERHEAD = 512
"""Of an entry in Redis besides its bytes: its key and its places in four labels' indices."""
_MOST = 4096
_OTHERS = "others"
"""Owners beyond the first so many of a day, together: who comes by ever new names gets one budget for all of them."""


class Ledger:
    """Bytes stored in Redis by owner and day (UTC), in each process, added up in Redis once a second.

    Nothing here is waited for where sound is served. `budget` is in bytes for an owner and day; it binds only where
    more than one owner was seen that day or the day before: who is alone may have all. None as an owner is nobody in
    particular, and has no budget. `brief` is in seconds, `now` gives seconds since the epoch.
    """

    def __init__(
        self,
        link: RedisLink,
        budget: float,
        *,
        brief: float = BRIEF,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.refused = 0
        self.brief = brief
        self._link = link
        self._budget = budget
        self._now = now
        self._sleep = sleep
        self._day = int(now() // _WINDOW)
        self._stored: dict[str, int] = {}  # as Redis told last, and what was stored here since
        self._untold: dict[str, int] = {}
        self._owners = 0  # as Redis told last
        self._were_several = False
        self._teller: asyncio.Task[None] | None = None

    def see(self, owner: str | None) -> None:
        """This owner asks for something: from then on nobody else is alone."""
        if owner is not None and (owner not in self._stored or self._now() // _WINDOW != self._day):
            self._note(owner, 0)

    def is_over(self, owner: str | None) -> bool:
        """Whether the owner has used up his budget, and others want their part."""
        if owner is None:
            return False
        self._turn()
        several = self._were_several or max(self._owners, len(self._stored)) > 1
        return several and self._stored.get(self._name(owner), 0) >= self._budget

    def lifetime(self, owner: str | None, entry: Entry, left: float) -> float:
        """For how many seconds an entry that would live for `left` is to be stored; charges the owner with it.

        Beyond the budget just long enough for those who wait for it elsewhere.
        """
        if owner is None or left <= self.brief:
            return left
        if self.is_over(owner):
            self.refused += 1
            return self.brief
        self._note(owner, _OVERHEAD + len(entry.meta) + len(entry.payload))
        return left

    async def aclose(self) -> None:
        """Tell no more. Idempotent."""
        if self._teller is not None:
            self._teller.cancel()
            await asyncio.wait([self._teller])

    def _name(self, owner: str) -> str:
        return owner if owner in self._stored or len(self._stored) < _MOST else _OTHERS

    def _note(self, owner: str, size: int) -> None:
        self._turn()
        name = self._name(owner)
        known = name in self._stored
        self._stored[name] = self._stored.get(name, 0) + size
        if size or not known:
            self._untold[name] = self._untold.get(name, 0) + size
            # No await between looking and setting: there is one teller at most, and nothing waits without one.
            if self._teller is None:
                # An empty context: it is nobody's request.
                self._teller = asyncio.create_task(self._tell(), name="ledger", context=contextvars.Context())
                self._teller.add_done_callback(tell_of("the ledger"))

    def _turn(self) -> None:
        """A new day: everybody begins with nothing."""
        day = int(self._now() // _WINDOW)
        if day != self._day:
            self._were_several = max(self._owners, len(self._stored)) > 1
            self._day = day
            self._stored, self._untold, self._owners = {}, {}, 0

    async def _tell(self) -> None:
        try:
            while self._untold:
                await self._add_up()
                await self._sleep(_PERIOD)
        finally:
            self._teller = None

    async def _add_up(self) -> None:
        day, told = self._day, self._untold
        self._untold = {}
        key = self._link.keys.of("stored", str(day))
        pipe = self._link.client.pipeline(transaction=False)
        for owner, size in told.items():
            pipe.hincrby(key, owner, size)
        pipe.hlen(key)
        pipe.expire(key, int(2 * _WINDOW))
        try:
            answers: Answer = await self._link.call(pipe.execute)
        except Away:
            # Who asks is told again. What was stored is forgiven: where only the reply was lost, it is counted.
            if day == self._day:
                self._untold = dict.fromkeys(told, 0) | self._untold
            return
        if day != self._day:
            return
        self._owners = answers[-2]
        for owner, total in zip(told, answers, strict=False):
            # What was stored here while the answer was under way is in neither.
            self._stored[owner] = total + self._untold.get(owner, 0)

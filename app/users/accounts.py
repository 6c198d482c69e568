"""What a user has had, and what is left to him: read, and forgotten."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from app.errors import RefrainError, UsersUnavailable
from app.settings.tables import LimitTable
from app.users.limits import MILLION, Due
from app.users.refusals import refusal
from app.users.statement import Account, Budget, Limited, Span, account
from app.users.store import named
from app.users.usage import KEPT_DAYS, Usage, date_of, day_of
from cache.errors import Away
from cache.link import Answer, RedisLink

_COUNTED: Final = ("requests", "held", "characters", "counts", "speaking", "reserved", "websockets")
"""Things that limits keep of a user."""
_SCANNED: Final = 1_000
"""Keys that Redis looks at in one trip."""
AT_ONCE: Final = 31
"""Days in one trip: a year of them would hold up everybody else's."""


class Known(msgspec.Struct, frozen=True):
    """A user of whom there is usage, and the last day (UTC) on which he had any."""

    user: str
    last_seen: str


class Removed(msgspec.Struct, frozen=True):
    """Days of usage that were deleted, counts of limits, and requests under an `Idempotency-Key`."""

    days: int
    counts: int
    requests: int


class Accounts:
    """Of all users. `now` is the time of day, in seconds."""

    def __init__(self, link: RedisLink, usage: Usage, *, now: Callable[[], float] = time.time) -> None:
        """`usage` is this process' own, which is written before anything is read."""
        self._link = link
        self._usage = usage
        self._now = now

    @property
    def today(self) -> date:
        """UTC."""
        return date_of(day_of(self._now()))

    async def of(self, user: str, span: Span) -> Account:
        """What he had within it, in this process up to now, in others up to about a second ago.

        Raises:
            Away: Redis does not answer.
        """
        await self._usage.flush()
        if self._usage.waits(user):
            raise Away("usage is not written")
        days: dict[str, Answer] = {}
        for start in range(0, len(span.days), AT_ONCE):
            some = span.days[start : start + AT_ONCE]
            pipe = self._link.client.pipeline(transaction=False)
            for name in some:
                pipe.hgetall(named("usage", user, name))
            days |= zip(some, await self._link.call(pipe.execute), strict=True)
        return account(user, days)

    async def limited(self, user: str, plan: str, limits: LimitTable) -> Limited:
        """What is left to him.

        Raises:
            Away: Redis does not answer.
        """
        now = datetime.fromtimestamp(self._now(), UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        tomorrow = midnight + timedelta(days=1)
        next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        spoken, spent = await self._counted(user)
        day, month = limits.characters_per_day, limits.spend_per_month
        return Limited(
            plan,
            None if day is None else Budget(day, max(0, day - spoken), _iso(tomorrow)),
            None
            if month is None
            else Budget(month, max(0.0, round(month - spent / MILLION, 6)), _iso(next_month)),
        )

    async def refused(self, user: str, limits: LimitTable, due: Due) -> RefrainError | None:
        """What it would be refused with if it was asked for now; None: it would not. Reserves nothing.

        What others of his are being spoken at once is not looked at, nor what he had within this minute.
        """
        try:
            spoken, spent = await self._counted(user)
        except Away:
            if limits.spend_per_month is None or not due.cost:
                return newcomer(limits, due)
            return UsersUnavailable(
                "Your budget cannot be checked at the moment. Try again.", retry_after=1.0
            )
        return _verdict(limits, due, spoken, spent, self._now())

    async def known(self) -> list[Known]:
        """All of whom there is usage.

        Raises:
            Away: Redis does not answer.
        """
        await self._usage.flush()
        client = self._link.client
        found: Answer = await self._link.call(lambda: client.zrange(named("users"), 0, -1, withscores=True))
        days = {str(user, "utf-8"): int(day) for user, day in found}
        return [Known(user, date_of(days[user]).isoformat()) for user in sorted(days)]

    async def forget(self, user: str) -> Removed:
        """Delete what there is of him but his keys and his sound. Begun again, it goes on where it stopped.

        Raises:
            Away: Redis does not answer; some may be left.
        """
        client, call, today = self._link.client, self._link.call, day_of(self._now())
        known = named("users")
        last = await call(lambda: client.zscore(known, user))
        newest = today + 1 if last is None else max(today + 1, int(last))  # clocks differ
        oldest = min(today, newest if last is None else int(last)) - KEPT_DAYS
        days = await self._usage.delete((user, day) for day in range(oldest, newest + 1))
        counts = 0
        for thing in _COUNTED:
            counts += await call(partial(client.delete, named(thing, user)))
        await self._delete_all(named("settled:*", user))
        requests = await self._delete_all(named("idempotency:*", user))
        # Last: as long as anything is left, he is listed.
        await call(lambda: client.zrem(known, user))
        return Removed(days, counts, requests)

    async def _delete_all(self, pattern: str) -> int:
        """Of what fits it: nobody keeps a list of what is gone by itself in a day."""
        call, count = self._link.call, 0
        for master in await self._link.masters():
            cursor = 0
            while True:
                cursor, names = await call(partial(master.scan, cursor, match=pattern, count=_SCANNED))
                for name in names:
                    count += await call(partial(self._link.client.unlink, name))
                if not cursor:
                    break
        return count

    async def _counted(self, user: str) -> tuple[int, int]:
        """Characters of today, and millionths of this month, reserved ones among them."""
        client = self._link.client
        names = ["day", "characters", "month", "money"]
        found = await self._link.call(lambda: client.hmget(named("counts", user), names))
        day, characters, month, money = (int(count or -1) for count in found)
        now = datetime.fromtimestamp(self._now(), UTC)
        spoken = characters if day == day_of(self._now()) else 0
        return max(0, spoken), max(0, money if month == now.year * 12 + now.month else 0)


@contextmanager
def reading() -> Iterator[None]:
    """For who asks by HTTP.

    Raises:
        UsersUnavailable: Redis does not answer within it.
    """
    try:
        yield
    except Away:
        raise UsersUnavailable("Usage cannot be read at the moment. Try again.", retry_after=1.0) from None


def newcomer(limits: LimitTable, due: Due) -> RefrainError | None:
    """What it would be refused with for somebody who has had nothing yet; None: it would not."""
    return _verdict(limits, due, 0, 0, 0.0)


def _verdict(limits: LimitTable, due: Due, spoken: int, spent: int, now: float) -> RefrainError | None:
    """In the order of `scripts/reserve.lua`."""
    budget, day, minute = limits.spend_per_month, limits.characters_per_day, limits.characters_per_minute
    if budget is not None and spent + math.ceil(due.cost * MILLION) > round(budget * MILLION):
        return refusal("budget", limits, None)
    if day is not None and spoken + due.characters > day:
        tomorrow = (day_of(now) + 1) * 86_400 - now
        return refusal("day", limits, None if due.characters > day else tomorrow)
    if minute is not None and due.characters > minute:
        return refusal("minute", limits, None)
    return None


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

"""What a user has had, and what is left to him: read, and forgotten."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from app.errors import RefrainError, UsersUnavailable
from app.settings.tables import LimitTable
from app.users.limits import MILLION, Due, refusal
from app.users.store import named
from app.users.usage import KEPT_DAYS, WRITER, Usage, date_of, day_of
from cache.errors import Away
from cache.link import Answer, RedisLink

_COUNTED: Final = ("requests", "characters", "counts", "speaking", "reserved")
"""Things that limits keep of a user."""


class Had(msgspec.Struct, frozen=True, kw_only=True):
    """`characters` were charged, `saved` were not. `hits` of the `chunks` were found, or somebody else's making.

    `spend` is what the others cost, `spared` what hits would have cost, in the currency of the prices.
    """

    characters: int
    saved: int
    chunks: int
    hits: int
    spend: float
    spared: float


class Asked(Had, frozen=True, kw_only=True):
    """The same with the `requests` that came to any speech."""

    requests: int


class Day(Asked, frozen=True, kw_only=True):
    """One day (UTC), by itself and by the voices that were asked for and the providers that spoke."""

    date: str
    voices: dict[str, Asked]
    providers: dict[str, Had]


class Budget(msgspec.Struct, frozen=True):
    """What there may be, and what is `left` of it until it is all there again; what is being spoken is taken out."""

    limit: float
    left: float
    resets: str


class Limited(msgspec.Struct, frozen=True):
    """What is left to a user with this plan. Null: no such limit."""

    plan: str
    characters_per_day: Budget | None
    spend_per_month: Budget | None


class Account(Asked, frozen=True, kw_only=True):
    """Of one user, `from` one day up `to` another and with it; days on which nothing was said are left out."""

    from_: str = msgspec.field(name="from")
    to: str
    user: str
    days: list[Day]
    limits: Limited | None = None


class Known(msgspec.Struct, frozen=True):
    """A user of whom there is usage, and the last day (UTC) on which he had any."""

    user: str
    last_seen: str


class Removed(msgspec.Struct, frozen=True):
    """Days of usage that were deleted, and counts of limits."""

    days: int
    counts: int


@dataclass(frozen=True, slots=True)
class Span:
    """From one day to another, both with it (UTC)."""

    first: date
    last: date

    @classmethod
    def of(cls, first: date | None, last: date | None, today: date) -> "Span":
        """Left out are the last one's month's first, and today.

        Raises:
            ValueError: it ends before it begins, or is longer than anything is kept; what to do, in a clause.
        """
        last = last or today
        first = first or last.replace(day=1)
        if first > last:
            raise ValueError(f"`from` ({first}) is behind `to` ({last}); write them the other way round")
        if (last - first).days > KEPT_DAYS:
            raise ValueError(f"`from` is more than {KEPT_DAYS} days before `to`; ask for less at once")
        return cls(first, last)

    @property
    def days(self) -> list[str]:
        """Each of them, in ISO 8601."""
        count = (self.last - self.first).days + 1
        return [(self.first + timedelta(days=number)).isoformat() for number in range(count)]


_Counts = Mapping[tuple[str, str, str], int]
"""By kind, voice and provider."""


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
        if not await self._usage.flush():
            raise Away("usage is not written")
        dates = span.days
        pipe = self._link.client.pipeline(transaction=False)
        for name in dates:
            pipe.hgetall(named("usage", user, name))
        answers = await self._link.call(pipe.execute)
        counts = [(name, _counts(answer)) for name, answer in zip(dates, answers, strict=True) if answer]
        total: Counter[tuple[str, str, str]] = Counter()
        for _, some in counts:
            total.update(some)
        return Account(
            from_=dates[0],
            to=dates[-1],
            user=user,
            days=[_day(name, some) for name, some in counts],
            **_asked(total),
        )

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
            if limits.spend_per_month is None:
                return None
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
        # Last: as long as anything is left, he is listed.
        await call(lambda: client.zrem(known, user))
        return Removed(days, counts)

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


def _counts(fields: Mapping[bytes, bytes]) -> _Counts:
    found = {}
    for name, count in fields.items():
        text = name.decode()
        if not text.startswith(WRITER):
            kind, voice, provider = text.split(":")
            found[kind, voice, provider] = int(count)
    return found


def _had(counts: _Counts) -> dict[str, Any]:
    sums: Counter[str] = Counter()
    for (kind, _, _), count in counts.items():
        sums[kind] += count
    whole = {kind: sums[kind] for kind in ("characters", "saved", "chunks", "hits")}
    return {**whole, "spend": sums["spend"] / MILLION, "spared": sums["spared"] / MILLION}


def _asked(counts: _Counts) -> dict[str, Any]:
    requests = sum(count for (kind, _, _), count in counts.items() if kind == "requests")
    return {"requests": requests, **_had(counts)}


def _day(name: str, counts: _Counts) -> Day:
    voices = {voice: Asked(**_asked(some)) for voice, some in _by(counts, 1)}
    providers = {provider: Had(**_had(some)) for provider, some in _by(counts, 2) if provider}
    return Day(date=name, voices=voices, providers=providers, **_asked(counts))


def _by(counts: _Counts, position: int) -> Iterator[tuple[str, _Counts]]:
    groups: defaultdict[str, dict[tuple[str, str, str], int]] = defaultdict(dict)
    for place, count in counts.items():
        groups[place[position]][place] = count
    yield from sorted(groups.items())


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

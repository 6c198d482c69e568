"""What one user has had, in the form in which he is told of it; read from what `usage` has written."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import msgspec

from app.users.limits import MILLION
from app.users.usage import KEPT_DAYS, WRITER


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


Counts = Mapping[tuple[str, str, str], int]
"""By kind, voice and provider."""


def account(user: str, days: Mapping[str, Mapping[bytes, bytes]]) -> Account:
    """From the hashes of all the days of a span, by date, in order; empty ones among them."""
    known = {name: _counts(fields) for name, fields in days.items() if fields}
    total: Counter[tuple[str, str, str]] = Counter()
    for some in known.values():
        total.update(some)
    dates = list(days)
    return Account(
        from_=dates[0],
        to=dates[-1],
        user=user,
        days=[_day(name, some) for name, some in known.items()],
        **_asked(total),
    )


def _counts(fields: Mapping[bytes, bytes]) -> Counts:
    found = {}
    for name, count in fields.items():
        text = name.decode()
        if not text.startswith(WRITER):
            kind, voice, provider = text.split(":")
            found[kind, voice, provider] = int(count)
    return found


def _had(counts: Counts) -> dict[str, Any]:
    sums: Counter[str] = Counter()
    for (kind, _, _), count in counts.items():
        sums[kind] += count
    whole = {kind: sums[kind] for kind in ("characters", "saved", "chunks", "hits")}
    return {**whole, "spend": sums["spend"] / MILLION, "spared": sums["spared"] / MILLION}


def _asked(counts: Counts) -> dict[str, Any]:
    requests = sum(count for (kind, _, _), count in counts.items() if kind == "requests")
    return {"requests": requests, **_had(counts)}


def _day(name: str, counts: Counts) -> Day:
    voices = {voice: Asked(**_asked(some)) for voice, some in _by(counts, 1)}
    providers = {provider: Had(**_had(some)) for provider, some in _by(counts, 2) if provider}
    return Day(date=name, voices=voices, providers=providers, **_asked(counts))


def _by(counts: Counts, position: int) -> Iterator[tuple[str, Counts]]:
    groups: defaultdict[str, dict[tuple[str, str, str], int]] = defaultdict(dict)
    for place, count in counts.items():
        groups[place[position]][place] = count
    yield from sorted(groups.items())

"""What users have had, by day, voice and provider: counted here, written behind.

In Redis a user's day is a hash, its fields are `kind:voice:provider` (`requests:voice:` has no provider). It has no
lifetime, since what has one may be evicted, and this is what bills are made of: days are deleted when their time is
over, by whoever writes next.
"""

import asyncio
import contextvars
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from logging import getLogger
from typing import Final

from app.users.limits import MILLION
from app.users.settling import SCRIPTS
from app.users.store import named
from app.users.tally import Line, Tally
from cache.errands import Errands
from cache.errors import Away
from cache.tending import keep_on, tell_of

log = getLogger("refrain")

KEPT_DAYS: Final = 400
"""Before today: thirteen months and a few days."""
EVERY: Final = 1.0
"""Seconds between two writings."""
WRITER: Final = "="
"""Begins the fields that are no counts, and no kind's name."""
_WAITING: Final = 10_000
"""Days of users that a process keeps while Redis is away, for when it is back."""
_AT_ONCE: Final = 100
_CLOSING_SECONDS: Final = 2.0
_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)


def day_of(seconds: float) -> int:
    """Days since 1970 (UTC), of seconds since then."""
    return int(seconds // _DAY)


def date_of(day: int) -> date:
    """The date of a day."""
    return _EPOCH + timedelta(days=day)


def key_of(user: str, day: int) -> str:
    """Where a user's day is."""
    return named("usage", user, date_of(day).isoformat())


@dataclass(slots=True)
class _Sums:
    """What was noted of a user's day and is not on its way yet. Requests by voice, lines by voice and provider."""

    requests: dict[str, int] = field(default_factory=dict)
    lines: dict[tuple[str, str], Line] = field(default_factory=dict)

    def increments(self) -> Iterator[str | int]:
        """Fields of the hash, and what is added to each."""
        for voice, count in self.requests.items():
            yield from (f"requests:{voice}:", count)
        for (voice, provider), line in self.lines.items():
            for kind, count in (
                ("characters", line.charged),
                ("saved", line.saved),
                ("chunks", line.chunks),
                ("hits", line.hits),
                ("spend", round(line.spend * MILLION)),
                ("spared", round(line.spared * MILLION)),
            ):
                if count:
                    yield from (f"{kind}:{voice}:{provider}", count)


@dataclass(frozen=True, slots=True)
class _Writing:
    """On its way, or sent without an answer: it is sent again as it was, and counts once."""

    user: str
    day: int
    number: int
    increments: tuple[str | int, ...]


class Usage:
    """Of this process, until it is written. `now` is the time of day, in seconds."""

    def __init__(
        self,
        errands: Errands,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._errands = errands
        self._now = now
        self._sleep = sleep
        self._script = errands.link.script("note", SCRIPTS)
        self._unseen = errands.link.script("unseen", SCRIPTS)
        self._writer = WRITER + secrets.token_hex(8)
        self._number = 0
        self._noted: dict[tuple[str, int], _Sums] = {}
        self._sent: list[_Writing] = []
        self._seen: dict[str, int] = {}
        self._lost = 0
        # One at a time: a writing whose answer is waited for must not be sent by another as well.
        self._lock = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    def note(self, user: str, tally: Tally) -> None:
        """One request, and what there was in it; nothing, if it came to nothing."""
        bill = tally.bill
        if not bill:
            return
        place = (user, day_of(self._now()))
        sums = self._noted.get(place)
        if sums is None:
            if len(self._noted) + len(self._sent) >= _WAITING:
                self._lose(1)
                return
            sums = self._noted[place] = _Sums()
        lines, chunks = sums.lines, 0
        for names, line in bill.items():
            before = lines.get(names)
            lines[names] = line if before is None else before.plus(line)
            chunks += line.chunks
        if chunks:  # else something was paid for that was no speech
            voice = names[0]  # a request is of one
            sums.requests[voice] = sums.requests.get(voice, 0) + 1
        # No await between looking and setting: what waits has one who writes it.
        if self._writing is None and not self._closed:
            self._writing = self._spawn()

    async def flush(self) -> bool:
        """Write what was noted; whether all of it is written. False: Redis is away, and it waits."""
        async with self._lock:
            await self._send()
            # Where one node of a cluster is away, or one user's day is damaged, nobody else waits.
            late = {(one.user, one.day) for one in self._sent}
            try:
                await self._register(dict(sorted(place for place in self._noted if place not in late)))
            except Away:
                return False
            # No await between taking and keeping: cancelled from here on, it waits under its number.
            self._number += 1
            self._sent += [
                _Writing(user, day, self._number, tuple(sums.increments()))
                for (user, day), sums in self._noted.items()
                if (user, day) not in late
            ]
            self._noted = {place: sums for place, sums in self._noted.items() if place in late}
            await self._send()
            return not (self._sent or self._noted)

    def waits(self, user: str) -> bool:
        """Whether something of his is not written."""
        return any(one.user == user for one in self._sent) or any(name == user for name, _ in self._noted)

    async def aclose(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Write what waits, within so many seconds or a few; what then still waits is lost. Idempotent."""
        self._closed = True
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _CLOSING_SECONDS)):
                await self.flush()
        self._lose(len(self._noted) + len(self._sent))
        self._noted, self._sent = {}, []

    async def _write(self) -> None:
        while self._noted or self._sent:
            await self._sleep(EVERY)
            await self.flush()
        # No await between finding nothing and this: who notes from now on begins another.
        self._writing = None

    async def _send(self) -> None:
        """Each once; those without an answer stay."""
        waiting, lost = self._sent, list[_Writing]()
        for start in range(0, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            answers = [
                self._errands.run(
                    self._script, [key_of(one.user, one.day)], [self._writer, one.number, *one.increments]
                )
                for one in some
            ]
            came = [await answer for answer in answers]
            # Nothing was taken out meanwhile: whoever sends has the lock.
            lost += [one for one, answer in zip(some, came, strict=True) if isinstance(answer, Away)]
            self._sent = [*lost, *waiting[start + _AT_ONCE :]]

    async def _register(self, users: Mapping[str, int]) -> None:
        """Have it known of whom there is something, before there is: nobody would find it to delete it.

        With that goes what is past its time: theirs, and of those who were not seen for as long.

        Raises:
            Away: Redis does not answer.
        """
        client, call = self._errands.link.client, self._errands.link.call
        known = named("users")
        if new := [user for user, day in users.items() if self._seen.get(user) != day]:
            # By Redis' clock: whose own is years ahead would delete everybody's bills.
            today, unseen = await call(lambda: self._unseen([known], [KEPT_DAYS]))
            past = int(today) - KEPT_DAYS
            gone = zip(unseen[::2], unseen[1::2], strict=True)
            last_seen = await call(lambda: client.zmscore(known, new))
            old = [(str(user, "utf-8"), int(last) + 1, int(last)) for user, last in gone]
            old += [
                (user, past, int(last)) for user, last in zip(new, last_seen, strict=True) if last is not None
            ]
            await self.delete(
                (user, day) for user, end, last in old for day in range(last - KEPT_DAYS, min(end, last + 1))
            )
            # Those who have come back meanwhile stay.
            await call(lambda: client.zremrangebyscore(known, "-inf", past - 1))
        if users:
            # Each time: who was forgotten a moment ago, and goes on, is known again.
            await call(lambda: client.zadd(known, dict(users), gt=True))
        if len(self._seen) >= _WAITING:
            self._seen.clear()
        self._seen.update(users)

    async def delete(self, days: Iterable[tuple[str, int]]) -> int:
        """Delete users' days; how many there were.

        Raises:
            Away: Redis does not answer; some may have been deleted.
        """
        keys = [key_of(user, day) for user, day in days]
        count = 0
        for start in range(0, len(keys), KEPT_DAYS):
            pipe = self._errands.link.client.pipeline(transaction=False)
            for key in keys[
                start : start + KEPT_DAYS
            ]:  # one by one: in a cluster each is in a slot of its own
                pipe.unlink(key)
            count += sum(await self._errands.link.call(pipe.execute))
        return count

    def _lose(self, count: int) -> None:
        if count and not self._lost:
            log.warning("usage of some users could not be written, and is lost: Redis is away")
        self._lost += count

    def _spawn(self) -> "asyncio.Task[None]":
        work = keep_on("usage", self._write, self._sleep)
        task = asyncio.get_running_loop().create_task(work, name="usage", context=contextvars.Context())
        task.add_done_callback(tell_of("usage"))
        return task

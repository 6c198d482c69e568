"""What users have had: counted once, whatever becomes of Redis, and kept as long as is said."""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from app.settings.tables import NO_LIMITS, LimitTable
from app.users import usage as module
from app.users.accounts import Accounts, newcomer
from app.users.limits import Due, Limits
from app.users.statement import Account, Span
from app.users.store import of_user
from app.users.tally import Line, Tally
from app.users.usage import KEPT_DAYS, Usage, day_of, key_of
from app.users.user import User
from cache.errands import Errands
from cache.errors import Away
from cache.link import Answer, RedisLink, Script
from tests.cache.fleet import cluster
from tests.cache.proxy import Proxy, proxied
from tests.http.servers import AS_SHIPPED, UNHURT, Valkey, until

MADE = Line(charged=20, spend=0.0002, chunks=2)
FOUND = Line(saved=10, spared=0.0001, chunks=1, hits=1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
TODAY = date(2026, 11, 24)
DAY = 86_400


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A Valkey for all tests of this file."""
    with tempfile.TemporaryDirectory() as home:
        server = Valkey(Path(home))
        yield server
        server.stop()


@dataclass(slots=True)
class Clock:
    """The time of day, and a sleep that lasts until it is told to end."""

    seconds: float = NOON
    pauses: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)

    def now(self) -> float:
        """For what counts days."""
        return self.seconds

    async def sleep(self, _seconds: float) -> None:
        """However long was asked for."""
        await self.pauses.get()


@dataclass(frozen=True, slots=True)
class Process:
    """What one process has of usage."""

    clock: Clock
    link: RedisLink
    usage: Usage
    accounts: Accounts

    async def account(self, user: str = "ada", first: date = TODAY, last: date = TODAY) -> Account:
        """What is known of a user."""
        return await self.accounts.of(user, Span(first, last))


@asynccontextmanager
async def process(url: str, clock: Clock, patience: float = UNHURT) -> AsyncIterator[Process]:
    """One process on this Redis, for which it waits so many seconds."""
    link = RedisLink(url, timeout=patience)
    errands = Errands(link)
    usage = Usage(errands, now=clock.now, sleep=clock.sleep)
    try:
        yield Process(clock, link, usage, Accounts(link, usage, now=clock.now))
    finally:
        await usage.aclose(0.1)
        await errands.aclose()
        await link.aclose()


@pytest.fixture
async def one(valkey: Valkey) -> AsyncIterator[Process]:
    """A process with an empty Redis."""
    valkey.command("FLUSHALL")
    async with process(valkey.url, Clock()) as running:
        yield running


@pytest.fixture
async def proxy(valkey: Valkey) -> AsyncIterator[Proxy]:
    """A network that misbehaves, in front of an empty Redis."""
    valkey.command("FLUSHALL")
    async with proxied(valkey.socket) as between:
        yield between


def tally(*lines: Line, voice: str = "narrator", provider: str = "eleven") -> Tally:
    """Of one request."""
    noted = Tally()
    for line in lines:
        noted.add(voice, provider, line)
    return noted


def keys(valkey: Valkey) -> str:
    """All names in Redis."""
    return valkey.command("KEYS", "*").decode()


async def test_is_counted_by_day_voice_and_provider(one: Process):
    """The bill would be wrong, or nobody could tell which voice it is for."""
    one.usage.note("ada", tally(MADE, FOUND))
    one.usage.note("ada", tally(FOUND, voice="reader", provider="aws"))
    one.usage.note("bob", tally(MADE))
    found = await one.account()
    assert (found.requests, found.characters, found.saved, found.chunks, found.hits) == (2, 20, 20, 4, 2)
    assert (found.spend, found.spared) == (0.0002, 0.0002)
    (day,) = found.days
    assert day.date == "2026-11-24"
    assert {name: (of.requests, of.characters, of.hits) for name, of in day.voices.items()} == {
        "narrator": (1, 20, 1),
        "reader": (1, 0, 1),
    }
    assert {name: (of.characters, of.saved, of.spend) for name, of in day.providers.items()} == {
        "aws": (0, 10, 0.0),
        "eleven": (20, 10, 0.0002),
    }


async def test_is_written_behind_by_a_task_of_its_own(one: Process, valkey: Valkey):
    """Every hit would wait for a trip to Redis, or what a process has counted would end with it."""
    for _ in range(3):
        one.usage.note("ada", tally(MADE))
    await asyncio.sleep(0)
    assert keys(valkey) == "*0\r\n"
    one.clock.pauses.put_nowait(None)
    async with process(valkey.url, one.clock) as another:
        await written(another, 3)
        one.usage.note("ada", tally(MADE))  # its task has ended, or is about to: another begins
        one.clock.pauses.put_nowait(None)
        one.clock.pauses.put_nowait(None)
        await written(another, 4)


@pytest.mark.parametrize("fault", ["lose", "snap"])
async def test_a_lost_answer_counts_once(proxy: Proxy, valkey: Valkey, fault: str):
    """Whoever speaks while the network hiccups would be billed twice."""
    async with process(proxy.url, Clock(), AS_SHIPPED) as one, process(valkey.url, one.clock) as another:
        one.usage.note("ada", tally(MADE))
        assert await one.usage.flush()
        one.usage.note("ada", tally(MADE))
        await proxy.switch(fault, when=lambda request: b"characters:" in request)  # type: ignore[arg-type]
        assert not await one.usage.flush()
        assert (await another.account()).requests == 2  # it has run
        one.usage.note("ada", tally(MADE))
        await proxy.switch("pass")
        await flushed(one)
        assert (await another.account()).requests == 3
        assert (await another.account()).characters == 60


async def flushed(one: Process) -> None:
    """Once Redis is heard of again."""
    while not await one.usage.flush():  # noqa: ASYNC110 - its circuit has no event
        await asyncio.sleep(0.01)


async def written(another: Process, requests: int) -> None:
    """Once there are so many in Redis."""
    while (await another.account()).requests < requests:  # noqa: ASYNC110 - nor has Redis
        await asyncio.sleep(0.001)


async def test_nothing_is_lost_while_redis_is_away(proxy: Proxy):
    """An outage of a minute would be a minute that nobody pays for."""
    async with process(proxy.url, Clock(), AS_SHIPPED) as one:
        await proxy.switch("refuse")
        one.usage.note("ada", tally(MADE))
        assert not await one.usage.flush()
        one.clock.seconds += DAY
        one.usage.note("ada", tally(MADE))
        one.usage.note("bob", tally(MADE))
        assert not await one.usage.flush()
        with pytest.raises(Away):
            await one.account()
        await proxy.switch("pass")
        await flushed(one)
        found = await one.account("ada", TODAY, date(2026, 11, 25))
        assert [(day.date, day.requests) for day in found.days] == [("2026-11-24", 1), ("2026-11-25", 1)]
        assert (await one.account("bob", TODAY, date(2026, 11, 25))).requests == 1


async def test_one_damaged_day_costs_nobody_else_his(one: Process, valkey: Valkey):
    """What cannot be written of one user would keep everybody's from being written, until the process ends."""
    day = key_of("ada", day_of(NOON))
    valkey.command("SET", day, "damaged")
    for _ in range(3):
        for user in ("ada", "bob"):
            one.usage.note(user, tally(MADE))
        assert not await one.usage.flush()
    assert (await one.account("bob")).requests == 3
    with pytest.raises(Away):
        await one.account("ada")
    valkey.command("DEL", day)
    assert await one.usage.flush()
    assert (await one.account("ada")).requests == 3


async def test_what_waits_is_bounded(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A long outage would take all memory; the operator would not hear that something is missing."""
    monkeypatch.setattr(module, "_WAITING", 2)
    async with process(proxy.url, Clock(), AS_SHIPPED) as one:
        await proxy.switch("refuse")
        for user in ("ada", "bob", "canary-user", "canary-other"):
            one.usage.note(user, tally(MADE))
        await proxy.switch("pass")
        await flushed(one)
        assert [known.user for known in await one.accounts.known()] == ["ada", "bob"]
    assert caplog.text.count("is lost") == 1
    assert "canary" not in caplog.text


async def test_a_flush_that_is_cancelled_loses_and_repeats_nothing(proxy: Proxy, valkey: Valkey):
    """A client who closes the page of his usage would have his requests forgotten, or counted twice."""
    async with process(proxy.url, Clock(), AS_SHIPPED) as one, process(valkey.url, one.clock) as another:
        one.usage.note("bob", tally(MADE))
        await one.usage.flush()
        one.usage.note("ada", tally(MADE))
        await proxy.switch("delay", seconds=0.05, when=lambda request: b"characters:" in request)
        flushing = asyncio.create_task(one.usage.flush())
        await proxy.struck.wait()
        flushing.cancel()
        await asyncio.wait([flushing])
        await proxy.switch("pass")
        await flushed(one)
        assert (await another.account()).requests == 1


class Held(Errands):
    """Errands whose answers the test gives: no network answers in an order that it is told."""

    asked: "list[tuple[list[str | bytes | int], asyncio.Future[Answer | Away]]]"

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]):  # type: ignore[no-untyped-def]
        """Keeps it."""
        self.asked.append(([*keys, *arguments], asyncio.get_running_loop().create_future()))
        return self.asked[-1][1]


async def test_two_who_flush_at_once_send_one_after_the_other(one: Process):
    """The task and somebody's look at his usage meet: a late answer would have it counted twice."""
    held = Held(one.link)
    held.asked = []
    usage = Usage(held, now=one.clock.now, sleep=one.clock.sleep)
    usage.note("ada", tally(MADE))
    flushing = [asyncio.create_task(usage.flush()) for _ in range(2)]
    await until(lambda: bool(held.asked))
    usage.note("ada", tally(MADE))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(held.asked) == 1
    held.asked[0][1].set_result(Away("lost"))
    await until(lambda: len(held.asked) == 2)
    assert held.asked[1][0] == held.asked[0][0]  # the same under the same number
    held.asked[1][1].set_result(1)
    await until(lambda: len(held.asked) == 3)
    held.asked[2][1].set_result(1)
    assert await asyncio.gather(*flushing) == [False, True]
    await usage.aclose()


async def test_closing_writes_what_waits(valkey: Valkey):
    """Each restart would cost the last second of everybody's usage."""
    valkey.command("FLUSHALL")
    async with process(valkey.url, Clock()) as one:
        one.usage.note("ada", tally(MADE))
    async with process(valkey.url, Clock()) as another:
        assert (await another.account()).requests == 1


async def test_is_the_same_in_a_cluster(tmp_path: Path):
    """A user's days are in slots of several nodes: some would be missing from his bill, or outlive him."""
    with cluster(tmp_path) as nodes:
        async with process(nodes.url, Clock()) as one:
            for days in range(40):
                one.clock.seconds = NOON - days * DAY
                one.usage.note("ada", tally(MADE))
            one.clock.seconds = NOON
            await flushed(one)
            found = await one.account("ada", date(2026, 10, 1))
            assert (found.requests, len(found.days)) == (40, 40)
            for number in range(8):
                await one.link.client.set(of_user("idempotency", "ada", str(number)), "kept")
            await one.link.client.set(of_user("idempotency", "bob", "1"), "kept")
            removed = await one.accounts.forget("ada")
            assert (removed.days, removed.requests) == (40, 8)
            assert await one.accounts.known() == []


async def test_what_came_to_nothing_is_no_request(one: Process):
    """A refused or failed request would stand on the bill."""
    one.usage.note("ada", tally())
    assert (await one.account()).requests == 0
    assert await one.accounts.known() == []


async def test_no_name_of_a_user_or_voice_is_in_a_key(one: Process, valkey: Valkey):
    """Names of keys are seen by everybody who may look at Redis, its slow log and its monitor."""
    one.usage.note("canary-user", tally(MADE, voice="canary-voice", provider="canary-provider"))
    await one.usage.flush()
    assert "refrain-users:1:usage" in keys(valkey)
    assert "canary" not in keys(valkey)


async def test_days_are_kept_for_their_time_and_cannot_be_evicted(one: Process, valkey: Valkey):
    """Bills would be thrown out to make room for sound, or what users said be kept for ever."""
    now = time.time()
    one.clock.seconds = now - (KEPT_DAYS + 1) * DAY
    for user in ("gone", "here"):
        one.usage.note(user, tally(MADE))
    one.clock.seconds += DAY
    one.usage.note("here", tally(MADE))
    await one.usage.flush()
    days = [line for line in keys(valkey).split("\r\n") if ":usage:" in line]
    assert len(days) == 3
    assert all(valkey.command("TTL", key) == b":-1\r\n" for key in days)
    # Four hundred days later: the day before is over, the last one is not, and who was never seen again is unknown.
    one.clock.seconds = now
    one.usage.note("here", tally(MADE))
    await one.usage.flush()
    assert keys(valkey).count(":usage:") == 2
    assert [known.user for known in await one.accounts.known()] == ["here"]


async def test_a_clock_that_is_ahead_deletes_nothing(one: Process, valkey: Valkey):
    """One server whose clock was set wrong would delete the bills of all users, of all servers."""
    one.clock.seconds = time.time()
    for user in ("ada", "bob"):
        one.usage.note(user, tally(MADE))
    await one.usage.flush()
    one.clock.seconds += 3 * KEPT_DAYS * DAY
    one.usage.note("ada", tally(MADE))
    await one.usage.flush()
    assert keys(valkey).count(":usage:") == 3
    assert [known.user for known in await one.accounts.known()] == ["ada", "bob"]


async def test_whoever_is_forgotten_leaves_nothing(one: Process, valkey: Valkey):
    """A user's right to be forgotten would end at the second look into Redis."""
    limits = Limits(Errands(one.link), lambda _plan: LimitTable(spend_per_month=1.0))
    entrance = limits.enter(User("ada", "user", "default", "", ""))
    await limits.admit(entrance)
    hold = await limits.reserve(entrance, Due(10, 0.1), Tally())
    for days in (0, 3, KEPT_DAYS):
        one.clock.seconds = NOON - days * DAY
        one.usage.note("ada", tally(MADE))
        await one.usage.flush()
    one.clock.seconds = NOON
    removed = await one.accounts.forget("ada")
    assert (removed.days, removed.counts) == (3, 5)
    assert keys(valkey) == "*0\r\n"
    again = await one.accounts.forget("ada")
    assert (again.days, again.counts) == (0, 0)
    hold.settle()
    await limits.aclose()
    # What is settled late brings nothing back but that it was, by a hash, for two minutes.
    (left,) = re.findall(r"refrain-users:1:settled:\S+", keys(valkey))
    assert keys(valkey).startswith("*1\r\n")
    assert 0 < int(valkey.command("TTL", left)[1:]) <= 120
    valkey.command("DEL", left)
    one.usage.note("ada", tally(MADE))
    await one.usage.flush()
    assert [known.user for known in await one.accounts.known()] == ["ada"]  # who goes on is known again


class Failing(RedisLink):
    """Redis that goes away after so many calls."""

    calls = 0

    async def call(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        """As the link's own, a few times."""
        if not self.calls:
            raise Away("failing")
        self.calls -= 1
        return await super().call(operation)


async def test_forgetting_goes_on_where_it_was_interrupted(one: Process, valkey: Valkey):
    """A command that dies half-way would leave what no later one finds."""
    calls = 0
    while True:
        one.usage.note("ada", tally(MADE))
        await one.usage.flush()
        link = Failing(valkey.url, timeout=UNHURT)
        link.calls = calls
        half = Accounts(link, Usage(Errands(link), now=one.clock.now), now=one.clock.now)
        try:
            await half.forget("ada")
        except Away:
            assert [known.user for known in await one.accounts.known()] == ["ada"]
            await one.accounts.forget("ada")
        else:
            break
        finally:
            await link.aclose()
        assert keys(valkey) == "*0\r\n"
        calls += 1
    assert calls > 5


LIMITS = LimitTable(characters_per_day=100, characters_per_minute=90, spend_per_month=0.5)


@pytest.mark.parametrize(
    ("due", "code"),
    [
        (Due(30, 0.1), None),
        (Due(31, 0.1), "characters_exceeded"),
        (Due(101, 0.1), "characters_exceeded"),
        (Due(30, 0.2001), "budget_exceeded"),
    ],
)
async def test_the_dry_run_says_what_would_be_said(valkey: Valkey, due: Due, code: str | None):
    """A plan would promise what is refused, or refuse what is not."""
    valkey.command("FLUSHALL")
    async with desk(valkey.url) as (accounts, reserve):
        await reserve(Due(70, 0.3))
        foretold = await accounts.refused("ada", LIMITS, due)
        if code is None:
            assert foretold is None
            await reserve(due)
            return
        assert foretold is not None
        assert foretold.row.code == code
        with pytest.raises(type(foretold)) as refused:
            await reserve(due)
        assert refused.value.message == foretold.message


@asynccontextmanager
async def desk(url: str) -> AsyncIterator[tuple[Accounts, Callable[[Due], Awaitable[object]]]]:
    """What is left to a user by the real clock, and his requests."""
    link = RedisLink(url, timeout=UNHURT)
    errands = Errands(link)
    usage = Usage(errands)
    limits = Limits(errands, lambda _plan: LIMITS.model_copy(update={"characters_per_minute": None}))
    user = User("ada", "user", "default", "", "")

    async def reserve(due: Due) -> object:
        return await limits.reserve(limits.enter(user), due, Tally())

    try:
        yield Accounts(link, usage), reserve
    finally:
        await limits.aclose()
        await errands.aclose()
        await link.aclose()


def test_a_newcomer_is_refused_what_no_plan_has_room_for():
    """A text that can never be spoken would look as if it could, before the first request."""
    assert newcomer(LIMITS, Due(90, 0.5)) is None
    for due, code in ((Due(91, 0.1), "characters_exceeded"), (Due(1, 0.51), "budget_exceeded")):
        refused = newcomer(LIMITS, due)
        assert refused is not None
        assert refused.row.code == code
        assert refused.hopeless
    assert newcomer(NO_LIMITS, Due(10**9, 1e9)) is None


async def test_what_is_left_is_told(valkey: Valkey):
    """Who spends a budget could not see its end coming."""
    valkey.command("FLUSHALL")
    async with desk(valkey.url) as (accounts, reserve):
        await reserve(Due(70, 0.3))
        left = await accounts.limited("ada", "default", LIMITS)
        assert left.characters_per_day is not None
        assert left.spend_per_month is not None
        assert (left.characters_per_day.limit, left.characters_per_day.left) == (100, 30)
        assert (left.spend_per_month.limit, left.spend_per_month.left) == (0.5, 0.2)
        fresh = await accounts.limited("bob", "default", LIMITS)
        assert fresh.characters_per_day is not None
        assert fresh.characters_per_day.left == 100


async def test_what_is_left_comes_back_with_the_day_and_the_month(valkey: Valkey):
    """A page would say that nothing is left when it is all there again."""
    valkey.command("FLUSHALL")
    async with desk(valkey.url) as (_, reserve):
        await reserve(Due(70, 0.3))
        link = RedisLink(valkey.url, timeout=UNHURT)
        later = datetime.now(UTC).timestamp() + 32 * DAY
        accounts = Accounts(link, Usage(Errands(link)), now=lambda: later)
        left = await accounts.limited("ada", "default", LIMITS)
        await link.aclose()
        assert left.characters_per_day is not None
        assert left.spend_per_month is not None
        assert (left.characters_per_day.left, left.spend_per_month.left) == (100, 0.5)
        assert left.characters_per_day.resets > datetime.fromtimestamp(later, UTC).isoformat()
        assert left.spend_per_month.resets.endswith("-01T00:00:00Z")


def test_hits_that_are_charged_stand_on_the_bill():
    """Where hits are charged they would be free, or be counted twice."""
    noted = Tally(counting="all")
    for line in (MADE, FOUND):
        noted.add("narrator", "eleven", line)
    assert noted.sum == Line(30, 0, 0.0002, 0.0001, 3, 1)
    noted.look_again()
    noted.add("narrator", "eleven", FOUND)
    assert noted.sum == Line(30, 0, 0.0002, 0.0001, 3, 1)
    noted.add("narrator", "eleven", FOUND.taken_back)
    assert noted.sum == MADE


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (None, None, ("2026-11-01", 24)),
        (None, date(2026, 2, 3), ("2026-02-01", 3)),
        (date(2026, 11, 20), None, ("2026-11-20", 5)),
        (date(2025, 10, 20), None, ("2025-10-20", KEPT_DAYS + 1)),
    ],
)
def test_a_span_is_this_month_unless_it_is_said(first: date | None, last: date | None, days: tuple[str, int]):
    """Who asks for nothing in particular would get everything, or nothing."""
    span = Span.of(first, last, TODAY).days
    assert (span[0], len(span)) == days


async def test_noting_tends_itself(one: Process):
    """A task would be left behind at the end, or the second request's usage never be written."""
    one.usage.note("ada", tally(MADE))
    one.clock.pauses.put_nowait(None)
    await until(lambda: one.usage._writing is None)
    one.usage.note("ada", tally(MADE))
    assert one.usage._writing is not None

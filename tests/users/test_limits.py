"""How much users may have: counted once, over all processes, and given back."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from app.errors import (
    BudgetExceeded,
    CharactersExceeded,
    RateLimited,
    TooManyConcurrent,
    UsersUnavailable,
)
from app.settings.tables import NO_LIMITS, LimitTable
from app.users import limits as limits_module
from app.users.limits import Due, Entrance, Limits
from app.users.purse import Purse
from app.users.store import named
from app.users.tally import Line, Tally
from app.users.user import User
from cache.errands import Errands
from cache.link import RedisLink
from tests.cache.conftest import Server
from tests.http.servers import until


def having(**limits: object) -> LimitTable:
    """Only these limits."""
    return NO_LIMITS.model_copy(update=limits)


@asynccontextmanager
async def counting(
    errands: Errands, table: LimitTable, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Limits]:
    """One process' limits."""
    limits = Limits(errands, lambda _: table, clock=clock)
    yield limits
    await limits.aclose()


@asynccontextmanager
async def replicas(
    valkey: Server, table: LimitTable, count: int, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[list[Limits]]:
    """As many, each with connections of its own."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            link = RedisLink(valkey.url, timeout=5)
            stack.push_async_callback(link.aclose)
            errands = Errands(link)
            stack.push_async_callback(errands.aclose)
            made.append(await stack.enter_async_context(counting(errands, table, clock)))
        yield made


async def admitted(limits: Limits, user: User) -> bool:
    """Whether a request is."""
    try:
        await limits.admit(limits.enter(user))
    except RateLimited:
        return False
    return True


async def reserved(limits: Limits, user: User, due: Due, tally: Tally | None = None) -> limits_module.Hold:
    """Entered and reserved."""
    entrance = limits.enter(user)
    await limits.admit(entrance)
    return await limits.reserve(entrance, due, tally or Tally())


async def settled(limits: Limits) -> None:
    """Until what has ended is counted."""
    await until(lambda: limits.settled)


class TestRequests:
    """Requests in a minute."""

    @pytest.mark.parametrize("room", [1, 7, 100])
    async def test_exactly_so_many_are_let_in_over_four_processes(
        self, valkey: Server, user: User, room: int
    ):
        """A limit that counts for each replica is four times what the operator wrote."""
        async with replicas(valkey, having(requests_per_minute=room), 4) as four:
            asked = [admitted(four[number % 4], user) for number in range(5 * room)]
            assert sum(await asyncio.gather(*asked)) == room

    async def test_users_are_counted_apart(self, errands: Errands, user: User):
        """One user's flood would be everybody's."""
        other = User(user.id + "2", "user", "default", "", "")
        async with counting(errands, having(requests_per_minute=2)) as limits:
            assert [await admitted(limits, user) for _ in range(3)] == [True, True, False]
            assert await admitted(limits, other)

    async def test_a_larger_plan_is_not_refused_for_a_smaller_one(self, errands: Errands, user: User):
        """Who has a token of a small plan, and floods with it, would shut out his own key of a large one."""
        large = replace(user, plan="large")
        limits = Limits(errands, lambda plan: having(requests_per_minute=100 if plan == "large" else 1))
        assert [await admitted(limits, user) for _ in range(2)] == [True, False]
        with pytest.raises(RateLimited):
            limits.recall(user)
        limits.recall(large)
        assert await admitted(limits, large)
        await limits.aclose()

    async def test_who_is_refused_hears_when_to_come_back(self, errands: Errands, user: User):
        """A client that comes back at once makes a storm of a limit."""
        async with counting(errands, having(requests_per_minute=6)) as limits:
            entrances = [limits.enter(user) for _ in range(6)]
            for entrance in entrances:
                await limits.admit(entrance)
            # Those that leave together need not arrive in order where the server has to be sent the script first.
            told = {dict(entrance.headers)["RateLimit"].split(";")[1] for entrance in entrances}
            assert told == {f"r={left}" for left in range(6)}
            refused = limits.enter(user)
            with pytest.raises(RateLimited) as caught:
                await limits.admit(refused)
        error = caught.value
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 10
        told = dict(error.headers)
        assert told["RateLimit-Policy"] == '"requests";q=6;w=60'
        assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("6", "0")

    async def test_who_was_refused_is_refused_at_once(self, errands: Errands, user: User):
        """A flood beyond the limit would have every text of it read, and Redis asked each time."""
        clock = TestPaidAhead.Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=1), clock=clock)
        limits.recall(user)
        assert [await admitted(limits, user) for _ in range(2)] == [True, False]
        clock.now += 0.5
        with pytest.raises(RateLimited) as caught:
            limits.recall(user)
        assert caught.value.retry_after is not None
        assert 9 < caught.value.retry_after <= 60
        assert dict(caught.value.headers)["x-ratelimit-remaining-requests"] == "0"
        limits.recall(User(user.id + "2", "user", "default", "", ""))
        clock.now += 0.6  # he may have been given more meanwhile
        limits.recall(user)
        await limits.aclose()

    async def test_the_bucket_is_refilled_in_six_steps(self, link: RedisLink, errands: Errands, user: User):
        """Who used up his minute would wait for all of it."""
        async with counting(errands, having(requests_per_minute=6)) as limits:
            assert all([await admitted(limits, user) for _ in range(6)])
            assert not await admitted(limits, user)
            key = named("requests", user.id)
            since = int(await link.client.hget(key, "since"))
            await link.client.hset(key, "since", since - 20_000)  # as if 20 seconds had passed
            assert [await admitted(limits, user) for _ in range(3)] == [True, True, False]

    async def test_thirds_of_a_request_are_nobodys(self, link: RedisLink, errands: Errands, user: User):
        """Refills that do not add up to a whole would lose or give away a request now and then."""
        async with counting(errands, having(requests_per_minute=4)) as limits:
            key = named("requests", user.id)
            let_in = 0
            for _ in range(13):
                let_in += sum([await admitted(limits, user) for _ in range(5)])
                since = int(await link.client.hget(key, "since"))
                await link.client.hset(key, "since", since - 10_000)
            assert let_in == 4 + 12 * 4 // 6

    async def test_without_a_limit_nobody_is_asked(self, errands: Errands, user: User):
        """Who is not limited would pay a trip for each request."""
        async with counting(errands, NO_LIMITS) as limits:
            entrance = limits.enter(user)
            await limits.admit(entrance)
            assert (entrance.asked, entrance.headers, errands.take()) == (None, (), [])


class TestCharacters:
    """Characters in a minute and a day: only those that are spoken anew."""

    async def test_what_was_not_spoken_is_given_back(self, errands: Errands, user: User):
        """A provider's failure would use up the user's limit."""
        async with counting(errands, having(characters_per_minute=100, characters_per_day=1000)) as limits:
            hold = await reserved(limits, user, Due(100, 0.0))
            with pytest.raises(CharactersExceeded):
                await reserved(limits, user, Due(1, 0.0))
            hold.settle()
            hold.settle()
            await settled(limits)
            (await reserved(limits, user, Due(100, 0.0))).settle()

    async def test_what_was_spoken_stays_counted(self, errands: Errands, user: User):
        """A limit that forgets is none."""
        async with counting(errands, having(characters_per_minute=100)) as limits:
            tally = Tally()
            hold = await reserved(limits, user, Due(100, 0.0), tally)
            tally.add("default", "first", Line(charged=60))
            hold.settle()
            await settled(limits)
            with pytest.raises(CharactersExceeded) as caught:
                await reserved(limits, user, Due(41, 0.0))
            assert dict(caught.value.headers)["x-ratelimit-remaining-tokens"] == "40"
            await reserved(limits, user, Due(40, 0.0))

    async def passed(self, link: RedisLink, user: User, seconds: int) -> None:
        """As if so much time had passed."""
        key = named("characters", user.id)
        since = int(await link.client.hget(key, "since"))
        await link.client.hset(key, "since", since - 1_000 * seconds)

    async def test_what_was_refilled_meanwhile_is_not_given_back_again(
        self, link: RedisLink, errands: Errands, user: User
    ):
        """Who reserves for a minute and has nothing spoken would have the next minute's characters twice."""
        async with counting(errands, having(characters_per_minute=600)) as limits:
            hold = await reserved(limits, user, Due(600, 0.0))
            await self.passed(link, user, 60)
            tally = Tally()
            spoken = await reserved(limits, user, Due(600, 0.0), tally)
            tally.add("default", "first", Line(charged=600))
            hold.settle()
            spoken.settle()
            await settled(limits)
            with pytest.raises(CharactersExceeded):
                await reserved(limits, user, Due(1, 0.0))

    async def test_of_a_bucket_in_use_all_is_given_back(self, link: RedisLink, errands: Errands, user: User):
        """What others have had made would use up the minute of who waited for it for more than ten seconds."""
        async with counting(errands, having(characters_per_minute=600)) as limits:
            tally = Tally()
            before = await reserved(limits, user, Due(300, 0.0), tally)
            tally.add("default", "first", Line(charged=300))
            before.settle()
            hold = await reserved(limits, user, Due(200, 0.0))
            await settled(limits)
            await self.passed(link, user, 10)
            # Of 500 there are 400 left, to which 150 come: 350 when the 200 are given back.
            behind = Tally()
            last = await reserved(limits, user, Due(150, 0.0), behind)
            behind.add("default", "first", Line(charged=150))
            last.settle()
            hold.settle()
            await settled(limits)
            assert float(await link.client.hget(named("characters", user.id), "used")) == 350

    async def test_a_text_that_never_fits_is_told_so(self, errands: Errands, user: User):
        """A client would try it every minute for ever."""
        async with counting(errands, having(characters_per_minute=100, characters_per_day=50)) as limits:
            with pytest.raises(CharactersExceeded) as caught:
                await reserved(limits, user, Due(60, 0.0))
            assert caught.value.hopeless
        async with counting(errands, having(characters_per_minute=100)) as limits:
            with pytest.raises(CharactersExceeded) as caught:
                await reserved(limits, user, Due(101, 0.0))
            assert caught.value.hopeless

    async def test_a_day_ends_at_midnight(self, link: RedisLink, errands: Errands, user: User):
        """Yesterday's characters would be counted today, or today's forgotten."""
        async with counting(errands, having(characters_per_day=100)) as limits:
            tally = Tally()
            hold = await reserved(limits, user, Due(100, 0.0), tally)
            tally.add("default", "first", Line(charged=100))
            hold.settle()
            await settled(limits)
            with pytest.raises(CharactersExceeded) as caught:
                await reserved(limits, user, Due(1, 0.0))
            assert caught.value.retry_after is not None
            assert caught.value.retry_after <= 86_400
            key = named("counts", user.id)
            today = int(await link.client.hget(key, "day"))
            await link.client.hset(key, "day", today - 1)
            await reserved(limits, user, Due(100, 0.0))


class TestConcurrent:
    """Requests that are being spoken at once."""

    async def test_places_are_shared_by_all_processes(self, valkey: Server, user: User):
        """Twenty at once would be twenty for each replica."""
        async with replicas(valkey, having(concurrent_requests=3), 2) as (one, two):
            holds = [await reserved(limits, user, Due(1, 0.0)) for limits in (one, two, one)]
            with pytest.raises(TooManyConcurrent) as caught:
                await reserved(two, user, Due(1, 0.0))
            assert caught.value.retry_after == 1.0
            holds[0].settle()
            await settled(one)
            await reserved(two, user, Due(1, 0.0))

    async def test_places_of_a_process_that_was_killed_come_back(
        self, valkey: Server, user: User, monkeypatch: pytest.MonkeyPatch
    ):
        """A crash would lock its users out for good."""
        monkeypatch.setattr(limits_module, "LEASE", 0.3)
        async with replicas(valkey, having(concurrent_requests=1), 2) as (dead, alive):
            await reserved(dead, user, Due(1, 0.0))
            assert dead._lengthening is not None
            dead._lengthening.cancel()  # as if it was gone
            while True:
                try:
                    await reserved(alive, user, Due(1, 0.0))
                except TooManyConcurrent:
                    await asyncio.sleep(0.02)
                else:
                    break

    async def test_places_are_kept_by_who_lives(
        self, valkey: Server, user: User, monkeypatch: pytest.MonkeyPatch
    ):
        """A long speech would lose its place, and its user have more at once than he may."""
        monkeypatch.setattr(limits_module, "LEASE", 0.6)
        async with replicas(valkey, having(concurrent_requests=1), 2) as (one, two):
            await reserved(one, user, Due(1, 0.0))
            for _ in range(20):
                with pytest.raises(TooManyConcurrent):
                    await reserved(two, user, Due(1, 0.0))
                await asyncio.sleep(0.06)  # two leases in all


class TestBudget:
    """Money in a month."""

    async def test_it_is_never_passed(self, valkey: Server, user: User):
        """A budget that is checked and then spent is passed by as many as come at once."""
        async with replicas(valkey, having(spend_per_month=1.0), 4) as four:

            async def ask(limits: Limits) -> float:
                tally = Tally()
                try:
                    hold = await reserved(limits, user, Due(10, 0.3), tally)
                except BudgetExceeded:
                    return 0.0
                tally.add("default", "first", Line(charged=10, spend=0.25))
                hold.settle()
                await settled(limits)
                return 0.25

            for _ in range(4):
                spent = await asyncio.gather(*(ask(limits) for limits in four * 5))
            assert sum(spent) <= 1.0
            with pytest.raises(BudgetExceeded) as caught:
                await reserved(four[0], user, Due(10, 0.3))
            assert caught.value.hopeless

    @pytest.mark.parametrize(
        ("days", "month"),
        [(0, 1970 * 12 + 1), (59, 1970 * 12 + 3), (11_016, 2000 * 12 + 2), (11_017, 2000 * 12 + 3),
         (20_781, 2026 * 12 + 11), (20_787, 2026 * 12 + 11), (20_788, 2026 * 12 + 12), (20_819, 2027 * 12 + 1)],
    )  # fmt: skip
    async def test_months_are_the_calendars(self, link: RedisLink, days: int, month: int):
        """A budget that begins anew on the wrong day is either lost or had twice."""
        source = (limits_module.SCRIPTS / "reserve.lua").read_text()
        start, end = source.index("local function month_of"), source.index("local today")
        answer = await link.client.eval(f"{source[start:end]}\nreturn month_of({days})", 0)
        assert answer == month


class TestLostReplies:
    """What is not known is neither charged twice nor waved through."""

    async def test_a_reservation_that_is_asked_for_twice_is_one(self, errands: Errands, user: User):
        """A retry after a lost answer would charge twice."""
        table = having(characters_per_minute=100, concurrent_requests=5)
        limits = Limits(errands, lambda _: table, token=lambda: "the same")
        first, second = [await reserved(limits, user, Due(60, 0.0)) for _ in range(2)]
        first.settle()
        second.settle()
        await settled(limits)
        await reserved(limits, user, Due(100, 0.0))
        await limits.aclose()

    async def test_a_question_that_arrives_after_its_end_reserves_nothing(
        self, link: RedisLink, errands: Errands, user: User
    ):
        """A packet that is sent again later than anybody waits would keep a part of the month's budget for good."""
        table = having(characters_per_day=100, spend_per_month=10.0, concurrent_requests=1)
        limits = Limits(errands, lambda _: table, token=lambda: "late")
        limits._settle_soon(limits.enter(user), "late", Line())
        await settled(limits)
        await reserved(limits, user, Due(100, 10.0))
        counts = await link.client.hmget(named("counts", user.id), "characters", "money")
        assert [int(count or 0) for count in counts] == [0, 0]
        assert await link.client.zcard(named("speaking", user.id)) == 0
        assert await link.client.pttl(named("settled:late", user.id)) > 60_000
        await limits.aclose()

    async def test_who_cannot_be_settled_holds_up_nobody(self, link: RedisLink, errands: Errands, user: User):
        """Users of one node that is away would keep everybody's characters from being given back."""
        async with counting(errands, having(characters_per_day=100)) as limits:
            for number in range(100):
                stuck = User(f"{user.id} stuck {number}", "user", "default", "", "")
                await link.client.set(named("reserved", stuck.id), "of another kind")
                limits._settle_soon(limits.enter(stuck), "token", Line())
            hold = await reserved(limits, user, Due(100, 0.0))
            hold.settle()
            while int(await link.client.hget(named("counts", user.id), "characters")):  # noqa: ASYNC110 - Redis has no event to wait for
                await asyncio.sleep(0.01)
            await reserved(limits, user, Due(100, 0.0))
            await limits.aclose(0)

    async def test_a_lost_yes_is_given_back(self, victim: Server, user: User):
        """Characters that nobody spoke would be lost to the user until the day ends."""
        link = RedisLink(victim.url, timeout=0.15)
        errands = Errands(link)
        table = having(characters_per_day=100, spend_per_month=10.0)
        limits = Limits(errands, lambda _: table)
        (await reserved(limits, user, Due(1, 0.0))).settle()
        await settled(limits)
        asking = asyncio.create_task(reserved(limits, user, Due(100, 1.0)))
        await asyncio.sleep(0)
        victim.send(signal.SIGSTOP)
        with pytest.raises(UsersUnavailable):
            await asking
        victim.send(signal.SIGCONT)
        await settled(limits)  # sent again until Redis is back
        tally = Tally()
        hold = await reserved(limits, user, Due(100, 1.0), tally)
        hold.settle()
        await limits.aclose()
        await errands.aclose()
        await link.aclose()


class TestWithoutRedis:
    """Its own share for each process; nothing that costs money."""

    @pytest.fixture
    async def away(self, victim: Server) -> AsyncIterator[Callable[[LimitTable], Limits]]:
        """Limits whose Redis is gone."""
        link = RedisLink(victim.url, timeout=0.1)
        errands = Errands(link)
        victim.send(signal.SIGKILL)
        made: list[Limits] = []

        def limits(table: LimitTable) -> Limits:
            made.append(Limits(errands, lambda _: table, lambda: 0.25))
            return made[-1]

        yield limits
        for one in made:
            await one.aclose(0.01)
        await errands.aclose()
        await link.aclose()

    async def test_a_process_grants_its_share(self, away: Callable[[LimitTable], Limits], user: User):
        """Without Redis either nobody would be let in, or everybody."""
        limits = away(having(requests_per_minute=40, characters_per_minute=400))
        assert sum([await admitted(limits, user) for _ in range(15)]) == 10
        other = User(user.id + "2", "user", "default", "", "")
        await reserved(limits, other, Due(100, 0.0))
        with pytest.raises(CharactersExceeded):
            await reserved(limits, other, Due(1, 0.0))

    async def test_places_are_shared_out_too(self, away: Callable[[LimitTable], Limits], user: User):
        """A hundred long speeches at once would be begun in an outage."""
        limits = away(having(concurrent_requests=8))
        holds = [await reserved(limits, user, Due(1, 0.0)) for _ in range(2)]
        with pytest.raises(TooManyConcurrent):
            await reserved(limits, user, Due(1, 0.0))
        holds[0].settle()
        await reserved(limits, user, Due(1, 0.0))

    async def test_a_budget_that_cannot_be_checked_is_not_spent(
        self, away: Callable[[LimitTable], Limits], user: User
    ):
        """An outage of Redis would be the way around every budget."""
        limits = away(having(spend_per_month=10.0))
        with pytest.raises(UsersUnavailable) as caught:
            await reserved(limits, user, Due(1, 0.01))
        assert caught.value.retry_after == 1.0

    async def test_what_costs_nothing_is_spoken_all_the_same(
        self, away: Callable[[LimitTable], Limits], user: User
    ):
        """A house that speaks by its own engine would be silent because of a budget that it does not touch."""
        limits = away(having(spend_per_month=10.0))
        await reserved(limits, user, Due(1, 0.0))


async def test_an_entrance_that_nobody_waits_for_is_no_defect(errands: Errands, user: User):
    """A request that fails before it is admitted would leave an exception that nobody ever looks at."""
    async with counting(errands, having(requests_per_minute=5)) as limits:
        entrance: Entrance = limits.enter(user)
        assert entrance.asked is not None


class TestPaidAhead:
    """Who asks steadily does not wait for Redis each time; nobody gets more than he may."""

    class Clock:
        """Moved by hand."""

        now = 100.0

        def __call__(self) -> float:
            """The time."""
            return self.now

    async def steadily(self, limits: Limits, clock: Clock, user: User, count: int, rate: float) -> list[bool]:
        """Whether each of so many, so many a second, went to Redis."""
        asked = []
        for _ in range(count):
            clock.now += 1 / rate
            entrance = limits.enter(user)
            await limits.admit(entrance)
            asked.append(entrance.asked is not None)
        return asked

    async def test_a_steady_user_seldom_waits(self, errands: Errands, user: User):
        """Each hit from memory would wait for a trip to Redis after all."""
        clock = self.Clock()
        table = having(requests_per_minute=100_000)
        limits = Limits(errands, lambda _: table, clock=clock)
        asked = await self.steadily(limits, clock, user, 400, 100)
        assert all(asked[:5]), "who has just come is counted one by one"
        assert sum(asked[10:]) < 390 / 8
        left = int(dict(limits.enter(user).headers)["x-ratelimit-remaining-requests"])
        assert left == 100_000 - 401, "what is paid ahead is his still"
        await limits.aclose()

    async def test_the_second_half_of_a_bucket_is_counted_one_by_one(self, errands: Errands, user: User):
        """What one replica has paid ahead, another would have to refuse."""
        clock = self.Clock()
        table = having(requests_per_minute=5_000)
        limits = Limits(errands, lambda _: table, clock=clock)
        asked = await self.steadily(limits, clock, user, 5_000, 2_000)
        assert not all(asked[:2_500])
        assert all(asked[2_700:])
        assert not await admitted(limits, user)
        await limits.aclose()

    async def test_what_is_not_used_goes_back(self, link: RedisLink, errands: Errands, user: User):
        """Who stops asking would lose requests."""
        clock = self.Clock()
        table = having(requests_per_minute=100_000)
        limits = Limits(errands, lambda _: table, clock=clock)
        while not limits._purses.of(user.id, 100_000).paid:
            await self.steadily(limits, clock, user, 1, 100)
        let_in = limits._purses.of(user.id, 100_000).asked
        clock.now += 10

        async def used() -> float:
            return float(await link.client.hget(named("requests", user.id), "used"))

        while await used() != let_in:  # noqa: ASYNC110 - Redis has no event to wait for
            await asyncio.sleep(0.01)
        assert await admitted(limits, user)
        await limits.aclose()

    async def test_a_burst_pays_ahead_once(self, link: RedisLink, errands: Errands, user: User):
        """One replica would keep half of the bucket to itself, and another refuse what its user still has."""
        clock = self.Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=10_000), clock=clock)
        await self.steadily(limits, clock, user, 4, 100)
        clock.now += 0.03
        purse = limits._purses.of(user.id, 10_000)
        assert not purse.paid
        # Half of them leave before they know.
        entrances = [limits.enter(user) for _ in range(40)]
        await asyncio.gather(*(limits.admit(entrance) for entrance in entrances[20:]))
        assert 0 < purse.paid <= 15
        used = float(await link.client.hget(named("requests", user.id), "used"))
        assert used == 4 + 40 + purse.paid, "nobody pays for what nobody can have"
        await limits.aclose()

    async def test_of_a_crowd_none_is_left_over(self, valkey: Server, link: RedisLink, user: User):
        """Who was refused would have been let in by what the one before him had paid for ahead."""
        clock = self.Clock()
        async with replicas(valkey, having(requests_per_minute=5_000), 1, clock) as (limits,):
            await self.steadily(limits, clock, user, 4, 100)
            await link.client.hset(named("requests", user.id), "used", 2_400)
            clock.now += 0.03
            entrances = [limits.enter(user) for _ in range(2_700)]
            came = await asyncio.gather(*map(limits.admit, entrances), return_exceptions=True)
            assert [type(one) for one in came].count(RateLimited) == 100
            purse = limits._purses.of(user.id, 5_000)
            assert (purse.paid_at, purse.paid) == (clock.now, 0), "it was paid, and all of it used"

    async def test_who_slows_down_keeps_nothing_back(self, link: RedisLink, errands: Errands, user: User):
        """A request every now and then would keep what a crowd has paid ahead from the other replicas."""
        clock = self.Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=100_000), clock=clock)
        purse = limits._purses.of(user.id, 100_000)
        while purse.paid < 150:
            await self.steadily(limits, clock, user, 1, 2000)
        asked = purse.asked
        while purse.is_watched:
            await self.steadily(limits, clock, user, 1, 10)
            await asyncio.sleep(0.01)
        assert not purse.paid
        assert purse.asked - asked < 150, "it went back before it was used up"
        await limits.aclose()

    async def test_a_crowd_elsewhere_may_have_all_that_a_small_bucket_holds(self, valkey: Server, user: User):
        """One replica would hold a few of a hundred ahead for nobody, and another refuse them."""
        clock = self.Clock()
        async with replicas(valkey, having(requests_per_minute=100), 2, clock) as (one, two):
            assert len(await self.steadily(one, clock, user, 20, 200)) == 20
            assert sum(await asyncio.gather(*(admitted(two, user) for _ in range(480)))) == 80

    async def test_what_was_refilled_meanwhile_is_not_given_back_again(
        self, link: RedisLink, errands: Errands, user: User
    ):
        """Who has paid for some ahead when the bucket is refilled would have them twice."""
        clock = self.Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=100_000), clock=clock)
        purse = limits._purses.of(user.id, 100_000)
        while purse.paid < 5:
            await self.steadily(limits, clock, user, 1, 100)
        bucket = named("requests", user.id)
        since = int(await link.client.hget(bucket, "since"))
        await link.client.hset(bucket, "since", since - 10_000)  # as if so much time had passed
        async with counting(Errands(link), having(requests_per_minute=100_000)) as another:
            for _ in range(5):
                assert await admitted(another, user)
        clock.now += 10
        await until(lambda: not purse.is_watched)
        await errands.aclose()
        assert float(await link.client.hget(bucket, "used")) == 5
        await limits.aclose()

    async def test_a_smaller_plan_has_nothing_of_what_a_larger_one_has_paid_for(
        self, errands: Errands, user: User
    ):
        """A token of a small plan, in a page, would be let in beyond it beside its user's own busy key."""
        clock = self.Clock()
        small = replace(user, plan="small")
        limits = Limits(
            errands,
            lambda plan: having(requests_per_minute=1 if plan == "small" else 100_000),
            clock=clock,
        )
        while not limits._purses.of(user.id, 100_000).paid:
            await self.steadily(limits, clock, user, 1, 100)
        assert not await admitted(limits, small)
        await limits.aclose()

    async def test_who_has_some_paid_for_is_not_refused(self, user: User):
        """The answers of two connections cross: what was paid for would be kept from all who come next."""
        purse = Purse(0.0, 0.0)
        purse.refuse(0.0, 10.0)
        assert purse.refused(0.5) == 9.5
        purse.pay(0.5, 1, 0, 10, 1.0)
        assert purse.refused(0.5) is None
        assert purse.ask(0.5)
        assert purse.refused(0.5) == 9.5


async def test_what_is_begun_again_elsewhere_is_charged_once(valkey: Server, user: User, link: RedisLink):
    """Work that another process goes on with after a crash would be paid for twice."""
    table = having(characters_per_day=100, spend_per_month=1.0)
    async with replicas(valkey, table, 2) as (one, two):
        await one.reserve(one.enter(user), Due(60, 0.6), Tally(), once="job")
        for limits in (two, one):
            tally = Tally()
            hold = await limits.reserve(limits.enter(user), Due(60, 0.6), tally, once="job")
            tally.add("default", "first", Line(charged=50, spend=0.5))
            hold.settle()
            await settled(limits)
            counted = await link.client.hmget(named("counts", user.id), "characters", "money")
            assert [int(count) for count in counted] == [50, 500_000]


async def test_what_broke_off_while_it_was_reserved_is_charged_to_who_goes_on(
    errands: Errands, user: User, link: RedisLink
):
    """Who is cancelled at the right moment would have all of it for nothing: it would count as charged already."""
    async with counting(errands, having(characters_per_day=100, spend_per_month=1.0)) as limits:
        asked = asyncio.create_task(limits.reserve(limits.enter(user), Due(60, 0.6), Tally(), once="job"))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        tally = Tally()
        hold = await limits.reserve(limits.enter(user), Due(60, 0.6), tally, once="job")
        tally.add("default", "first", Line(charged=50, spend=0.5))
        hold.settle()
        await settled(limits)
        counted = await link.client.hmget(named("counts", user.id), "characters", "money")
        assert [int(count) for count in counted] == [50, 500_000]
        with pytest.raises(CharactersExceeded):
            await limits.reserve(limits.enter(user), Due(60, 0.1), Tally(), once="another")
        await limits.reserve(limits.enter(user), Due(50, 0.1), Tally(), once="another")

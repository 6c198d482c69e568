"""How much users may have: counted once, over all processes, and given back."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from app.errors import (
    BudgetExceeded,
    CharactersExceeded,
    TooManyConcurrent,
    UsersUnavailable,
)
from app.settings.tables import LimitTable
from app.users import limits as limits_module
from app.users.limits import Due, Entrance, Limits
from app.users.store import named
from app.users.tally import Line, Tally
from app.users.user import User
from cache.errands import Errands
from cache.link import RedisLink
from tests.cache.conftest import Server
from tests.users.counting import admitted, counting, having, replicas, reserved, settled


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

    async def test_a_crowd_has_the_share_too(self, away: Callable[[LimitTable], Limits], user: User):
        """Who waits for what is being paid for ahead, and never is, would wait for ever, or be refused."""
        limits = away(having(requests_per_minute=400))
        assert sum(await asyncio.gather(*(admitted(limits, user) for _ in range(150)))) == 100

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


async def test_an_entrance_that_nobody_waits_for_is_no_defect(errands: Errands, user: User):
    """A request that fails before it is admitted would leave an exception that nobody ever looks at."""
    async with counting(errands, having(requests_per_minute=5)) as limits:
        entrance: Entrance = limits.enter(user)
        assert entrance.asked is not None

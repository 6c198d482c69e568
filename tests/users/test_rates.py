"""Requests in a minute: exactly so many over all processes, and few questions for them."""

import asyncio
import random
import signal
from dataclasses import replace

import pytest

from app.errors import RateLimited
from app.settings.tables import NO_LIMITS
from app.users.limits import Limits
from app.users.purse import Purse
from app.users.store import named
from app.users.user import User
from cache.errands import Errands
from cache.link import RedisLink
from tests.cache.conftest import Server
from tests.http.servers import until
from tests.users.counting import Clock, admitted, counting, having, replicas


async def steadily(limits: Limits, clock: Clock, user: User, count: int, rate: float) -> list[bool]:
    """Whether each of so many, so many a second, went to Redis."""
    asked = []
    for _ in range(count):
        clock.now += 1 / rate
        entrance = limits.enter(user)
        await limits.admit(entrance)
        asked.append(entrance.asked is not None)
    await until(lambda: all(purse.paying is None for purse in limits._rates._purses._purses.values()))
    return asked


def purse_of(limits: Limits, user: User, room: int) -> Purse:
    """What is paid for ahead in this process."""
    return limits._rates._purses.of(user.id, room)


async def used(link: RedisLink, user: User) -> float:
    """How much is gone of his bucket."""
    return float(await link.client.hget(named("requests", user.id), "used"))


async def no_sleep(seconds: float) -> None:
    """Nobody is to wait."""
    raise AssertionError(f"waits for {seconds} s")


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
            for left in reversed(range(6)):
                entrance = limits.enter(user)
                await limits.admit(entrance)
                told = dict(entrance.headers)
                assert told["RateLimit"].split(";")[1] == f"r={left}"
                assert told["x-ratelimit-remaining-requests"] == str(left)
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
        clock = Clock()
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


class TestPaidAhead:
    """Who asks many times a second does not wait for Redis each time; nobody gets more than he may."""

    async def test_a_steady_user_seldom_waits(self, errands: Errands, user: User):
        """Each hit from memory would wait for a trip to Redis after all."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=1_000), clock=clock)
        asked = await steadily(limits, clock, user, 400, 100)
        assert asked[:2] == [True, True], "who has just come is counted one by one"
        assert sum(asked[2:]) < 398 / 15
        left = int(dict(limits.enter(user).headers)["x-ratelimit-remaining-requests"])
        assert left == 1_000 - 401, "what is paid ahead is his still"
        await limits.aclose()

    async def test_who_asks_now_and_then_has_nothing_paid_for(
        self, link: RedisLink, errands: Errands, user: User
    ):
        """Redis would be asked to take back what nobody can use in time."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=1_000), clock=clock)
        assert all(await steadily(limits, clock, user, 20, 2))
        assert await used(link, user) == 20
        await limits.aclose()

    async def test_it_is_a_quarter_of_what_is_left_at_the_most(self, errands: Errands, user: User):
        """One process would hold most of a bucket, and all others wait whether it is used."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=100), clock=clock)
        purse, let_in = purse_of(limits, user, 100), 0
        while await admitted(limits, user):
            let_in += 1
            clock.now += 0.0001
            assert purse.paid <= (100 - let_in) / 4 + 1
        assert let_in == 100
        await limits.aclose()

    async def test_what_is_not_used_goes_back(self, link: RedisLink, errands: Errands, user: User):
        """Who stops asking would lose requests."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=1_000), clock=clock)
        purse = purse_of(limits, user, 1_000)
        await steadily(limits, clock, user, 40, 100)
        assert purse.paid
        clock.now += 10
        while await used(link, user) != 40:  # noqa: ASYNC110 - Redis has no event to wait for
            await asyncio.sleep(0.01)
        assert not purse.paid
        assert not await link.client.exists(named("held", user.id)), "and nobody is waited for"
        assert await admitted(limits, user)
        await limits.aclose()

    async def test_a_burst_pays_ahead_once(self, link: RedisLink, errands: Errands, user: User):
        """Each of a crowd would pay for as many as all of it."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=10_000), clock=clock)
        purse = purse_of(limits, user, 10_000)
        # Half of them leave before they know.
        entrances = [limits.enter(user) for _ in range(40)]
        await asyncio.gather(*(limits.admit(entrance) for entrance in entrances[20:]))
        assert purse.paid == 10, "those who have left took none"
        assert await used(link, user) == 30 + purse.paid, "nobody pays for what nobody can have"
        await limits.aclose()

    async def test_a_crowd_waits_for_what_is_being_paid_for(self, errands: Errands, user: User):
        """Each of its connections would go to Redis by itself, over and over, until there is enough for all."""
        limits = Limits(errands, lambda _: having(requests_per_minute=100_000))
        asked = 0

        async def connection() -> None:
            nonlocal asked
            for _ in range(20):
                entrance = limits.enter(user)
                await limits.admit(entrance)
                assert dict(entrance.headers)["x-ratelimit-remaining-requests"]
                asked += entrance.asked is not None

        await asyncio.gather(*(connection() for _ in range(64)))
        assert asked < 2 * 64
        await limits.aclose()

    async def test_who_is_let_in_twice_has_asked_once(self, errands: Errands, user: User):
        """Who looks again for a clip that was made anew meanwhile would pay twice, or be refused after all."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=40), clock=clock)
        crowd = [limits.enter(user) for _ in range(50)]
        assert any(entrance.waits for entrance in crowd)
        came = await asyncio.gather(*map(limits.admit, crowd), return_exceptions=True)
        let_in = [entrance for entrance, error in zip(crowd, came, strict=True) if error is None]
        assert len(let_in) == 40
        for entrance in let_in:
            await limits.admit(entrance)
        await limits.aclose()

    async def test_the_next_ones_are_paid_for_before_they_are_needed(self, errands: Errands, user: User):
        """Whoever comes while they are paid for would go to Redis by himself: of a crowd, each of its connections."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=100_000), clock=clock)
        purse = purse_of(limits, user, 100_000)
        await steadily(limits, clock, user, 400, 1_000)
        asked = 0
        for _ in range(400):
            clock.now += 0.001
            entrance = limits.enter(user)
            await limits.admit(entrance)
            asked += entrance.asked is not None
            if purse.paying is not None:
                await asyncio.shield(purse.paying)
        assert asked == 0
        await limits.aclose()

    async def test_who_slows_down_keeps_nothing_back(self, link: RedisLink, errands: Errands, user: User):
        """A request every now and then would keep what a crowd has paid ahead from the other replicas."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=100_000), clock=clock)
        purse = purse_of(limits, user, 100_000)
        await steadily(limits, clock, user, 4_000, 2_000)
        assert purse.paid > 100
        await steadily(limits, clock, user, 60, 10)
        clock.now += 0.3
        await until(lambda: not purse.paid)
        await steadily(limits, clock, user, 1, 10)
        assert purse.paid <= 3, "as much as is asked for now"
        assert await used(link, user) == 4_061 + purse.paid
        await limits.aclose()

    @pytest.mark.parametrize("left_over", [-5, 3, 200])
    async def test_what_was_paid_for_before_a_refill_goes_back_once(
        self, valkey: Server, link: RedisLink, user: User, left_over: int
    ):
        """Who has paid for some ahead when the bucket is refilled would have them twice, or not at all."""
        clocks = Clock(), Clock()
        bucket = named("requests", user.id)
        async with replicas(valkey, having(requests_per_minute=600), 2, *clocks) as (one, two):
            await steadily(one, clocks[0], user, 20, 200)
            purse = purse_of(one, user, 600)
            held = purse.paid
            assert 3 < held < 200
            await steadily(two, clocks[1], user, 100 + left_over - 20 - held, 0.5)
            assert await used(link, user) == 100 + left_over
            # As if so much time had passed: a refill is of a hundred.
            await link.client.hincrby(bucket, "since", -10_000)
            purse.paid_of -= 10_000
            await steadily(two, clocks[1], user, 5, 0.5)
            clocks[0].now += 10
            await until(lambda: not one._rates._watched)
        assert await used(link, user) == 5 + max(0, left_over - held)

    async def test_a_smaller_plan_has_nothing_of_what_a_larger_one_has_paid_for(
        self, errands: Errands, user: User
    ):
        """A token of a small plan, in a page, would be let in beyond it beside its user's own busy key."""
        clock = Clock()
        small = replace(user, plan="small")
        limits = Limits(
            errands,
            lambda plan: having(requests_per_minute=1 if plan == "small" else 100_000),
            clock=clock,
        )
        while not purse_of(limits, user, 100_000).paid:
            await steadily(limits, clock, user, 1, 100)
        assert not await admitted(limits, small)
        await limits.aclose()

    async def test_what_a_smaller_plan_has_paid_for_goes_back_to_a_larger_one(
        self, link: RedisLink, errands: Errands, user: User
    ):
        """Where somebody's other key has used more than this one may, what this one holds would be nobody's."""
        clock = Clock()
        large = replace(user, plan="large")
        limits = Limits(
            errands,
            lambda plan: having(requests_per_minute=1_000 if plan == "large" else 100),
            clock=clock,
        )
        await steadily(limits, clock, user, 20, 200)
        held = purse_of(limits, user, 100).paid
        assert held
        let_in = 20
        while await used(link, user) <= 100:
            clock.now += 2  # the large one has nothing paid for
            await limits.admit(limits.enter(large))
            let_in += 1
        await until(lambda: not purse_of(limits, user, 100).paid)
        await errands.aclose()
        assert await used(link, user) == let_in
        await limits.aclose()

    async def test_who_closes_gives_back(self, valkey: Server, link: RedisLink, user: User):
        """A replica that is replaced would take a quarter of its users' minute along."""
        clock = Clock()
        async with replicas(valkey, having(requests_per_minute=1_000), 1, clock) as (limits,):
            await steadily(limits, clock, user, 40, 100)
            assert purse_of(limits, user, 1_000).paid
        assert await used(link, user) == 40
        assert not await link.client.exists(named("held", user.id))

    async def test_who_closes_gives_back_what_comes_late(self, link: RedisLink, errands: Errands, user: User):
        """Who is served elsewhere from now on would wait for what a replica that has ended still seems to hold."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=1_000), clock=clock)
        purse = purse_of(limits, user, 1_000)
        await steadily(limits, clock, user, 40, 100)
        let_in = 40
        while purse.paying is None:
            await limits.admit(limits.enter(user))
            let_in += 1
        delayed = errands.take()
        closing = asyncio.create_task(limits.aclose())
        await asyncio.sleep(0)
        await until(lambda: not errands._tasks and not errands._waiting)
        await errands._send(delayed)
        await closing
        await errands.aclose()
        assert await used(link, user) == let_in
        assert not await link.client.exists(named("held", user.id))


class TestHeldElsewhere:
    """Nobody is refused for what another process holds and does not use."""

    async def test_a_crowd_elsewhere_has_all_of_it(self, valkey: Server, link: RedisLink, user: User):
        """One replica would hold a few of a hundred ahead for nobody, and another refuse them."""
        clock = Clock()
        async with replicas(valkey, having(requests_per_minute=100), 2, clock) as (one, two):
            await steadily(one, clock, user, 20, 200)
            held = purse_of(one, user, 100).paid
            assert held
            crowd = [asyncio.create_task(admitted(two, user)) for _ in range(480)]
            while sum(task.done() for task in crowd) < 80 - held:  # noqa: ASYNC110 - the others wait
                await asyncio.sleep(0.001)
            assert not any(task.done() and not task.result() for task in crowd), "nobody is refused yet"
            clock.now += 10
            assert sum(await asyncio.gather(*crowd)) == 80

    async def test_what_its_holder_uses_is_refused_to_others(self, valkey: Server, user: User):
        """What two are promised is had twice."""
        clock = Clock()
        async with replicas(valkey, having(requests_per_minute=100), 2, clock) as (one, two):
            await steadily(one, clock, user, 20, 200)
            crowd = [asyncio.create_task(admitted(two, user)) for _ in range(200)]
            purse, let_in = purse_of(one, user, 100), 20
            while purse.paid or purse.paying is not None:
                if purse.paid:
                    let_in += await admitted(one, user)
                else:
                    await asyncio.sleep(0)
            clock.now += 10
            assert let_in + sum(await asyncio.gather(*crowd)) == 100

    async def test_who_was_killed_is_not_waited_for_long(self, valkey: Server, user: User):
        """A crashed replica would keep its users' requests waiting for ever."""
        clock = Clock()
        async with replicas(valkey, having(requests_per_minute=40), 2, clock) as (dead, two):
            await steadily(dead, clock, user, 10, 200)
            lost = purse_of(dead, user, 40).paid  # its clock stands: it will never give back
            assert lost
            crowd = await asyncio.gather(*(admitted(two, user) for _ in range(60)))
            assert sum(crowd) == 30 - lost

    async def test_alone_nobody_waits(self, errands: Errands, user: User):
        """Each first refusal would take a quarter of a second for nothing."""
        clock = Clock()
        table = having(requests_per_minute=50)
        limits = Limits(errands, lambda _: table, clock=clock, sleep=no_sleep)
        assert all([await admitted(limits, user) for _ in range(10)])
        crowd = await asyncio.gather(*(admitted(limits, user) for _ in range(300)))
        assert sum(crowd) == 40
        await limits.aclose()

    async def test_of_a_crowd_none_is_left_over(self, errands: Errands, user: User):
        """Who was refused would have been let in by what the one before him had paid for ahead."""
        limits = Limits(errands, lambda _: having(requests_per_minute=500), clock=Clock())
        for _ in range(3):
            asked = [limits.enter(user) for _ in range(200)]
            came = await asyncio.gather(*map(limits.admit, asked), return_exceptions=True)
        assert [type(one) for one in came].count(RateLimited) == 100
        await limits.aclose()

    async def test_what_is_held_for_his_other_key_is_waited_for(self, errands: Errands, user: User):
        """After a plan was changed, or beside his other key, he would be refused what goes back in a moment."""
        clock = Clock()
        plans = {"default": having(requests_per_minute=100), "other": having(requests_per_minute=101)}
        limits = Limits(errands, plans.__getitem__, clock=clock)
        await steadily(limits, clock, user, 20, 200)
        held = purse_of(limits, user, 100).paid
        assert held
        other, let_in = replace(user, plan="other"), 0
        while let_in < 81 - held:
            let_in += await admitted(limits, other)
        waiting = asyncio.create_task(admitted(limits, other))
        asked = limits.enter(other).asked
        assert asked is not None
        await asked
        clock.now += 10
        assert await waiting
        await limits.aclose()

    async def test_beyond_his_room_nobody_waits(self, valkey: Server, user: User):
        """A page's token of a small plan would be refused late each time, as long as its user's own key is busy."""
        clock = Clock()
        small = replace(user, plan="small")
        async with replicas(valkey, having(requests_per_minute=1_000), 1, clock) as (busy,):
            await steadily(busy, clock, user, 20, 200)
            assert purse_of(busy, user, 1_000).paid
            link = RedisLink(valkey.url, timeout=5)
            table = having(requests_per_minute=10)
            limits = Limits(Errands(link), lambda _: table, sleep=no_sleep)
            assert not await admitted(limits, small)
            await limits.aclose()
            await link.aclose()

    async def test_what_is_on_its_way_back_is_waited_for(self, errands: Errands, user: User):
        """Who overtakes on another connection what goes back would be refused for a second, with some left."""
        clock = Clock()
        limits = Limits(errands, lambda _: having(requests_per_minute=100), clock=clock)
        purse = purse_of(limits, user, 100)
        await steadily(limits, clock, user, 20, 200)
        held = purse.paid
        assert held
        clock.now += 10
        limits._rates._watched[purse].cancel()
        limits._rates._look_at(purse)
        overtaken = errands.take()
        crowd = [asyncio.create_task(admitted(limits, user)) for _ in range(100)]
        await until(lambda: sum(task.done() for task in crowd) >= 80 - held)
        await until(lambda: not errands._tasks and not errands._waiting)
        await errands._send(overtaken)
        assert sum(await asyncio.gather(*crowd)) == 80
        await limits.aclose()

    async def test_what_cannot_go_back_is_not_waited_for(self, errands: Errands, user: User):
        """When Redis is away, who is refused just as something goes back would ask for ever, and nobody else go on."""
        clock = Clock()
        async with counting(errands, having(requests_per_minute=1), clock) as limits:
            await errands.aclose()
            assert await admitted(limits, user)
            clock.now += 2  # nothing is being paid for, which would be waited for
            limits._rates._give_back(purse_of(limits, user, 1))
            assert not await admitted(limits, user)

    async def test_a_ticket_of_another_clock_is_not_waited_for_long(
        self, link: RedisLink, errands: Errands, user: User
    ):
        """After a fail-over to a Redis whose clock is an hour behind, requests would hang for an hour."""
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        limits = Limits(errands, lambda _: having(requests_per_minute=1), sleep=sleep)
        seconds, _ = await link.client.time()
        await link.client.zadd(named("held", user.id), {"another": 1_000 * (seconds + 3_600)})
        assert [await admitted(limits, user) for _ in range(2)] == [True, False]
        assert sum(slept) < 2
        await limits.aclose()

    async def test_who_leaves_while_he_waits_takes_nothing(self, valkey: Server, user: User):
        """A request that is given up would use one of those that are given back."""
        clock = Clock()
        async with replicas(valkey, having(requests_per_minute=40), 2, clock) as (one, two):
            await steadily(one, clock, user, 10, 200)
            held = purse_of(one, user, 40).paid
            let_in = 0
            while let_in < 30 - held:
                let_in += await admitted(two, user)
            waiting = asyncio.create_task(admitted(two, user))
            asked = two.enter(user).asked
            assert asked is not None
            await asked
            waiting.cancel()
            await asyncio.wait([waiting])
            clock.now += 10
            assert sum(await asyncio.gather(*(admitted(two, user) for _ in range(20)))) == held

    @pytest.mark.parametrize("seed", range(6))
    async def test_however_it_is_spread_it_is_exact(self, valkey: Server, user: User, seed: int):
        """What is held, given back, refilled early and asked for again would add up to one too many, or too few."""
        dice = random.Random(seed)
        room = dice.choice([12, 60, 250, 1_000])
        async with replicas(valkey, having(requests_per_minute=room), 3) as three:

            async def ask_on() -> int:
                """One connection of his to some replica, until he is refused."""
                limits, let_in = dice.choice(three), 0
                while await admitted(limits, user):
                    let_in += 1
                    if dice.random() < 0.05:
                        await asyncio.sleep(dice.random() * 0.02)
                return let_in

            assert sum(await asyncio.gather(*(ask_on() for _ in range(24)))) == room

    async def test_redis_stalls_while_some_is_held(self, victim: Server, user: User):
        """After an outage there would be more than before it, or nothing for as long as anybody remembers."""
        clock = Clock()
        async with replicas(victim, having(requests_per_minute=100), 2, clock) as (one, two):
            await steadily(one, clock, user, 20, 200)
            held = purse_of(one, user, 100).paid
            victim.send(signal.SIGSTOP)
            clock.now += 10  # it gives back into nothing, or late
            await until(lambda: not purse_of(one, user, 100).paid)
            victim.send(signal.SIGCONT)
            let_in = sum(await asyncio.gather(*(admitted(two, user) for _ in range(150))))
            assert let_in in {80, 80 - held}


class TestPurse:
    """The sums of it."""

    def test_who_has_some_paid_for_is_not_refused(self):
        """The answers of two connections cross: what was paid for would be kept from all who come next."""
        purse = Purse("user", 10, 0.0, 0.0)
        purse.refuse(0.0, 10.0)
        assert purse.refused(0.5) == 9.5
        purse.pay(0.5, 1, 0)
        assert purse.refused(0.5) is None
        assert purse.ask(0.5)
        assert purse.refused(0.5) == 9.5

    def test_of_two_buckets_only_the_last_goes_back(self):
        """What was paid for before the bucket was refilled is refilled with it."""
        purse = Purse("user", 100, 0.0, 0.0)
        purse.pay(0.0, 10, 1)
        purse.pay(0.1, 10, 1)
        purse.pay(9.9, 10, 2)
        assert (purse.paid, purse.empty()) == (30, 10)
        purse.pay(10.0, 10, 2)
        purse.pay(10.0, 10, 2)
        purse.take()
        assert purse.empty() == 19

    def test_a_crowd_is_paid_for_at_once(self):
        """A hundred connections would go to Redis one by one until there is enough for them."""
        purse = Purse("user", 1_000, 0.0, 0.0)
        assert not purse.ask(0.0)
        assert purse.more(0.0) == 0, "he may not come again"
        assert not purse.ask(0.0)
        assert purse.more(0.0) == 10

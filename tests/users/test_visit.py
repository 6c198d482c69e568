"""One request from the door to the bill, where it turns out otherwise than it looked."""

from collections.abc import AsyncIterator, Callable

import pytest

from app.errors import BudgetExceeded, CharactersExceeded
from app.settings.tables import LimitTable
from app.users.limits import Due, Limits
from app.users.store import named
from app.users.tally import Line, tally
from app.users.usage import Usage
from app.users.user import User
from app.users.visit import Visit
from cache.errands import Errands
from cache.link import RedisLink
from tests.users.test_limits import having, settled

Visiting = Callable[[LimitTable], Visit]


@pytest.fixture
async def limits(errands: Errands) -> AsyncIterator[list[Limits]]:
    """All that were made, closed at the end."""
    made: list[Limits] = []
    yield made
    for one in made:
        await one.aclose()


@pytest.fixture
async def usage(errands: Errands) -> AsyncIterator[Usage]:
    """Of one process."""
    usage = Usage(errands)
    yield usage
    await usage.aclose()


@pytest.fixture
def visiting(errands: Errands, limits: list[Limits], usage: Usage, user: User) -> Visiting:
    """A request of one who may have so much."""

    def visit(table: LimitTable) -> Visit:
        limits.append(Limits(errands, lambda _: table))
        made = Visit(user, limits[-1], usage)
        made.ask()
        return made

    return visit


async def counted(link: RedisLink, user: User) -> tuple[int, int]:
    """Characters and millionths of money."""
    characters, money = await link.client.hmget(named("counts", user.id), "characters", "money")
    return int(characters or 0), int(money or 0)


async def test_what_was_not_foreseen_is_set_aside_before_it_is_made(
    visiting: Visiting, limits: list[Limits], link: RedisLink, user: User
):
    """A clip that was evicted while it was listened to would be paid for beyond every budget, and counted nowhere."""
    with visiting(having(characters_per_day=100, spend_per_month=1.0, concurrent_requests=1)):
        own = tally()
        assert own is not None
        await own.afford(60, 0.4)
        own.add("default", "first", Line(charged=60, spend=0.3))
        await own.afford(40, 0.4)
        own.add("default", "first", Line(charged=30, spend=0.2))
        with pytest.raises(CharactersExceeded):
            await own.afford(1, 0.0)
        assert await counted(link, user) == (100, 800_000)
    await settled(limits[-1])
    assert await counted(link, user) == (90, 500_000)
    assert await link.client.hlen(named("reserved", user.id)) == 0
    assert await link.client.zcard(named("speaking", user.id)) == 0


async def test_a_hit_that_turns_out_to_be_none_is_checked_against_the_budget(
    visiting: Visiting, limits: list[Limits], link: RedisLink, user: User
):
    """Where hits are charged, what was set aside for the hit would be taken for the price of making it."""
    table = having(spend_per_month=1.0, concurrent_requests=1, charge_hits=True)
    with visiting(table) as visit:
        await visit.reserve_hit(10)
        assert await link.client.zcard(named("speaking", user.id)) == 0, "who listens to a hit has no place"
        visit.tally.add("default", "first", Line(saved=10, spared=0.5))
        visit.tally.look_again()
        with pytest.raises(BudgetExceeded):
            await visit.reserve(Due(10, 1.5), 0)
        await visit.reserve(Due(10, 0.5), 0)
        assert await link.client.zcard(named("speaking", user.id)) == 1
        visit.tally.add("default", "first", Line(charged=10, spend=0.5))
    await settled(limits[-1])
    assert await counted(link, user) == (10, 500_000)


async def test_what_was_made_is_not_set_aside_for_the_rest(
    visiting: Visiting, limits: list[Limits], link: RedisLink, user: User
):
    """A speech that is looked for once more would be made with money that has been spent on it already."""
    with visiting(having(characters_per_day=1000, spend_per_month=1.0)) as visit:
        await visit.afford(60, 0.4)
        visit.tally.add("default", "first", Line(charged=60, spend=0.4, chunks=1))
        visit.tally.add("default", "first", Line(saved=10, spared=0.1, chunks=1, hits=1))
        visit.tally.look_again()
        with pytest.raises(BudgetExceeded):
            await visit.reserve(Due(50, 0.61), 70)
        await visit.reserve(Due(50, 0.6), 70)
        assert await counted(link, user) == (110, 1_000_000)
    await settled(limits[-1])
    assert await counted(link, user) == (60, 400_000)


async def test_it_is_settled_once_all_is_made(
    visiting: Visiting, limits: list[Limits], link: RedisLink, user: User
):
    """What goes on for others, at his cost, would not be within his limits."""
    with visiting(having(characters_per_day=100, spend_per_month=1.0, concurrent_requests=1)) as visit:
        await visit.reserve(Due(60, 0.4), 0)
        ended = visit.tally.making()
        ended.__enter__()
    assert limits[-1].settled
    assert await counted(link, user) == (60, 400_000)
    visit.tally.add("default", "first", Line(charged=30, spend=0.2, chunks=1))
    ended.__exit__(None, None, None)
    await settled(limits[-1])
    assert await counted(link, user) == (30, 200_000)

"""How many WebSockets a user may have open: counted once, over all processes, and given back."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from app.errors import TooManyConcurrent
from app.settings.tables import NO_LIMITS
from app.users.places import LEASE, Places
from app.users.store import named
from app.users.user import User
from cache.errands import Errands
from cache.link import RedisLink
from tests.cache.conftest import Server
from tests.http.servers import until


class Turns:
    """Sleep that lasts until the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._go_on = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        """Of one who sleeps."""
        self.asked.append(seconds)
        await self._go_on.wait()
        self._go_on.clear()

    async def pass_by(self) -> None:
        """Once, until it is slept again."""
        before = len(self.asked)
        self._go_on.set()
        await until(lambda: len(self.asked) > before)


@asynccontextmanager
async def processes(
    valkey: Server, most: int | None, count: int, sleep: Callable[[float], object] = asyncio.sleep
) -> AsyncIterator[list[Places]]:
    """As many, each with connections of its own."""
    table = NO_LIMITS.model_copy(update={"concurrent_websockets": most})
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            link = RedisLink(valkey.url, timeout=5)
            stack.push_async_callback(link.aclose)
            errands = Errands(link)
            stack.push_async_callback(errands.aclose)
            places = Places(errands, lambda _: table, lambda: 0.5, sleep=sleep)  # type: ignore[arg-type]
            stack.push_async_callback(places.aclose)
            made.append(places)
        yield made


async def entered(stack: AsyncExitStack, places: Places, user: User) -> bool:
    """Whether he got a place, which he keeps as long as the stack."""
    try:
        await stack.enter_async_context(places.place(user))
    except TooManyConcurrent:
        return False
    return True


def held(valkey: Server, user: User) -> int:
    """Places that Redis knows of."""
    return int(valkey.command("ZCARD", named("websockets", user.id)).strip(b":\r\n"))


@pytest.mark.parametrize("most", [1, 5, 20])
async def test_exactly_so_many_are_open_over_four_processes(valkey: Server, user: User, most: int):
    """A limit that counts for each replica is four times what the operator wrote."""
    async with processes(valkey, most, 4) as four, AsyncExitStack() as stack:
        asked = [entered(stack, four[number % 4], user) for number in range(5 * most)]
        assert sum(await asyncio.gather(*asked)) == most
        other = User(user.id + "2", "user", "default", "", "")
        assert await entered(stack, four[0], other)


async def test_a_place_is_given_back_however_it_ends(valkey: Server, user: User):
    """Whoever has connected and left as often as he may would not get in for a quarter of a minute."""
    async with processes(valkey, 2, 1) as (places,):
        for _ in range(5):
            with suppress(ZeroDivisionError):
                async with places.place(user), places.place(user):
                    assert held(valkey, user) == 2
                    raise ZeroDivisionError
            asking = asyncio.create_task(places.place(user).__aenter__())
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
        await until(lambda: held(valkey, user) == 0)


async def test_the_living_keep_their_places(valkey: Server, user: User):
    """After a lease everybody could open as many again; or after Redis has lost them, as often as it does."""
    turns = Turns()
    async with processes(valkey, 2, 1, turns) as (places,), AsyncExitStack() as stack:
        assert await entered(stack, places, user)
        assert await entered(stack, places, user)
        await until(lambda: turns.asked == [LEASE / 3])
        assert 0 < int(valkey.command("PTTL", named("websockets", user.id)).strip(b":\r\n")) <= LEASE * 1000
        valkey.command("DEL", named("websockets", user.id))
        await turns.pass_by()
        assert held(valkey, user) == 2
        assert not await entered(stack, places, user)


async def test_without_redis_each_process_grants_its_share(victim: Server, user: User):
    """Nobody could connect for as long as it is away; or anybody as often as he likes."""
    async with processes(victim, 4, 1) as (places,), AsyncExitStack() as stack:
        assert await entered(stack, places, user)
        victim.send(signal.SIGKILL)
        assert [await entered(stack, places, user) for _ in range(2)] == [True, False]


async def test_without_a_limit_nobody_is_counted(valkey: Server, user: User):
    """An open server's callers, who are one user, would share his places."""
    async with processes(valkey, None, 1) as (places,), places.place(user):
        assert held(valkey, user) == 0

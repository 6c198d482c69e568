"""What is carried out once however often it is sent: what other routes than speech's stand on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.errors import IdempotencyMismatch, InvalidInput, NotFound, UsersUnavailable
from app.users.idempotency import Idempotency
from app.users.store import Secret, of_user
from app.users.user import User
from cache.errands import Errands
from cache.errors import Away
from cache.link import RedisLink

Execute = Callable[[str], Awaitable[bytes]]


class Work:
    """Something to be carried out, that can be held up. `ids` are those that it was called with."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, execution: str) -> bytes:
        """The answer says how many times it was called."""
        self.ids.append(execution)
        number = len(self.ids)
        self.begun.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return f"answer {number}".encode()


@pytest.fixture
def work() -> Work:
    """Not held up."""
    work = Work()
    work.go.set()
    return work


@pytest.fixture
def idempotency(errands: Errands, link: RedisLink) -> Idempotency:
    """Of one process."""
    return Idempotency(errands, Secret(link))


async def test_twenty_at_once_and_later_are_one(idempotency: Idempotency, user: User, work: Work):
    """Promise 20: a job that is sent twice would be made, and paid for, twice."""
    work.go.clear()
    asked = [asyncio.create_task(idempotency.once(user, "k", "jobs", b"{}", work)) for _ in range(20)]
    await work.begun.wait()
    work.go.set()
    assert set(await asyncio.gather(*asked)) == {b"answer 1"}
    assert await idempotency.once(user, "k", "jobs", b"{}", work) == b"answer 1"
    assert len(work.ids) == 1


async def test_a_key_is_good_for_one_thing(idempotency: Idempotency, user: User, work: Work):
    """One's answer would be given for another's request."""
    await idempotency.once(user, "k", "jobs", b"one", work)
    for operation, body in (("jobs", b"two"), ("others", b"one")):
        with pytest.raises(IdempotencyMismatch):
            await idempotency.once(user, "k", operation, body, work)
    with pytest.raises(IdempotencyMismatch):
        await idempotency.claim(user, "k", b"one")
    with pytest.raises(InvalidInput):
        await idempotency.once(user, " k", "jobs", b"one", work)
    assert len(work.ids) == 1


async def test_what_was_not_done_leaves_the_key_free(idempotency: Idempotency, user: User, work: Work):
    """A key would be lost with a request that may be mended."""
    work.error = NotFound("There is none.")
    with pytest.raises(NotFound):
        await idempotency.once(user, "k", "jobs", b"one", work)
    work.error = None
    assert await idempotency.once(user, "k", "jobs", b"mended", work) == b"answer 2"
    assert work.ids[0] != work.ids[1]


@pytest.mark.parametrize("how", ["cancelled", "a defect"])
async def test_what_broke_off_goes_on_under_its_id(
    idempotency: Idempotency, user: User, work: Work, how: str
):
    """What was half done would be done twice: only by the id can it be found."""
    work.go.clear()
    first = asyncio.create_task(idempotency.once(user, "k", "jobs", b"one", work))
    await work.begun.wait()
    others = [asyncio.create_task(idempotency.once(user, "k", "jobs", b"one", work)) for _ in range(3)]
    if how == "cancelled":
        first.cancel()
    else:
        work.error = ZeroDivisionError()
        work.go.set()
    with pytest.raises((asyncio.CancelledError, ZeroDivisionError)):
        await first
    work.error = None
    work.go.set()
    assert set(await asyncio.gather(*others)) == {b"answer 2"}
    assert len(work.ids) == 2
    assert work.ids[0] == work.ids[1]


async def test_the_living_keep_it(errands: Errands, link: RedisLink, user: User, work: Work):
    """What takes longer than a lease would be begun again by everybody who waits."""
    waits = asyncio.Event()

    async def wait(_: float) -> None:
        await waits.wait()
        waits.clear()

    place = of_user("idempotency", user.id, user.owner, "k")
    work.go.clear()
    one = Idempotency(errands, Secret(link), sleep=wait)
    asked = asyncio.create_task(one.once(user, "k", "jobs", b"one", work))
    await work.begun.wait()
    await link.client.hset(place, "until", 1)
    waits.set()
    while int(await link.client.hget(place, "until")) == 1:
        pass
    work.go.set()
    assert await asked == b"answer 1"


async def test_one_who_waits_too_long_is_told(errands: Errands, link: RedisLink, user: User, work: Work):
    """A client would hang for as long as somebody else's request does."""
    impatient = Idempotency(errands, Secret(link), patience=0.05)
    work.go.clear()
    first = asyncio.create_task(impatient.once(user, "k", "jobs", b"one", work))
    await work.begun.wait()
    with pytest.raises(UsersUnavailable):
        await impatient.once(user, "k", "jobs", b"one", work)
    work.go.set()
    assert await first == b"answer 1"


async def test_a_lost_answer_is_asked_for_again(
    errands: Errands, link: RedisLink, user: User, work: Work, monkeypatch: pytest.MonkeyPatch
):
    """Where Redis has heard, and its answer is lost, the key would be taken by nobody for ever."""
    idempotency = Idempotency(errands, Secret(link))
    await Secret(link).get()
    run = errands.run
    lost = 1

    def losing(*arguments: object) -> "asyncio.Future[object]":
        nonlocal lost
        answer: asyncio.Future[object] = run(*arguments)  # type: ignore[arg-type]
        if lost:
            lost -= 1
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(Away("lost"))
        return answer

    monkeypatch.setattr(errands, "run", losing)
    with pytest.raises(UsersUnavailable):
        await idempotency.once(user, "k", "jobs", b"one", work)
    assert await idempotency.once(user, "k", "jobs", b"one", work) == b"answer 1"
    lost = 0
    assert await idempotency.once(user, "k", "jobs", b"one", work) == b"answer 1"


async def test_the_answer_is_kept_though_the_key_is_stale(
    errands: Errands, link: RedisLink, user: User, work: Work
):
    """Two who were both at it (one of them was taken for dead) would tell of two different things."""
    asleep = asyncio.Event()

    async def never(_: float) -> None:
        await asleep.wait()

    frozen = Idempotency(errands, Secret(link), lease=0.05, sleep=never)
    held = Work()
    first = asyncio.create_task(frozen.once(user, "k", "jobs", b"one", held))
    await held.begun.wait()
    assert await Idempotency(errands, Secret(link)).once(user, "k", "jobs", b"one", work) == b"answer 1"
    assert held.ids == work.ids

    async def late(_: str) -> bytes:
        return b"another"

    held.go.set()
    assert await first == b"answer 1"
    assert await frozen.once(user, "k", "jobs", b"one", late) == b"answer 1"


async def test_a_key_that_was_forgotten_meanwhile_loses_no_answer(
    idempotency: Idempotency, user: User, work: Work, link: RedisLink
):
    """Who asked would be given nothing, for what was done."""
    work.go.clear()
    asked = asyncio.create_task(idempotency.once(user, "k", "jobs", b"one", work))
    await work.begun.wait()
    await link.client.delete(of_user("idempotency", user.id, user.owner, "k"))
    work.go.set()
    assert await asked == b"answer 1"

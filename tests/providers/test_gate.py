"""The gate: how many at once, who is next, and what a vendor's refusals change."""

import asyncio
import math
from collections.abc import Callable

import pytest

from providers import errors
from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.gate import AGAIN_SECONDS, Gated
from providers.guard import Watched
from providers.interface import ProviderVoice, Utterance, speaking_for
from providers.scripted import Script, Scripted
from providers.slots import Heard, Own
from providers.turns import Turns

VOICE = ProviderVoice("one", "low")


async def said(provider: object, text: str = "Somebody says a thing.", owner: str | None = None) -> bytes:
    """All the sound, on somebody's behalf."""
    speaking_for.set(owner)
    async with provider.speak(Utterance(text, VOICE)) as sound:  # type: ignore[attr-defined]
        return b"".join([piece async for piece in sound.pieces])


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


class Board(Own):
    """Slots as processes share them; `taken` by other processes."""

    def __init__(self, taken: int = 0) -> None:
        self.taken = taken
        self.held: set[str] = set()
        self.left: list[str] = []
        self.found: float | None = None
        self.told: list[bool] = []

    async def take(
        self, account: str, token: str, most: int | None, heard: Heard, *, waits: bool = True
    ) -> bool:
        """See `Slots`."""
        await asyncio.sleep(0)
        heard(self.found)
        bound = min(most or math.inf, int(self.found) if self.found else math.inf)
        if token in self.held or len(self.held) + self.taken < bound:
            self.held.add(token)
            return True
        return False

    def leave(self, account: str, token: str) -> None:
        """See `Slots`."""
        self.held.discard(token)
        self.left.append(token)

    def adapt(self, account: str, most: int | None, heard: Heard, *, refused: int) -> None:
        """See `Slots`."""
        self.told.append(refused)


async def test_one_user_with_two_hundred_waiting_has_one_turn_in_the_round():
    """Whoever sends a book would keep everybody else from saying a word until it has been read."""
    double = Scripted("one")
    double.before_first.clear()
    gate = Gated(double, Allowance(1))
    tasks = [asyncio.create_task(said(gate, f"A page, number {page}.", "reader")) for page in range(200)]
    await double.called(1)
    tasks += [asyncio.create_task(said(gate, f"{name} says a word.", name)) for name in ("anna", "ben")]
    await until(lambda: gate.turns.waiting == 201)
    double.before_first.set()
    await double.called(5)
    early = [call.utterance.text for call in double.calls[:5]]
    assert "anna says a word." in early
    assert "ben says a word." in early
    await asyncio.gather(*tasks)


async def test_what_others_hold_is_not_taken():
    """Two replicas with five slots each would be ten at an account that has five."""
    board = Board(taken=1)
    double = Scripted("one")
    gate = Gated(double, Allowance(2), slots=board)
    double.before_first.clear()
    tasks = [asyncio.create_task(said(gate)) for _ in range(3)]
    await double.called(1)
    await asyncio.sleep(0.12)  # the head has asked again, and was told the same
    assert len(double.calls) == 1
    board.taken = 0
    double.before_first.set()
    await asyncio.gather(*tasks)
    assert not board.held
    assert len(board.left) == 3


async def test_who_leaves_while_redis_is_asked_is_heard():
    """The next one would wait for another look although there is room."""
    asked, answer = asyncio.Event(), asyncio.Event()
    looks = 0

    class Slow(Board):
        async def take(
            self, account: str, token: str, most: int | None, heard: Heard, *, waits: bool = True
        ) -> bool:
            nonlocal looks
            looks += 1
            if looks == 2:
                asked.set()
                await answer.wait()
                return False
            return True

    double = Scripted("one")
    double.before_first.clear()
    gate = Gated(double, Allowance(2), slots=Slow())
    first = asyncio.create_task(said(gate))
    await double.called(1)
    second = asyncio.create_task(said(gate))
    await asked.wait()
    double.before_first.set()
    await first
    began = asyncio.get_running_loop().time()
    answer.set()
    await double.called(2)
    assert asyncio.get_running_loop().time() - began < AGAIN_SECONDS
    await second


@pytest.mark.parametrize("steps", range(16))
async def test_cancelled_anywhere_everything_is_given_back(steps: int):
    """A slot that nobody holds would be lost to all replicas until its lease runs out."""
    board = Board()
    gate = Gated(Scripted("one"), Allowance(1), slots=board)
    task = asyncio.create_task(said(gate))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not board.held
    assert gate.under_way == 0
    assert gate.turns.waiting == 0
    assert await asyncio.wait_for(said(gate), 5)


async def test_without_a_bound_all_are_let_in_and_counted():
    """Nobody would know how many of an account were under way when its vendor refuses for the first time."""
    board = Board()
    double = Scripted("one")
    double.before_first.clear()
    gate = Gated(double, Allowance(None), slots=board)
    tasks = [asyncio.create_task(said(gate)) for _ in range(8)]
    await double.called(8)
    assert len(board.held) == 8
    double.before_first.set()
    await asyncio.gather(*tasks)
    assert not board.held


async def test_what_others_have_found_out_binds_from_the_next_utterance_on():
    """Each replica would be refused for itself, and the account's vendor asked beyond its limit by all the others."""
    board = Board()
    double = Scripted("one")
    double.before_first.clear()
    gate = Gated(double, Allowance(None), slots=board)
    board.found = 2.5
    tasks = [asyncio.create_task(said(gate)) for _ in range(8)]
    await double.called(2)
    await until(lambda: gate.turns.waiting == 6)
    assert gate.allowance.now == 2
    assert len(double.calls) == 2
    double.before_first.set()
    await asyncio.gather(*tasks)
    board.found = None  # somebody has come up to what is known
    assert await said(gate)
    assert gate.allowance.now is None


async def test_others_are_told_of_refusals_and_of_what_was_spoken_behind_them():
    """What one replica learns would be learned by each of them anew."""
    board = Board()
    allowance = Allowance(8)
    double = Scripted("one", Script(fault="rate_limited", fault_calls=1))
    gate = Gated(Watched(double, Circuit("one"), allowance), allowance, slots=board)
    with pytest.raises(errors.RateLimited):
        await said(gate)
    board.found = 4.0
    assert await said(gate)
    assert board.told == [True, False]


async def test_a_refused_burst_is_halved_once_and_grows_again():
    """Halved at each refusal of one burst, ten slots would be one for the rest of the day."""
    now = 0.0
    allowance = Allowance(None, clock=lambda: now)
    assert allowance.now is None
    assert all(allowance.refused(10) for _ in range(10))
    assert allowance.now == 5
    for _ in range(13):
        allowance.succeeded()
    assert allowance.now == 7
    now = 2.0
    assert allowance.refused(7)
    assert allowance.now == 3


async def test_it_never_goes_above_what_is_known():
    """The vendor's own figure, or the operator's, would be passed by the first good minute."""
    now = 0.0
    allowance = Allowance(4, clock=lambda: now)
    allowance.refused(4)
    assert allowance.now == 2
    for _ in range(100):
        allowance.succeeded()
    assert allowance.now == 4
    allowance.said(3)
    assert allowance.now == 3
    for _ in range(3):
        now += 2.0
        allowance.refused(3)
    assert allowance.now == 1


async def test_too_many_at_once_opens_no_circuit_but_one_at_a_time_does():
    """A burst beyond the account's limit would switch the provider off, for everybody and all replicas."""
    circuit = Circuit("one")
    allowance = Allowance(None)
    double = Scripted("one", Script(fault="rate_limited"))
    double.before_first.clear()
    provider = Gated(Watched(double, circuit, allowance), allowance, circuit)
    tasks = [asyncio.create_task(said(provider)) for _ in range(8)]
    await double.called(8)
    double.before_first.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {errors.RateLimited}
    assert circuit.reason is None
    assert allowance.now == 4
    allowance.said(1)
    for _ in range(5):
        with pytest.raises(errors.RateLimited):
            await said(provider)
    assert circuit.reason == "rate_limited"


async def test_refusals_alone_open_the_circuit_however_many_ask():
    """An account that refuses everything would be asked by a crowd until the number has been halved down to one."""
    now = 0.0
    allowance = Allowance(64, clock=lambda: now)
    assert allowance.refused(64)
    now = 1.5
    assert allowance.refused(32)
    now = 2.5
    assert not allowance.refused(16)
    allowance.succeeded()
    assert allowance.refused(16)


async def test_turns_go_round():
    """Whoever came first with many would be served first with all of them."""
    turns = Turns()
    order: list[str] = []
    go = asyncio.Event()

    async def wait(owner: str) -> None:
        async with turns.head(owner):
            await go.wait()
            order.append(owner)

    tasks = [asyncio.create_task(wait(owner)) for owner in "aaabbc"]
    await until(lambda: turns.waiting == 6)
    leaving = tasks.pop(4)  # one of b's
    leaving.cancel()
    go.set()
    await asyncio.gather(*tasks, leaving, return_exceptions=True)
    assert order == ["a", "b", "c", "a", "a"]
    assert turns.waiting == 0

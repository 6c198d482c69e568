"""Flights under whatever may happen in whatever order: three replicas on a real server, driven by chance."""

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cache.cache import Cache
from cache.errors import Away, FlightFailed
from cache.flight import Flights, Made
from cache.lease import Finish
from cache.link import Keys
from cache.memory import MemoryTier
from cache.passage import Seat
from cache.shared import Shared, share
from tests.cache.conftest import Server

T = TypeVar("T")

A = "a" * 40
LEASE = 0.08
"""Seconds: short, so that the loss of one shows within an example."""
PROMPT = 0.5
"""Seconds within which a flight without listeners has ended: the promise."""
REPLICAS = 3


class Link:
    """The way of one replica to Redis, with faults."""

    def __init__(self, shared: Shared) -> None:
        self.gone = False
        self.losses = 0
        self._call = shared.link.call
        shared.link.call = self

    async def __call__(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        """As `RedisLink.call`."""
        if self.gone:
            raise Away("gone")
        answer = await self._call(operation)
        if self.losses:
            self.losses -= 1
            raise Away("the reply was lost")
        return answer


class Maker:
    """One synthesis: each of its pieces bears its number, so that no two makers ever say the same."""

    def __init__(self, number: int, replica: int, emit: Callable[[bytes], None]) -> None:
        self.number, self.replica = number, replica
        self.said = b""
        self.error: Exception | None = None
        self.over = asyncio.Event()
        self._emit = emit

    def say(self) -> None:
        """One more piece."""
        piece = b"<%d:%d>" % (self.number, len(self.said))
        self._emit(piece)  # not said when it raises
        self.said += piece

    async def whole(self) -> Made:
        """Until its end."""
        await self.over.wait()
        if self.error is not None:
            raise self.error
        return Made(b"{}", self.said, 60.0)


class Listener:
    """Somebody with a seat; `heard` grows if he listens, and is all at once if he wants the whole."""

    def __init__(self, replica: int, work: Callable[["Listener"], Awaitable[None]]) -> None:
        self.replica = replica
        self.heard = b""
        self.content = False
        self.task = asyncio.ensure_future(work(self))


# Numbers, not the things themselves: who is there depends on the clock, and an example must mean the same again.
WHICH = st.integers(0, 5)


def _pick(among: Sequence[T], which: int) -> list[T]:
    """One of them, or none where there are none."""
    return [among[which % len(among)]] if among else []


class FlightMachine(RuleBasedStateMachine):
    """Listeners come and go, makers speak, end and fail, leases are lost, replies too, and Redis goes away."""

    server: Server

    @initialize()
    def begin(self) -> None:
        """Replicas with listeners of both kinds each; the first leads, and has said something.

        From here faults show within few steps; everything else is reached from here too.
        """
        self.server.command("FLUSHALL")
        self.loop = asyncio.new_event_loop()
        self.makers: list[Maker] = []
        self.done: set[bytes] = set()
        self.listeners: list[Listener] = []
        self.stored: dict[str, int] = {}
        self.kept: bytes | None = None
        self.last = False
        self.run(self._open())
        for replica in range(REPLICAS):
            self.join(replica=replica, live=True)
            self.join(replica=replica, live=False)
            for maker in self.speaking[: 1 - replica]:
                maker.say()
        self.settle()

    async def _open(self) -> None:
        self.shared = [share(self.server.url, keys=Keys("machine"), lease=LEASE) for _ in range(REPLICAS)]
        self.links = [Link(shared) for shared in self.shared]
        self.caches = []
        for shared in self.shared:
            self._watch(shared)
            memory = MemoryTier(1 << 20)
            self.caches.append(Cache(memory, Flights(memory, shared.leases), shared))

    def _watch(self, shared: Shared) -> None:
        finish = shared.leases.finish

        async def watched(digest: str, token: str, *rest: Any) -> Finish:
            outcome = await finish(digest, token, *rest)
            if outcome == "stored":
                self.stored[token] = self.stored.get(token, 0) + 1
            return outcome

        shared.leases.finish = watched  # type: ignore[method-assign]

    def run(self, work: Awaitable[Any]) -> Any:
        """One step of the world."""
        return self.loop.run_until_complete(asyncio.wait_for(work, 10))

    def settle(self, seconds: float = 0.004) -> None:
        """Let what can go on go on."""
        self.run(asyncio.sleep(seconds))

    @property
    def speaking(self) -> list[Maker]:
        """Makers that are at it."""
        return [maker for maker in self.makers if not maker.over.is_set()]

    # What may happen.

    @rule(replica=st.integers(0, REPLICAS - 1), live=st.booleans())
    def join(self, replica: int, live: bool) -> None:
        """Somebody wants it."""

        async def listen(listener: Listener) -> None:
            async with self.caches[replica].board(A, self._make(replica)) as seat:
                await (self._live(seat, listener) if live else self._whole(seat, listener))
            listener.content = True

        async def start() -> None:
            self.listeners.append(Listener(replica, listen))

        self.run(start())
        self.settle()

    async def _live(self, seat: Seat, listener: Listener) -> None:
        async with aclosing(seat.pieces()) as pieces:
            async for piece in pieces:
                listener.heard += piece

    async def _whole(self, seat: Seat, listener: Listener) -> None:
        listener.heard = (await seat.entry()).payload

    def _make(self, replica: int) -> Callable[[Callable[[bytes], None]], Awaitable[Made]]:
        async def make(emit: Callable[[bytes], None]) -> Made:
            maker = Maker(len(self.makers), replica, emit)
            self.makers.append(maker)
            if self.last:
                maker.say()
                maker.over.set()
            try:
                made = await maker.whole()
                self.done.add(made.payload)
            finally:
                maker.over.set()
            return made

        return make

    @rule(which=WHICH)
    def leave(self, which: int) -> None:
        """A listener hangs up."""
        waiting = [one for one in self.listeners if not one.task.done()]
        for one in _pick(waiting, which):
            one.task.cancel()
        self.settle()

    @rule(which=WHICH, pieces=st.integers(1, 4))
    def say(self, which: int, pieces: int) -> None:
        """A maker gives pieces."""
        for maker in _pick(self.speaking, which):
            for _ in range(pieces):
                maker.say()
        self.settle()

    @rule(which=WHICH)
    def end(self, which: int) -> None:
        """A maker comes to its end, having said something."""
        for maker in _pick(self.speaking, which):
            maker.say()
            maker.over.set()
        self.settle()

    @rule(which=WHICH)
    def fail(self, which: int) -> None:
        """A maker fails."""
        for maker in _pick(self.speaking, which):
            maker.error = FlightFailed("unavailable")
            maker.over.set()
        self.settle()

    @rule()
    def lose_the_lease(self) -> None:
        """It runs out, is evicted, or gone in a fail-over."""
        self.run(self.shared[0].link.client.delete(self.shared[0].link.keys.of("lease", A)))
        self.settle()

    @rule()
    def evict_the_pieces(self) -> None:
        """The server is short of memory."""
        self.run(self.shared[0].link.client.delete(self.shared[0].link.keys.of("pieces", A)))
        self.settle()

    @rule(replica=st.integers(0, REPLICAS - 1), losses=st.integers(1, 3))
    def lose_replies(self, replica: int, losses: int) -> None:
        """What is asked next is done, but nobody hears of it."""
        self.links[replica].losses = losses

    @rule(replica=st.integers(0, REPLICAS - 1), gone=st.booleans())
    def part_from_redis(self, replica: int, gone: bool) -> None:
        """One replica cannot reach it, or can again."""
        self.links[replica].gone = gone

    @rule(replica=st.integers(0, REPLICAS - 1))
    def hang(self, replica: int) -> None:
        """One replica is not heard of for longer than a lease, and then again."""
        self.links[replica].gone = True
        self.settle(1.5 * LEASE)
        self.links[replica].gone = False

    @rule()
    def forget(self) -> None:
        """The value is gone from everywhere."""
        self.run(self.shared[0].link.client.delete(self.shared[0].link.keys.of("clip", A)))
        self.kept = None
        for cache in self.caches:
            cache._memory.discard(A)

    # What always holds.

    @invariant()
    def no_bytes_are_mixed(self) -> None:
        """Each listener hears one maker from its beginning; who is content has heard all of it."""
        for listener in getattr(self, "listeners", ()):
            assert any(maker.said.startswith(listener.heard) for maker in self.makers) or not listener.heard
            if listener.content:
                assert listener.heard in self.done

    @invariant()
    def one_writer_for_each_fence(self) -> None:
        """A claim stores once at the most; what is kept is one maker's whole and stays; pieces are of one maker."""
        if not hasattr(self, "shared"):
            return
        assert all(count == 1 for count in self.stored.values())
        (entry,) = self.run(self.shared[0].tier.get_many([A])) if not self.links[0].gone else (None,)
        if entry is not None:
            assert entry.payload in self.done
            # What is there is never replaced under those who read it.
            assert self.kept in {None, entry.payload}
            self.kept = entry.payload
        pieces = self.run(self.shared[0].link.client.lrange(self.shared[0].link.keys.of("pieces", A), 0, -1))
        said = b"".join(pieces)
        assert not said or any(maker.said.startswith(said) for maker in self.makers)

    @invariant()
    def nothing_goes_on_for_nobody(self) -> None:
        """Without listeners anywhere every flight ends, and its maker is told so."""
        if not hasattr(self, "caches") or any(not one.task.done() for one in self.listeners):
            return
        left = PROMPT
        while self.speaking:
            assert left > 0, "a maker works for nobody"
            self.settle(0.01)
            left -= 0.01

    def teardown(self) -> None:
        """With everything mended, nobody is left waiting."""
        if not hasattr(self, "caches"):
            return
        self.last = True
        for link in self.links:
            link.gone, link.losses = False, 0
        for maker in self.speaking:
            maker.say()
            maker.over.set()
        waiting = [one.task for one in self.listeners if not one.task.done()]
        if waiting:
            self.run(asyncio.wait(waiting, timeout=5))
        assert all(one.task.done() for one in self.listeners), "a waiter was left behind"
        for one in self.listeners:
            error = None if one.task.cancelled() else one.task.exception()
            assert error is None or re.fullmatch("unavailable|broken", str(error)), error
        self.no_bytes_are_mixed()
        self.one_writer_for_each_fence()
        for cache in self.caches:
            self.run(cache.aclose())
        self.loop.close()


def _run(examples: int, *, again: bool) -> None:
    with tempfile.TemporaryDirectory() as home:
        FlightMachine.server = Server(Path(home))
        try:
            run_state_machine_as_test(
                FlightMachine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=25,
                    deadline=None,
                    derandomize=again,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            FlightMachine.server.stop()


def test_nothing_breaks_a_flight():
    """An order of faults that nobody thought of would leave a listener waiting, mix sounds, or pay for nobody."""
    _run(10, again=True)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_nothing_breaks_a_flight_in_many_more_orders():
    """As above: what a few orders do not show, some of five hundred others may."""
    _run(500, again=False)

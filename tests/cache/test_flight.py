"""One synthesis for all, within the process."""

import asyncio
import contextvars
from collections.abc import Callable, Iterator

import pytest

from cache.errors import FlightFailed
from cache.flight import Flights, Made
from cache.memory import MemoryTier
from tests.cache.conftest import until

A = "a" * 40
PIECES = [b"first ", b"second ", b"third"]


class Maker:
    """A synthesis that goes on when the test says so, and knows how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, emit: Callable[[bytes], None]) -> Made:
        """Emits, waits for `go`, emits, ends."""
        self.calls += 1
        try:
            emit(PIECES[0])
            await self.go.wait()
            if self.error is not None:
                raise self.error
            emit(PIECES[1])
            return Made(b"{}", b"".join(PIECES), 60.0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class VendorError(Exception):
    """As providers' errors are: with keyword arguments and a code."""

    code = "unavailable"

    def __init__(self, message: str, *, provider: str = "") -> None:
        super().__init__(message)
        self.provider = provider


@pytest.fixture
def maker() -> Maker:
    """The double of a provider."""
    return Maker()


@pytest.fixture
def flights() -> Flights:
    """A process without Redis."""
    return Flights(MemoryTier(1 << 20))


async def listen(flights: Flights, make: Maker) -> tuple[bytes, str | None]:
    """A listener who stays to the end."""
    async with flights.board(A, make) as seat:
        heard = b"".join([piece async for piece in seat.pieces()])
        return heard, seat.outcome


async def settled() -> None:
    """Let everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_thousand_askers_one_synthesis(flights: Flights, maker: Maker):
    """A thousand requests for a cold text must be paid for once, and hear the same."""
    crowd = [asyncio.create_task(listen(flights, maker)) for _ in range(1000)]
    await settled()
    maker.go.set()
    heard = await asyncio.gather(*crowd)
    assert {sound for sound, _ in heard} == {b"".join(PIECES)}
    assert [outcome for _, outcome in heard].count("made") == 1
    assert [outcome for _, outcome in heard].count("joined") == 999
    assert maker.calls == 1


async def test_pieces_are_heard_while_they_are_made_also_by_the_late(flights: Flights, maker: Maker):
    """The first listener must not wait for the end, and a late one must not miss the beginning."""
    async with flights.board(A, maker) as early, flights.board(A, maker) as late:
        assert await anext(early.pieces()) == PIECES[0]
        assert await anext(late.pieces()) == PIECES[0]
        assert late.outcome == "joined"
        maker.go.set()
        assert [piece async for piece in late.pieces()] == PIECES


async def test_the_starter_leaves_and_fifty_others_complete(flights: Flights, maker: Maker):
    """Whoever happened to come first must not take the sound away from the others by hanging up."""
    starter = asyncio.create_task(listen(flights, maker))
    await settled()
    others = [asyncio.create_task(listen(flights, maker)) for _ in range(50)]
    await settled()
    starter.cancel()
    await settled()
    maker.go.set()
    heard = await asyncio.gather(*others)
    assert [sound for sound, _ in heard] == [b"".join(PIECES)] * 50
    assert (maker.calls, maker.cancelled) == (1, 0)


async def test_everybody_leaves_nothing_is_stored_and_the_next_succeeds(flights: Flights, maker: Maker):
    """Sound that nobody waits for must not be paid for to its end, and half a clip must not be kept."""
    crowd = [asyncio.create_task(listen(flights, maker)) for _ in range(10)]
    await settled()
    for one in crowd:
        one.cancel()
    await settled()
    assert maker.cancelled == 1
    assert flights.statistics().under_way == 0
    assert flights.statistics().abandoned == 1
    maker.go.set()
    assert (await listen(flights, maker)) == (b"".join(PIECES), "made")
    assert maker.calls == 2


async def test_a_newcomer_to_a_dying_flight_gets_a_new_one(flights: Flights):
    """A provider that is slow to hang up must not fail the next listener with the last one's cancellation."""
    dying, gone = asyncio.Event(), asyncio.Event()

    async def stubborn(emit: Callable[[bytes], None]) -> Made:
        try:
            await asyncio.Event().wait()
        finally:
            dying.set()
            await gone.wait()
        raise AssertionError

    async with flights.board(A, stubborn):
        await settled()
    await dying.wait()
    fresh = Maker()
    fresh.go.set()
    assert (await listen(flights, fresh))[0] == b"".join(PIECES)
    gone.set()
    await flights.aclose()
    assert fresh.calls == 1


async def test_a_maker_that_ignores_its_end_stores_nothing(flights: Flights):
    """What comes after everybody left was not asked for by anybody: it may be cut short."""
    cancelled = asyncio.Event()

    async def deaf(emit: Callable[[bytes], None]) -> Made:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
        return Made(b"{}", b"half", 60.0)

    async with flights.board(A, deaf):
        await settled()
    await cancelled.wait()
    await flights.aclose()
    assert flights.statistics().led == 0


async def test_leaving_after_the_end_does_not_undo_it(flights: Flights, maker: Maker):
    """The last listener hears the end and goes: the clip must be in the cache for the next."""
    maker.go.set()
    await listen(flights, maker)
    assert await listen(flights, maker) == (b"".join(PIECES), "hit")
    assert maker.calls == 1


async def test_a_failure_reaches_everybody_as_itself(flights: Flights, maker: Maker):
    """Nobody may hang, and each must be able to tell a quota from a time-out."""
    maker.error = VendorError("no", provider="eleven")
    crowd = [asyncio.create_task(listen(flights, maker)) for _ in range(100)]
    await settled()
    maker.go.set()
    errors = await asyncio.gather(*crowd, return_exceptions=True)
    assert {(type(error), error.provider, str(error)) for error in errors} == {(VendorError, "eleven", "no")}
    # One object raised a hundred times would collect a hundred tracebacks.
    assert len({id(error) for error in errors}) == 100
    assert maker.calls == 1


async def test_sound_before_a_failure_is_heard_and_the_end_is_not_clean(flights: Flights, maker: Maker):
    """A clip that breaks off must not look finished."""
    maker.error = VendorError("no")
    async with flights.board(A, maker) as seat:
        pieces = seat.pieces()
        assert await anext(pieces) == PIECES[0]
        maker.go.set()
        with pytest.raises(VendorError):
            await anext(pieces)


async def test_a_failure_is_remembered_for_a_moment_only(maker: Maker):
    """Late-comers must not call a failing provider one by one, nor be told of a failure of long ago."""
    now = 0.0
    flights = Flights(MemoryTier(1 << 20), clock=lambda: now, remember=lambda _: 60.0)
    maker.error = VendorError("no")
    maker.go.set()
    for _ in range(20):
        with pytest.raises(VendorError):
            await listen(flights, maker)
    assert maker.calls == 1
    now = 2.1  # 60 s were asked for; 2 s is the most that is promised
    maker.error = None
    assert (await listen(flights, maker))[1] == "made"


async def test_what_is_not_worth_remembering_is_tried_again(flights: Flights, maker: Maker):
    """A failure that is the maker's own affair must not be answered to the next."""
    maker.error = VendorError("no")
    maker.go.set()
    for _ in range(2):
        with pytest.raises(VendorError):
            await listen(flights, maker)
    assert maker.calls == 2


def bad_makers() -> Iterator[tuple[str, list[bytes], bytes]]:
    """Makers whose pieces and whole do not agree, or that do not stop."""
    yield "inconsistent", [b"abc"], b"abd"
    yield "inconsistent", [b"abc"], b"ab"
    yield "too_large", [b"x" * 600, b"x" * 600], b"x" * 1200
    yield "too_large", [], b"x" * 1200


@pytest.mark.parametrize(("code", "pieces", "whole"), list(bad_makers()))
async def test_inconsistent_and_endless_sound_is_refused(code: str, pieces: list[bytes], whole: bytes):
    """What was heard live and what is replayed must be the same bytes, and memory has a bound."""

    async def bad(emit: Callable[[bytes], None]) -> Made:
        for piece in pieces:
            emit(piece)
        return Made(b"{}", whole, 60.0)

    flights = Flights(MemoryTier(1 << 20), limit=1000)
    with pytest.raises(FlightFailed, match=code):
        await listen(flights, bad)
    assert flights.statistics().led == 0


async def test_the_rest_of_the_whole_is_heard_though_it_was_never_emitted(flights: Flights):
    """A maker may give its last piece, or everything, at the end."""

    async def quiet(emit: Callable[[bytes], None]) -> Made:
        emit(b"be")
        return Made(b"{}", b"beginning and end", 60.0)

    assert (await listen(flights, quiet))[0] == b"beginning and end"


async def test_a_flight_carries_nothing_of_the_request_that_started_it(flights: Flights):
    """A trace or deadline of the first asker must not stick to what others wait for."""
    request = contextvars.ContextVar("request", default="nobody")
    seen = []

    async def make(emit: Callable[[bytes], None]) -> Made:
        seen.append(request.get())
        return Made(b"{}", b"x", 60.0)

    request.set("somebody")
    await listen(flights, make)
    assert seen == ["nobody"]


async def test_closing_ends_all_and_leaves_nobody_waiting(flights: Flights, maker: Maker):
    """A server that shuts down must neither hang nor leave a synthesis running."""
    waiting = asyncio.create_task(listen(flights, maker))
    await until(lambda: maker.calls == 1)
    await flights.aclose()
    with pytest.raises(FlightFailed, match="closed"):
        await waiting
    assert maker.cancelled == 1
    with pytest.raises(FlightFailed, match="closed"):
        await listen(flights, maker)

"""Tasks that nobody awaits: what they did not foresee is told, holds nobody up, and does not end them."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from cache import value
from cache.archive import open_archive
from cache.behind import Behind
from cache.flight import Flights, Made
from cache.interface import Entry
from cache.memory import MemoryTier
from cache.notices import Notices
from cache.shared import Shared
from cache.tending import keep_on
from tests.cache.conftest import sound, until

A, B = "a" * 40, "b" * 40
SECRET = "marmalade"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The log's lines so far, none of which may have an exception's message in it."""

    def lines() -> list[str]:
        assert SECRET not in caplog.text
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]

    return lines


def _breaking(monkeypatch: pytest.MonkeyPatch, payload: bytes, times: int) -> None:
    """Have so many readings of values with this payload fail as none should."""
    decode, left = value.decode, iter(range(times))

    def breaks(encoded: bytes) -> Entry:
        if payload in encoded and next(left, None) is not None:
            raise KeyError(SECRET)
        return decode(encoded)

    monkeypatch.setattr(value, "decode", breaks)


async def test_a_reading_that_breaks_is_a_miss_and_the_next_is_served(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
):
    """Whoever asked behind the broken one would wait for sound for ever."""
    await shared.tier.put(A, sound(b"broken"))
    await shared.tier.put(B, entry := sound())
    # Each look-up fills a command, so that those of B wait behind the broken ones; one for each reader breaks.
    _breaking(monkeypatch, b"broken", 4)
    others = [f"{number:040x}" for number in range(63)]
    broken = [shared.tier.get_many([A, *others]) for _ in range(4)]
    behind = [shared.tier.get_many([B]) for _ in range(8)]
    async with asyncio.timeout(10):
        found = await asyncio.gather(*broken, *behind)
    assert [one[0] for one in found] == [None] * 4 + [entry] * 8
    assert len(told()) == shared.tier.statistics().errors == 4
    assert all(line.startswith("defect in a reading of Redis: KeyError at ") for line in told())


async def test_an_ear_hears_again_after_a_defect(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
):
    """One message that nobody understood would leave a process deaf: each of its followers would be late."""
    clock = [0.0]
    notices = Notices(shared.link, clock=lambda: clock[0])
    hear, messages = Notices._hear, list[object]()

    def breaks(self: Notices, message: object) -> None:
        messages.append(message)
        if len(messages) == 2:  # the first one is the server's acknowledgement
            raise ValueError(SECRET)
        hear(self, message)

    monkeypatch.setattr(Notices, "_hear", breaks)
    channel = shared.link.keys.of("notice", A)
    async with notices.ear(channel) as ear:
        await ear.listen()
        assert await shared.link.client.publish(channel, "") == 1
        await ear.wait(10)
        await until(lambda: told() != [])
        # Until the server knows that the line is closed.
        while await shared.link.client.publish(channel, ""):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        # It rests, so that a defect that stays is not met again and again as fast as Redis answers.
        await ear.listen()
        assert await shared.link.client.publish(channel, "") == 0
        clock[0] += 2
        await ear.listen()
        assert await shared.link.client.publish(channel, "") == 1
        await ear.wait(10)
        assert ear._heard.is_set()
    await notices.aclose()
    (line,) = told()
    assert line.startswith("defect in listening to Redis: ValueError at ")


async def test_what_waits_behind_a_broken_write_is_written(told: Callable[[], list[str]]):
    """One entry that cannot be written would keep all those behind it from the archive."""
    written: list[str] = []

    async def write(digest: str, _entry: Entry, _mark: bytes) -> None:
        if digest == A:
            raise KeyError(SECRET)
        written.append(digest)

    behind = Behind(write)
    others = [f"{number:040x}" for number in range(5)]
    for digest in (A, *others):
        behind.add(digest, sound())
    await asyncio.sleep(0)
    for number in range(8):  # a broken one for each writer, and more
        behind.add(A, sound())
        await asyncio.sleep(0)
        behind.add(others[number % 5], sound())
    await behind.aclose()
    assert set(written) == set(others)
    assert behind.dropped == len(told()) >= 1


async def test_what_is_added_while_all_writers_end_is_written():
    """What is stored again as soon as it was forgotten would stay unwritten until somebody stores something else."""
    go = asyncio.Event()
    written: list[str] = []

    async def write(digest: str, _entry: Entry, _mark: bytes) -> None:
        await go.wait()
        written.append(digest)

    behind = Behind(write)
    digests = [f"{number:040x}" for number in range(4)]
    for digest in digests:  # as many as there are writers
        behind.add(digest, sound())
    await until(lambda: len(behind._writing) == 4)

    async def forget_and_add() -> None:
        await behind.forget(digests[0])
        behind.add(B, sound())

    again = asyncio.create_task(forget_and_add())
    await asyncio.sleep(0)  # it waits for the first writing
    go.set()
    await again
    async with asyncio.timeout(5):
        await until(lambda: B in written)
    await behind.aclose()


async def test_an_archive_that_breaks_answers_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
):
    """A speech of sixty clips would wait a second for those that were read together with the broken one."""
    archive = open_archive(tmp_path.as_uri())
    await archive.put(A, sound())
    await archive._behind.aclose()
    _breaking(monkeypatch, b"sound", 1)
    assert await archive.get_many([A, B]) == [None, None]
    assert [line.partition(" at ")[0] for line in told()] == ["defect in a reading of the archive: KeyError"]
    assert (await archive.get_many([A]))[0] is not None
    await archive.aclose()


@pytest.mark.parametrize("fault", ["raises", "takes for ever"])
async def test_what_goes_on_behind_a_look_at_the_log_does_not_end_the_looking(
    shared: Shared, told: Callable[[], list[str]], fault: str
):
    """A process that looks no more would serve from memory for ever what all others have forgotten.

    Behind an outage it may have thousands of late writes to look for.
    """
    memory = MemoryTier(1 << 20)
    shared.purges._pause = 0.01
    begun = asyncio.Event()

    async def goes_on() -> None:
        begun.set()
        if fault == "raises":
            raise KeyError(SECRET)
        await asyncio.Event().wait()

    shared.purges.watch(memory, then=goes_on)
    await begun.wait()
    memory.add(A, sound())
    await shared.purges.delete([A])
    async with asyncio.timeout(5):
        await until(lambda: memory.peek(A) is None)
    await shared.purges.aclose()
    assert all(line.startswith("defect in heeding what was forgotten: KeyError at ") for line in told())


async def test_a_ledger_that_breaks_says_so_and_goes_on(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
):
    """What one user has had stored would not be counted any more, and asyncio's own report would name him."""
    ledger = shared.ledger

    async def breaks() -> None:
        raise KeyError(SECRET)

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "_add_up", breaks)
        ledger.see("one")
        await until(lambda: told() != [])
    (line,) = told()
    assert line.startswith("defect in the ledger: KeyError at ")
    ledger.see("two")
    key = shared.link.keys.of("stored", str(ledger._day))
    async with asyncio.timeout(5):
        while not await shared.link.client.hexists(key, "two"):  # noqa: ASYNC110 - the server has no event here
            await asyncio.sleep(0.005)
    await ledger.aclose()


async def test_what_goes_on_for_ever_begins_again_more_and_more_slowly(told: Callable[[], list[str]]):
    """A watch that has died is noticed by nobody; one that dies each time must not fill the log."""
    pauses: list[float] = []
    tries = 0

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries <= 12:
            raise OSError(SECRET)

    await keep_on("watching", work, sleep)
    assert tries == 13
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[10.0] * 5]
    assert len(told()) == 12


async def test_a_flight_that_cannot_be_stored_is_told_of_without_its_message(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
):
    """Asyncio would tell of it some time later, with a message in which there may be somebody's text."""

    async def breaks(*_: object, **__: object) -> str:
        raise KeyError(SECRET)

    monkeypatch.setattr(shared.leases, "finish", breaks)
    flights = Flights(MemoryTier(2**20), shared.leases)

    async def make(emit: Callable[[bytes], None]) -> Made:
        emit(b"sound")
        return Made(b"{}", b"sound", 60.0)

    async with flights.board(A, make) as seat:
        assert b"".join([piece async for piece in seat.pieces()]) == b"sound"
    await flights.aclose()
    assert [line.partition(" at ")[0] for line in told()] == ["defect in a flight: KeyError"]

"""The circuits of a fleet: one process finds out, all know; one probes, all go on."""

import asyncio
from collections.abc import Mapping

import pytest

from providers import circuits as circuits_module
from providers import errors
from providers.circuit import Circuit
from providers.circuits import Circuits
from providers.guard import circuit_of
from providers.interface import ProviderSettings
from providers.kinds import build

DOWN = errors.Unavailable("down", provider="one")


class Board:
    """What a fleet tells itself; `away`: nobody can be reached."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.claimed: set[str] = set()
        self.away = False

    async def post(self, name: str, value: str, seconds: float) -> bool:
        """See `Fleet`."""
        if not self.away:
            self.told[name] = value
        return not self.away

    async def withdraw(self, name: str) -> bool:
        """See `Fleet`."""
        if not self.away:
            self.told.pop(name, None)
        return not self.away

    async def posted(self, names: list[str]) -> Mapping[str, str] | None:
        """See `Fleet`."""
        return None if self.away else {name: self.told[name] for name in names if name in self.told}

    async def claim(self, name: str, seconds: float) -> bool:
        """See `Fleet`; it is given back by the test."""
        if name in self.claimed:
            return False
        self.claimed.add(name)
        return True


class Prober:
    """Probes that end as the test says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: errors.ProviderError | None = DOWN

    async def __call__(self, provider: str) -> None:
        """See `Probe`."""
        self.asked.append(provider)
        if self.failure:
            raise self.failure


async def looked(circuits: Circuits, board: Board, probe: Prober) -> None:
    """Once, and what it began has ended."""
    await circuits.look(board, probe)
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def fleet() -> tuple[Circuits, Circuits, Board, Prober]:
    """Two processes with one provider each, the same."""
    one, two = Circuits(), Circuits()
    one.use([Circuit("one")])
    two.use([Circuit("one")])
    return one, two, Board(), Prober()


def broken(circuits: Circuits) -> None:
    """It failed five times here."""
    for _ in range(5):
        circuits.of("one").failed(DOWN)


async def test_what_one_finds_out_all_know(fleet: tuple[Circuits, Circuits, Board, Prober]):
    """Each replica would find out by five listeners of its own."""
    one, two, board, probe = fleet
    broken(one)
    await looked(one, board, probe)
    await looked(two, board, probe)
    assert two.of("one").reason == "unavailable"
    assert probe.asked == ["one"]  # the second has not claimed it
    assert two.states() == {"one": "open"}


async def test_when_it_speaks_again_all_go_on(fleet: tuple[Circuits, Circuits, Board, Prober]):
    """A provider that is well again would go on being passed over, on all replicas but one."""
    one, two, board, probe = fleet
    broken(one)
    await looked(one, board, probe)
    await looked(two, board, probe)
    board.claimed.clear()
    probe.failure = None
    await looked(two, board, probe)
    assert two.of("one").reason is None
    await looked(one, board, probe)
    assert one.of("one").reason is None


async def test_nobody_can_be_reached(fleet: tuple[Circuits, Circuits, Board, Prober]):
    """Without Redis an open circuit would never close, or close at once."""
    one, _, board, probe = fleet
    board.away = True
    broken(one)
    await looked(one, board, probe)
    await looked(one, board, probe)
    assert one.of("one").reason == "unavailable"
    board.claimed.clear()
    probe.failure = None
    await looked(one, board, probe)
    assert one.of("one").reason is None


async def test_what_was_found_out_meanwhile_is_told_when_all_are_back(
    fleet: tuple[Circuits, Circuits, Board, Prober],
):
    """What is not told would look as if somebody had closed it."""
    one, two, board, probe = fleet
    board.away = True
    broken(one)
    await looked(one, board, probe)
    board.away = False
    await looked(one, board, probe)
    await looked(one, board, probe)
    assert one.of("one").reason == "unavailable"
    await looked(two, board, probe)
    assert two.of("one").reason == "unavailable"


async def test_a_key_that_fails_otherwise_is_probed_more_rarely(
    fleet: tuple[Circuits, Circuits, Board, Prober],
):
    """A down vendor that comes back with a revoked key would be asked twelve times a minute."""
    one, _, board, probe = fleet
    broken(one)
    probe.failure = errors.BadCredentials("no", provider="one")
    await looked(one, board, probe)
    assert one.of("one").reason == "auth"
    assert one.of("one").pause == 60


async def test_an_outage_is_probed_as_often_whatever_was_before(
    fleet: tuple[Circuits, Circuits, Board, Prober],
):
    """Right after an account was refused for a moment, the vendor's outage would last a minute longer than it does."""
    one, _, board, probe = fleet
    one.of("one").failed(errors.QuotaExceeded("no", provider="one"))
    probe.failure = None
    await looked(one, board, probe)
    assert one.of("one").reason is None
    broken(one)
    probe.failure = DOWN
    await looked(one, board, probe)
    assert len(probe.asked) == 2


async def test_watching_ends_with_its_probes(fleet: tuple[Circuits, Circuits, Board, Prober]):
    """A probe without an owner would go on after the end of the service."""
    one, _, board, _ = fleet
    broken(one)
    ended = asyncio.Event()
    began = asyncio.Event()

    async def hanging(_: str) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    watching = asyncio.create_task(one.watch(board, hanging))
    await began.wait()
    assert one.states() == {"one": "half_open"}
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert ended.is_set()


async def test_a_look_under_way_does_not_open_what_a_probe_has_closed(
    fleet: tuple[Circuits, Circuits, Board, Prober], monkeypatch: pytest.MonkeyPatch
):
    """The first listener after a recovery would be refused by the very process that found out."""
    one, _, board, probe = fleet
    broken(one)
    await looked(one, board, probe)
    reading, go = asyncio.Event(), asyncio.Event()
    posted = board.posted

    async def slow(names: list[str]) -> Mapping[str, str] | None:
        found = await posted(names)
        reading.set()
        await go.wait()
        return found

    monkeypatch.setattr(board, "posted", slow)
    looking = asyncio.create_task(one.look(board, probe))
    await reading.wait()
    one.of("one").close()
    go.set()
    await looking
    assert one.of("one").reason is None


async def test_a_probe_that_drips_is_ended(
    fleet: tuple[Circuits, Circuits, Board, Prober], monkeypatch: pytest.MonkeyPatch
):
    """What is told of a circuit would run out while its probe hangs, and all would ask the vendor again."""
    one, _, board, _ = fleet
    monkeypatch.setattr(circuits_module, "PATIENCE", 0.002)
    broken(one)

    async def hanging(_: str) -> None:
        await asyncio.Event().wait()

    await one.look(board, hanging)
    async with asyncio.timeout(5):
        while board.told.get("one") != "timeout":  # noqa: ASYNC110 - the board has no event
            await asyncio.sleep(0.001)
    assert one.of("one").reason == "timeout"
    assert one.states() == {"one": "open"}


async def test_a_new_key_is_not_judged_by_the_old_one(fleet: tuple[Circuits, Circuits, Board, Prober]):
    """Whoever has mended the key and had it read would wait for a minute, or for ever."""
    one, two, board, probe = fleet
    one.of("one").failed(errors.BadCredentials("no", provider="one"))
    await looked(one, board, probe)
    await looked(two, board, probe)
    one.use([Circuit("one")])
    await looked(one, board, probe)
    await looked(two, board, probe)
    assert (one.of("one").reason, two.of("one").reason) == (None, None)


async def test_who_has_the_old_key_does_not_speak_for_the_new_one():
    """While replicas are given a new key one by one, the last with the revoked one would switch off all others."""
    one, two, board, probe = Circuits(), Circuits(), Board(), Prober()
    keys = [ProviderSettings("one", "openai", api_key=key) for key in ("sk-old", "sk-new")]
    old, new = (circuit_of(build(settings)) for settings in keys)
    one.use([old])
    two.use([new])
    old.failed(errors.BadCredentials("no", provider="one"))
    await looked(one, board, probe)
    await looked(two, board, probe)
    assert (old.reason, new.reason) == ("unavailable", None)  # what the probe was told
    assert "sk-old" not in "".join(board.told)
    # And who gets the new one has not taken back what the others say of the old.
    one.use([circuit_of(build(keys[1]))])
    await looked(one, board, probe)
    assert one.of("one").reason is None
    assert len(board.told) == 1


async def test_who_is_no_longer_in_force_is_not_looked_after(fleet: tuple[Circuits, Circuits, Board, Prober]):
    """A provider that was taken out would be probed, and paid for, for ever."""
    one, _, board, probe = fleet
    broken(one)
    one.use([])
    await looked(one, board, probe)
    assert probe.asked == []
    assert one.states() == {}


async def test_a_probe_with_the_old_key_is_no_news_of_the_new_one(
    fleet: tuple[Circuits, Circuits, Board, Prober],
):
    """A key that is mended while the old one is being tried would wait for another minute, on all replicas."""
    one, _, board, _ = fleet
    one.of("one").failed(errors.BadCredentials("no", provider="one"))
    go, ended = asyncio.Event(), asyncio.Event()

    async def slow(_: str) -> None:
        await go.wait()
        ended.set()
        raise errors.BadCredentials("no", provider="one")

    await one.look(board, slow)
    await asyncio.sleep(0)
    one.use([Circuit("one")])
    await one.look(board, slow)
    go.set()
    await ended.wait()
    await asyncio.sleep(0)
    assert board.told == {}
    await one.look(board, slow)
    assert one.of("one").reason is None


async def test_what_could_not_be_withdrawn_is_withdrawn_later(
    fleet: tuple[Circuits, Circuits, Board, Prober],
):
    """With Redis back, a provider that has long been speaking again would be opened for everybody once more."""
    one, two, board, probe = fleet
    broken(one)
    await looked(one, board, probe)
    await looked(two, board, probe)
    board.away = True
    board.claimed.clear()
    probe.failure = None
    await looked(one, board, probe)
    assert one.of("one").reason is None
    await looked(one, board, probe)  # still away
    board.away = False
    await looked(one, board, probe)
    assert one.of("one").reason is None
    await looked(two, board, probe)
    assert (two.of("one").reason, board.told) == (None, {})


async def test_a_look_while_it_is_withdrawn_does_not_open_it_again(
    fleet: tuple[Circuits, Circuits, Board, Prober], monkeypatch: pytest.MonkeyPatch
):
    """Redis slow for a moment, and the process that found out would go on refusing for five seconds more."""
    one, _, board, probe = fleet
    broken(one)
    await looked(one, board, probe)
    board.claimed.clear()
    probe.failure = None
    withdraw, go = board.withdraw, asyncio.Event()
    under_way: list[str] = []

    async def slow(name: str) -> bool:
        under_way.append(name)
        if len(under_way) == 1:
            await go.wait()
        return await withdraw(name)

    monkeypatch.setattr(board, "withdraw", slow)
    await looked(one, board, probe)
    assert len(under_way) == 1
    await one.look(board, probe)
    assert one.of("one").reason is None
    go.set()
    await looked(one, board, probe)
    assert board.told == {}


async def test_what_opened_again_is_not_withdrawn(fleet: tuple[Circuits, Circuits, Board, Prober]):
    """What was to be said when it had closed would be taken for its having closed now."""
    one, two, board, probe = fleet
    broken(one)
    await looked(one, board, probe)
    board.away = True
    board.claimed.clear()
    probe.failure = None
    await looked(one, board, probe)
    broken(one)
    board.away = False
    await looked(one, board, probe)
    await looked(one, board, probe)
    await looked(two, board, probe)
    assert (one.of("one").reason, two.of("one").reason) == ("unavailable", "unavailable")

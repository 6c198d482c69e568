"""The master that real sentinels name, killed, deposed and paused."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.lease import Alone, Follow, Lead
from cache.shared import Shared
from tests.cache.conftest import sound, until
from tests.cache.fleet import Guarded, Member, guarded

A, B = "a" * 40, "b" * 40


@pytest.fixture
def fleet() -> Iterator[Guarded]:
    """A master, a replica, and one sentinel that decides alone."""
    with tempfile.TemporaryDirectory() as home, guarded(Path(home), sentinels=1) as running:
        yield running


def has(member: Member, shared: Shared, digest: str) -> bool:
    """Whether this very server has the clip."""
    return bool(member.ask("EXISTS", shared.link.keys.of("clip", digest)))


def follows(shared: Shared, member: Member) -> bool:
    """Whether this is the master for us."""
    return [server.host for server in shared.link.servers.known()] == [("127.0.0.1", member.port)]


async def promoted(fleet: Guarded) -> float:
    """Until the replica is master; when that was."""
    while not await asyncio.to_thread(fleet.promoted):  # noqa: ASYNC110 - what others see has no event here
        await asyncio.sleep(0.02)
    return time.monotonic()


async def usable(shared: Shared) -> float:
    """Until something can be stored and found again; when that was."""
    while await shared.tier.get_many([B]) == [None]:
        await shared.tier.put(B, sound())
        await asyncio.sleep(0.005)
    return time.monotonic()


@pytest.mark.parametrize(
    "fault", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.soak)], ids=["killed", "hung"]
)
async def test_the_new_master_is_used_as_soon_as_there_is_one(
    fleet: Guarded, open_shared: Callable[..., Shared], fault: signal.Signals
):
    """Every process would be without its cache until somebody restarts it."""
    shared = open_shared(fleet)
    await shared.tier.put(A, entry := sound())
    await asyncio.to_thread(fleet.master.client.wait, 1, 5000)
    assert has(fleet.replica, shared, A)
    fleet.master.send(fault)
    began = time.monotonic()
    assert await shared.tier.get_many([A]) == [None]
    assert await shared.leases.join(A, "token") == Alone()
    assert time.monotonic() - began < 1.0
    there = await promoted(fleet)
    back = await usable(shared)
    assert back - there < 10.0  # promised: 2 s
    assert await shared.tier.get_many([A]) == [entry]
    assert await shared.leases.join("c" * 40, "token") == Lead()


async def test_a_deposed_master_gets_no_more_writes_though_no_error_says_so(
    fleet: Guarded, open_shared: Callable[..., Shared]
):
    """Two replicas of ours would each lead with another master: everything would be paid for twice."""
    shared = open_shared(fleet, timeout=5.0)
    await shared.tier.put(A, sound())
    # Behind a broken line nobody of us asks it anything; when the line is whole again it still thinks itself master.
    fleet.master.send(signal.SIGSTOP)
    there = await promoted(fleet)
    await until(lambda: follows(shared, fleet.replica))
    assert time.monotonic() - there < 10.0
    fleet.master.send(signal.SIGCONT)
    await shared.tier.put(B, sound())
    assert has(fleet.replica, shared, B)
    assert shared.link.errors == 0


@pytest.mark.soak
async def test_a_planned_fail_over_raises_nothing(fleet: Guarded, open_shared: Callable[..., Shared]):
    """The old master refuses writes from one moment to the next: neither an error nor an outage for long."""
    shared = open_shared(fleet)
    await shared.tier.put(A, sound())
    async with shared.leases.ear(A) as ear:
        await ear.listen()
        listening = asyncio.create_task(ear.wait(60.0))
        fleet.sentinels[0].ask("SENTINEL", "FAILOVER", "refrain")
        end = asyncio.create_task(promoted(fleet))
        while not end.done():
            await shared.tier.put(B, sound())
            await shared.leases.join(A, "token")
            await asyncio.sleep(0.001)
        # What listened at the old master hears nothing there any more: it has to look for itself.
        await listening
    back = await usable(shared)
    assert back - await end < 10.0


async def test_a_master_that_has_become_a_replica_opens_the_circuit(
    steady: Guarded, open_shared: Callable[..., Shared]
):
    """Each request would be refused its write one by one, with the new master already there."""
    shared = open_shared(steady)
    await shared.tier.put(A, sound())
    steady.sentinels[0].send(signal.SIGSTOP)  # nobody knows better yet, nor repairs it
    steady.master.ask("REPLICAOF", "127.0.0.1", steady.replica.port)
    assert await shared.leases.join(B, "token") == Alone()
    assert shared.link.outage.open
    steady.master.ask("REPLICAOF", "NO", "ONE")
    steady.sentinels[0].send(signal.SIGCONT)
    await until(lambda: not shared.link.outage.open)
    assert isinstance(await shared.leases.join(B, "token"), Lead | Follow)


async def test_no_sentinel_or_no_such_service_is_an_outage(
    steady: Guarded, open_shared: Callable[..., Shared]
):
    """A wrong name in the configuration must not be waited for by every request, nor break one."""

    class Wrong:
        url = steady.url.replace("/refrain", "/other")

    class Nowhere:
        url = "redis+sentinel://127.0.0.1:1,127.0.0.1:2/refrain"

    for address in (Wrong, Nowhere):
        shared = open_shared(address())
        assert await shared.tier.get_many([A]) == [None]
        assert shared.link.outage.open


@pytest.mark.soak
async def test_the_sentinel_that_knows_of_the_last_fail_over_is_believed(
    open_shared: Callable[..., Shared],
):
    """One that was cut off names the old master: to believe whoever answers first would go to and fro."""
    with tempfile.TemporaryDirectory() as home, guarded(Path(home), sentinels=3) as fleet:
        shared = open_shared(fleet)
        await shared.tier.put(A, sound())
        stale = fleet.sentinels[0]
        stale.send(signal.SIGSTOP)
        fleet.master.send(signal.SIGKILL)
        await promoted(fleet)
        await until(lambda: follows(shared, fleet.replica))
        stale.send(signal.SIGCONT)
        await shared.link.servers._look()
        assert follows(shared, fleet.replica)

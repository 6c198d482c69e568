"""What an operator's tools see of Redis, whatever kind it is."""

import signal
from collections.abc import Callable

import pytest

from cache.errors import Away
from cache.inventory import redis_figures, redis_values
from cache.link import Keys
from cache.shared import Shared
from tests.cache.conftest import Server, sound
from tests.cache.fleet import Cluster, Guarded

DIGESTS = [f"{number:040x}" for number in range(60)]


@pytest.fixture(params=["valkey", "steady", "nodes"])
def server(request: pytest.FixtureRequest) -> Server | Guarded | Cluster:
    """One server, a master that a sentinel names, and three masters."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def stored(server: Server | Guarded | Cluster, open_shared: Callable[..., Shared]) -> Shared:
    """A share in it, patient enough for a busy machine."""
    return open_shared(server, timeout=5.0)


async def values(shared: Shared) -> dict[str, bytes | None]:
    """All that comes."""
    return {digest: stored async for batch in redis_values(shared.link) for digest, stored in batch}


async def test_every_entry_comes_from_wherever_it_lies(stored: Shared, server: object):
    """A verification would call a cache sound of which it has seen a third, or nothing."""
    for digest in DIGESTS:
        await stored.tier.put(digest, sound(digest.encode()))
    found = await values(stored)
    assert sorted(found) == DIGESTS
    assert all(digest.encode() in (found[digest] or b"") for digest in DIGESTS)
    figures = await redis_figures(stored.link)
    assert figures.masters == (3 if isinstance(server, Cluster) else 1)
    assert figures.keys >= len(DIGESTS)
    assert figures.bytes > figures.masters * 2**19
    assert (figures.limit, figures.policy) == (None, "noeviction")


async def test_the_figures_are_those_of_all_masters(open_shared: Callable[..., Shared], nodes: Cluster):
    """A disk or a bill would be sized by a third of what there is."""
    shared = open_shared(nodes, timeout=5.0)
    try:
        for number, node in enumerate(nodes.masters, 1):
            node.ask("CONFIG", "SET", "maxmemory", number * 2**26, "maxmemory-policy", "volatile-lfu")
        figures = await redis_figures(shared.link)
        assert (figures.limit, figures.policy) == (6 * 2**26, "volatile-lfu")
        assert figures.keys == sum(int(str(node.ask("DBSIZE"))) for node in nodes.masters)
        nodes.masters[1].ask("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")
        figures = await redis_figures(shared.link)
        assert (figures.limit, figures.policy) == (None, "noeviction, volatile-lfu")
    finally:
        for node in nodes.masters:
            node.ask("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")


async def test_a_master_that_is_away_is_told_and_not_left_out(
    open_shared: Callable[..., Shared], nodes: Cluster, keys: Keys
):
    """What lies there would be taken for verified, and the figures for those of all."""
    shared = open_shared(nodes, timeout=0.5)
    for digest in DIGESTS:
        await shared.tier.put(digest, sound())
    nodes.masters[2].send(signal.SIGSTOP)
    try:
        with pytest.raises(Away):
            await values(shared)
        with pytest.raises(Away):
            await redis_figures(shared.link)
    finally:
        nodes.masters[2].send(signal.SIGCONT)

"""A speech's whole life over a cluster of three real masters: made, followed, found, purged, deleted."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cache.cache import Cache, open_cache
from cache.labels import Label
from cache.purges import Purges
from tests.cache.fleet import Cluster, cluster
from tests.http.servers import Inside, inside
from tests.http.test_following import TEXT, Follower, Making
from tests.http.test_forgetting import indexed

PATIENCE = 5.0
"""A busy machine is no outage: none is to be counted here."""

QUOTED = "After that nobody spoke."


@pytest.fixture(scope="session")
def nodes() -> Iterator[Cluster]:
    """A cluster of three masters."""
    with tempfile.TemporaryDirectory() as home, cluster(Path(home)) as running:
        yield running


@pytest.fixture
async def replicas(nodes: Cluster) -> AsyncIterator[tuple[Inside, Inside]]:
    """Two of them, patient with a busy machine, that look every 20 ms for what was forgotten."""
    with pytest.MonkeyPatch.context() as one, pytest.MonkeyPatch.context() as two:
        one.setitem(Purges.__init__.__kwdefaults__, "pause", 0.02)
        # Neither is what is tested here, and with such leases nobody goes on who does not hear his notice.
        one.setitem(open_cache.__kwdefaults__, "timeout", 10.0)
        one.setitem(open_cache.__kwdefaults__, "lease", 100.0)
        async with (
            inside(one, nodes.url, redis_timeout=PATIENCE) as maker,
            inside(two, nodes.url, redis_timeout=PATIENCE) as other,
        ):
            yield maker, other


@pytest.fixture
async def operator(nodes: Cluster, replicas: tuple[Inside, Inside]) -> AsyncIterator[Cache]:
    """The cache as `refrain cache purge` has it."""
    cache = open_cache(memory_bytes=0, redis_url=nodes.url)
    yield cache
    await cache.aclose()


async def test_a_speech_lives_and_is_forgotten_over_a_cluster(
    replicas: tuple[Inside, Inside], operator: Cache, nodes: Cluster
):
    """One command on keys of two slots, and whoever has a cluster could not follow, purge or withdraw anything."""
    maker, other = replicas
    making = Making(maker, {"tags": ["article"], "response_format": "opus"})
    await making.begin()
    follower = Follower(other, making.address)
    await follower.begin()
    assert follower.got, "sound comes while the third chunk is being made"
    assert not follower.listening.done()
    # The sentence that is being made, in another speech: that one joins the flight, and hears its pieces.
    joined = asyncio.create_task(other.post(input=QUOTED, response_format="opus", tags=["quoted"]))
    while not await other.metric("refrain_flights"):
        pass
    making.go_on()
    await asyncio.gather(making.listening, follower.listening, joined)
    assert follower.got == making.got
    assert joined.result().status_code == 200
    assert other.calls == 0
    chunks = maker.calls

    await indexed(operator, Label("tag", "article"), chunks + 1)
    await indexed(operator, Label("tag", "quoted"), 2)
    assert all(node.client.dbsize() for node in nodes.masters)
    assert await operator.purge([Label("tag", "article"), Label("tag", "quoted")]) == 1
    assert await operator.purge([Label("tag", "article"), Label("voice", "default")]) == chunks
    for one in replicas:
        while (await one.client.get(making.address)).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
            await asyncio.sleep(0.02)
        while (await one.post(input=TEXT, response_format="opus", cache="only")).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
            await asyncio.sleep(0.02)

    again = await other.post(input=TEXT, response_format="opus")
    assert again.content == making.got
    assert other.calls == chunks
    # What it consists of is stored behind its listener's back.
    while (await maker.client.get(making.address)).status_code == 404:  # noqa: ASYNC110 - what others see has no event here
        await asyncio.sleep(0.02)
    assert (await other.client.delete(making.address)).status_code == 204
    while (await maker.client.get(making.address)).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
        await asyncio.sleep(0.02)
    assert (await maker.post(input=TEXT, response_format="opus", cache="only")).status_code == 404
    for one in replicas:
        assert await one.metric("refrain_redis_errors_total") == 0

"""Two versions of the layout side by side on one server, as during a rolling upgrade."""

import time
from collections.abc import Callable

import pytest

import cache.digest
import cache.link
import cache.value
from cache.cache import Cache, open_cache
from cache.digest import LAYOUT, digest
from cache.flight import Made
from cache.labels import Label
from cache.link import Keys
from tests.cache.conftest import Server, sound, until

FIELDS = ["the same text", "the same voice"]
TAG = Label("tag", "news")


class Release:
    """A process of a release with this layout; what it does, it does as that release."""

    def __init__(self, layout: int, cache: Cache, patch: pytest.MonkeyPatch) -> None:
        self.cache = cache
        self._layout = layout
        self._patch = patch

    def now(self) -> "Release":
        """What follows is this release's doing."""
        for module in (cache.digest, cache.link, cache.value):
            self._patch.setattr(module, "LAYOUT", self._layout)
        return self

    async def say(self, digest: str) -> tuple[bytes, str | None]:
        """As the service does: found, or made, each release with sound of its own."""

        async def make(_emit: Callable[[bytes], None]) -> Made:
            return Made(b"{}", b"by layout %d" % self._layout, 60.0, (TAG,))

        async with self.cache.board(digest, make) as seat:
            entry = await seat.entry()
        assert self.cache._shared is not None
        labels = self.cache._shared.labels
        await until(lambda: not self.cache.statistics().flights.under_way and labels._writer is None)
        return entry.payload, seat.outcome


@pytest.fixture
async def releases(valkey: Server, keys: Keys, monkeypatch: pytest.MonkeyPatch):
    """The old and the new one, without a tier in memory: what one reads comes from the server."""
    both = [
        Release(layout, open_cache(memory_bytes=0, redis_url=valkey.url, keys=keys), monkeypatch)
        for layout in (LAYOUT, LAYOUT + 1)
    ]
    yield both
    for release in both:
        await release.now().cache.aclose()


async def test_neither_reads_the_others_entries(releases: list[Release], valkey: Server, keys: Keys):
    """During an upgrade half the fleet would play bytes that it does not understand, or destroy the other half's."""
    old, new = releases
    # Even under one digest, which two layouts never have for the same thing:
    name = old.now() and digest("clip", FIELDS)
    assert (new.now() and digest("clip", FIELDS)) != name
    assert await old.now().say(name) == (b"by layout %d" % LAYOUT, "made")
    assert await new.now().say(name) == (b"by layout %d" % (LAYOUT + 1), "made")
    assert await old.now().say(name) == (b"by layout %d" % LAYOUT, "hit")
    assert await new.now().say(name) == (b"by layout %d" % (LAYOUT + 1), "hit")
    # Claims, labels and purges are each one's own, too.
    assert await old.now().cache.claim(name, 60.0)
    assert await new.now().cache.claim(name, 60.0)
    assert await new.now().cache.purge([TAG]) == 1
    assert (await old.now().say(name))[1] == "hit"
    names = [one.decode() for one in await old.cache._shared.link.client.keys(f"{keys.prefix}:*")]
    assert {one.split(":")[1] for one in names} == {str(LAYOUT), str(LAYOUT + 1)}


async def test_a_value_under_the_wrong_key_is_refused(releases: list[Release], keys: Keys):
    """A copied dump, or a key that was renamed by hand, would be played as if it were understood."""
    old, new = releases
    name = "a" * 40
    await old.now().cache.put(name, sound())
    client = old.cache._shared.link.client
    theirs = keys.of("clip", name)
    new.now()
    await client.copy(theirs, keys.of("clip", name))
    began = time.time()
    assert await new.cache.get_many([name]) == [None]
    assert new.cache.statistics().redis.damaged == 1
    assert (await old.now().cache.get_many([name]))[0].made_at <= began

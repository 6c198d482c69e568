"""A purge by label of what the archive has when Redis has lost its index."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.speech.clips import by
from app.speech.relabel import relabel
from cache import value
from cache.archive import Archive, open_archive, path_of
from cache.cache import Cache, open_cache
from cache.errors import Away, Unreachable
from cache.labels import Label, Labels
from cache.link import RedisLink
from cache.purges import Purges
from cache.value import new_entry
from tests.http.servers import Valkey, inside

TEXT = "The first sentence is said here. The second one is said right behind it."
QUOTED = "The second one is said right behind it."
OTHER = "Something else altogether is said. And nobody has said this one either."


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas look every 20 ms for what was forgotten."""
    monkeypatch.setitem(Purges.__init__.__kwdefaults__, "pause", 0.02)


class Operator:
    """What `refrain cache purge` does, in a process of its own as far as Redis and the archive can tell."""

    def __init__(self, url: str, archive: Path) -> None:
        self.archive: Archive = open_archive(archive.as_uri())
        self.link = RedisLink(url, timeout=10.0)
        self._cache: Cache = open_cache(
            memory_bytes=0, redis_url=url, archive_url=archive.as_uri(), timeout=10.0
        )

    async def purge(self, *labels: Label) -> int:
        """Make the index anew, then purge by it; how many entries that were."""
        assert await relabel(self.archive, Labels(self.link), labels) == 0
        return await self._cache.purge(labels)

    async def aclose(self) -> None:
        """Give everything back."""
        await self._cache.aclose()
        await self.archive.aclose()
        await self.link.aclose()


@pytest.fixture
async def operator(valkey: Valkey, tmp_path: Path) -> AsyncIterator[Operator]:
    """One at the archive of this test."""
    one = Operator(valkey.url, tmp_path)
    yield one
    await one.aclose()


async def spoken(valkey: Valkey, monkeypatch: pytest.MonkeyPatch, archive: Path) -> tuple[str, str]:
    """Two speeches in the archive and a third that quotes the first, seven entries, and none in Redis.

    The addresses of the two.
    """
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, archive=archive.as_uri()) as house:
        one = await house.post(input=TEXT, tags=["article"])
        other = await house.post(input=OTHER, voice="backed", tags=["another"])
        await house.post(input=QUOTED, tags=["quoted"])
        assert house.calls == 4
    valkey.command("FLUSHALL")
    return one.headers["content-location"], other.headers["content-location"]


@pytest.mark.parametrize("heard", [False, True], ids=["cold", "promoted"])
async def test_a_purge_reaches_what_only_the_archive_labels(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: Operator, heard: bool
):
    """An article that was withdrawn would be heard again for a month, from the archive of a Redis that was lost."""
    address, other = await spoken(valkey, monkeypatch, tmp_path)
    async with inside(monkeypatch, valkey.url, archive=tmp_path.as_uri()) as house:
        if heard:  # by now it is in Redis and in memory, too
            assert (await house.client.get(address)).status_code == 200
        assert await operator.purge(Label("tag", "article")) == 3
        while (await house.client.get(address)).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
            await asyncio.sleep(0.02)
        assert (await house.post(input=TEXT, cache="only")).status_code == 404
        assert house.calls == 0
        assert (await house.post(input=TEXT)).status_code == 200
        assert house.calls == 2
        assert (await house.client.get(other)).status_code == 200
        assert await operator.purge(Label("tag", "never used")) == 0


async def test_labels_meet_as_they_do_in_the_index(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: Operator
):
    """What fits one option alone would go, or what fits both stay."""
    await spoken(valkey, monkeypatch, tmp_path)
    assert await operator.purge(Label("voice", "default"), by("second")) == 0
    assert await operator.purge(Label("voice", "default"), Label("tag", "another")) == 0
    # One clip was said under both.
    assert await operator.purge(Label("tag", "article"), Label("tag", "quoted")) == 1
    assert await operator.purge(Label("voice", "backed"), by("first")) == 3
    assert await operator.purge(by("first")) == 3


async def test_a_clip_without_a_speech_tells_who_spoke_it(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: Operator
):
    """A vendor's bad day would live on in the sentences of those who hung up."""
    address, _ = await spoken(valkey, monkeypatch, tmp_path)
    digest = address.rpartition("/")[2]
    assert await operator.archive.delete(digest)
    assert await operator.purge(Label("tag", "article")) == 0
    assert await operator.purge(by("first")) == 6


def expire(file: Path) -> None:
    """The same entry, a day too old."""
    entry = value.decode(file.read_bytes())
    file.write_bytes(value.encode(new_entry(entry.meta, b"", made_at=time.time() - 86_400, ttl=1.0)))


async def test_a_speech_that_has_expired_tells_of_its_clips(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: Operator
):
    """A speech ends with the first of its clips; the others would be heard on by its text."""
    address, _ = await spoken(valkey, monkeypatch, tmp_path)
    expire(tmp_path / path_of(address.rpartition("/")[2]))
    assert await operator.purge(Label("tag", "article")) == 2


def shorten(file: Path) -> None:
    """Its last byte is lost."""
    file.write_bytes(file.read_bytes()[:-1])


def add_strange(file: Path) -> None:
    """A sound entry that is neither a clip nor a speech."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(value.encode(new_entry(b"no JSON", b"", made_at=time.time(), ttl=60.0)))


async def test_what_is_damaged_strange_or_cannot_be_read_hides_nothing_else(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: Operator
):
    """One bad block would keep a whole archive from being purged, or be passed over in silence."""
    address, other = await spoken(valkey, monkeypatch, tmp_path)
    damaged, gone = (one.rpartition("/")[2] for one in (address, other))
    shorten(tmp_path / path_of(damaged))
    add_strange(tmp_path / path_of("f" * 40))
    read = operator.archive.value

    async def refused(digest: str) -> bytes | None:
        if digest == gone:
            raise Away("bad block")  # what no healthy disk can be made to say
        return await read(digest)

    monkeypatch.setattr(operator.archive, "value", refused)
    labels = [by("first")]
    assert await relabel(operator.archive, Labels(operator.link), labels) == 1
    assert await operator._cache.purge(labels) == 5


async def test_a_redis_that_is_away_is_not_taken_for_the_archive(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: Operator
):
    """The operator would be sent to look after the wrong one."""
    await spoken(valkey, monkeypatch, tmp_path)
    link = RedisLink("redis://127.0.0.1:9/0")
    with pytest.raises(Unreachable):
        await relabel(operator.archive, Labels(link), [by("first")])
    await link.aclose()

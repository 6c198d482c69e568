"""What is kept of texts: nothing but captions' sentences, and not those where the operator keeps none."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cache.link import RedisLink
from tests.http.servers import VOICES, Inside, Valkey, inside, until

TEXT = "The canary-text-4711 sings. Nobody should find it here, canary-text-4711."
CANARY = b"canary-text-4711"
NONE = f"[cache]\nkeep_text = false\n{VOICES}"
FORMS = ("captions.vtt", "captions.srt", "captions.json", "alignment.json")

House = Callable[[str], AbstractAsyncContextManager[Inside]]


@pytest.fixture
def house(valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> House:
    """Houses of one Redis and one archive, empty at first."""
    valkey.command("FLUSHALL")

    @asynccontextmanager
    async def opened(config: str) -> AsyncIterator[Inside]:
        async with inside(monkeypatch, valkey.url, config, archive=tmp_path.as_uri()) as running:
            yield running

    return opened


async def captions(house: Inside, address: str) -> list[int]:
    """What comes of all their forms."""
    return [(await house.client.get(f"{address}/{form}")).status_code for form in FORMS]


READ: dict[bytes, Callable[[Redis, bytes], Awaitable[object]]] = {
    b"string": lambda client, key: client.get(key),
    b"hash": lambda client, key: client.hgetall(key),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"set": lambda client, key: client.smembers(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1),
    b"stream": lambda client, key: client.xrange(key),
}


def archived(archive: Path) -> list[bytes]:
    """All that is there."""
    return [file.read_bytes() for file in archive.rglob("*") if file.is_file()]


async def kept(valkey: Valkey, archive: Path) -> tuple[bool, bool]:
    """Whether the text is in Redis, and in the archive."""
    link = RedisLink(valkey.url)
    client = link.client
    values: list[object] = []
    try:
        async for key in client.scan_iter(count=1000):
            values += [key, await READ[await client.type(key)](client, key)]
    finally:
        await link.aclose()
    files = archived(archive)
    assert len(values) > 6
    assert len(files) == 3  # two clips and a speech
    return any(CANARY in repr(value).encode() for value in values), any(CANARY in file for file in files)


@pytest.mark.parametrize(("config", "keeps"), [(VOICES, True), (NONE, False)], ids=["kept", "not kept"])
async def test_texts_are_kept_for_captions_alone(
    house: House, valkey: Valkey, tmp_path: Path, config: str, keeps: bool
):
    """Letters that are read aloud would be found in Redis or in a bucket by whoever looks there."""
    async with house(config) as running:
        made = await running.post(input=TEXT)
        address = made.headers["content-location"]
        assert await captions(running, address) == [200 if keeps else 404] * len(FORMS)
        assert (await running.client.get(address)).content == made.content
        await until(lambda: len(archived(tmp_path)) == 3)
    assert await kept(valkey, tmp_path) == (keeps, keeps)


async def test_captions_say_that_they_need_the_text(house: House):
    """Whoever is told that the speech is gone would have it made, and paid for, again."""
    async with house(NONE) as running:
        made = await running.post(input=TEXT)
        answer = await running.client.get(made.headers["content-location"] + "/captions.vtt")
        assert answer.json()["code"] == "not_found"
        assert "kept without its text, which captions need" in answer.json()["detail"]
        assert "canary" not in answer.text


async def test_a_hit_keeps_what_is_to_be_kept_by_now(house: House, valkey: Valkey, tmp_path: Path):
    """An operator who changes his mind would have to purge everything, and have it made again."""
    for config, keeps, made in ((VOICES, True, 2), (NONE, False, 0), (VOICES, True, 0)):
        async with house(config) as running:
            answer = await running.post(input=TEXT)
            assert answer.status_code == 200
            assert await captions(running, answer.headers["content-location"]) == [200 if keeps else 404] * 4
            assert running.calls == made
        assert await kept(valkey, tmp_path) == (keeps, keeps)

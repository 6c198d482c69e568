"""Tags, purges and `DELETE /v1/speech/{digest}`."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.http.requests import LONGEST_TAG, MOST_TAGS
from cache.cache import Cache, open_cache
from cache.labels import Label
from cache.purges import Purges
from tests.http.servers import AS_SHIPPED, Inside, Server, Valkey, inside

TEXT = "The first sentence is said here. The second one is said right behind it."
SECOND = "The second one is said right behind it."


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas look every 20 ms for what was forgotten."""
    monkeypatch.setitem(Purges.__init__.__kwdefaults__, "pause", 0.02)


@pytest.fixture
async def operator(valkey: Valkey) -> AsyncIterator[Cache]:
    """The cache as `refrain cache purge` has it: another process' view of the same Redis."""
    cache = open_cache(memory_bytes=0, redis_url=valkey.url, timeout=10.0)  # not what is tested here
    yield cache
    await cache.aclose()


async def indexed(operator: Cache, label: Label, count: int) -> None:
    """Until the index has so many digests of a label: it is written behind the listeners' backs."""
    assert operator._shared is not None
    labels = operator._shared.labels
    while len([digest async for batch in labels.walk([label]) for digest in batch]) != count:
        pass


async def test_deleted_is_forgotten_with_its_clips(house: Inside):
    """Whoever has a speech withdrawn would still have it heard, at its address or by its text."""
    made = await house.post(input=TEXT)
    address = made.headers["content-location"]
    assert (await house.client.get(address)).status_code == 200
    deleted = await house.client.delete(address)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await house.client.get(address)).status_code == 404
    assert (await house.client.get(f"{address}/captions.vtt")).status_code == 404
    assert (await house.post(input=TEXT, cache="only")).status_code == 404
    again = await house.client.delete(address)
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert again.headers["content-type"] == "application/problem+json"
    assert (await house.post(input=TEXT)).content == made.content
    assert house.calls == 4


async def test_deleting_is_heard_of_by_every_replica(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """A load balancer would give it out again, now and then, for a month."""
    valkey.command("FLUSHALL")
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(inside(monkeypatch, valkey.url)) for _ in range(2)]
        address = (await one.post(input=TEXT)).headers["content-location"]
        assert (await two.client.get(f"{address}.mp3")).status_code == 200
        assert (await one.client.delete(f"{address}.mp3")).status_code == 204
        while (await two.client.get(address)).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
            await asyncio.sleep(0.02)
        assert (await two.post(input=TEXT, cache="only")).status_code == 404


@pytest.mark.parametrize("path", ["f" * 40, "nonsense", "f" * 39])
async def test_deleting_what_is_not_there_is_404(house: Inside, path: str):
    """A client could not tell a wrong address from a deleted speech."""
    assert (await house.client.delete(f"/v1/speech/{path}")).status_code == 404


async def test_a_clip_cannot_be_deleted_by_strangers(house: Inside):
    """Plans tell the digests of clips, which are everybody's."""
    await house.post(input=TEXT)
    plan = (await house.client.post("/v1/speech/plan", json={"input": TEXT})).json()
    assert (await house.client.delete(f"/v1/speech/{plan['chunks'][0]['digest']}")).status_code == 404
    assert (await house.post(input=TEXT, cache="only")).status_code == 200


async def test_deleting_without_redis_is_not_promised(monkeypatch: pytest.MonkeyPatch):
    """A client would take for withdrawn what all other replicas go on serving."""
    with tempfile.TemporaryDirectory() as home:
        victim = Valkey(Path(home))
        async with inside(monkeypatch, victim.url, redis_timeout=AS_SHIPPED) as house:
            address = (await house.post(input=TEXT)).headers["content-location"]
            while await house.metric("refrain_flights"):  # stored behind the listener's back
                pass
            victim.process.send_signal(signal.SIGSTOP)
            refused = await house.client.delete(address)
            assert (refused.status_code, refused.json()["code"]) == (503, "cache_unavailable")
            assert refused.headers["retry-after"] == "2"
            victim.process.send_signal(signal.SIGCONT)
            while (answer := await house.client.delete(address)).status_code == 503:
                pass
            # 404 where the first command was still in the pipe, and has been carried out since.
            assert answer.status_code in {204, 404}
            assert (await house.post(input=TEXT, cache="only")).status_code == 404
        victim.stop()


def test_deleting_is_documented(server: Server):
    """Nobody would find it."""
    document = server.get("/docs/openapi.json").json()
    assert "204" in document["paths"]["/v1/speech/{address}"]["delete"]["responses"]


async def test_a_tag_purges_speech_and_clips(house: Inside, operator: Cache):
    """A publisher who withdraws an article would have to know every sentence's digest."""
    made = await house.post(input=TEXT, tags=["article-1", "news"])
    other = await house.post(input="Something else altogether is said.", tags=["news"])
    await indexed(operator, Label("tag", "article-1"), 3)
    assert await operator.purge([Label("tag", "article-1")]) == 3
    while (await house.client.get(made.headers["content-location"])).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
        await asyncio.sleep(0.02)
    assert (await house.client.get(other.headers["content-location"])).status_code == 200


async def test_voice_and_provider_purge_what_they_spoke(house: Inside, operator: Cache):
    """A voice that was cloned badly, or a vendor's bad day, would stay for a month."""
    await house.post(input=TEXT)
    await house.post(input=TEXT, voice="backed", instructions="Softly.")
    for label in (Label("voice", "default"), Label("voice", "backed")):
        await indexed(operator, label, 3)
    await indexed(operator, Label("provider", "first"), 6)
    assert await operator.purge([Label("voice", "backed")]) == 3
    assert await operator.purge([Label("provider", "second")]) == 0
    assert await operator.purge([Label("provider", "first")]) == 3
    while (await house.post(input=TEXT, cache="only")).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
        await asyncio.sleep(0.02)


async def test_a_hit_takes_on_a_new_tag_once(house: Inside, operator: Cache, valkey: Valkey):
    """What was said before would be missed by the purge of an article that quotes it; or every hit cost a write."""
    await house.post(input=TEXT, tags=["first-article"])
    hit = await house.post(input=TEXT, tags=["second-article"])
    assert hit.headers["cache-status"].startswith("refrain; hit")
    await indexed(operator, Label("tag", "second-article"), 3)
    before = await settled_commands(valkey, house)
    for tags in (["second-article"], ["first-article"], [], ["first-article", "second-article"]):
        assert (await house.post(input=TEXT, tags=tags)).status_code == 200
    assert await settled_commands(valkey, house) == before
    assert house.calls == 2
    assert await operator.purge([Label("tag", "second-article")]) == 3
    assert await operator.purge([Label("tag", "first-article")]) == 0


async def settled_commands(valkey: Valkey, house: Inside) -> int:
    """How many writing commands Redis has carried out, once nothing is written any more."""
    lines = valkey.command("INFO", "commandstats").decode().splitlines()
    writing = ("set", "zadd", "evalsha", "expire")
    return sum(
        int(line.partition("calls=")[2].split(",")[0])
        for line in lines
        if line.startswith(tuple(f"cmdstat_{name}:" for name in writing))
    )


async def test_a_clip_of_two_articles_goes_with_either(house: Inside, operator: Cache):
    """The sentence that was to be withdrawn would be kept by whoever said it first."""
    await house.post(input=SECOND, tags=["quoted"])
    await house.post(input=TEXT, tags=["whole"])
    await indexed(operator, Label("tag", "whole"), 3)
    await operator.purge([Label("tag", "whole")])
    while (await house.post(input=SECOND, cache="only")).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "tags",
    [
        [f"tag-{number}" for number in range(MOST_TAGS + 1)],
        ["x" * (LONGEST_TAG + 1)],
        [""],
        ["   "],
        ["two\nlines"],
        ["nul\x00"],
        ["\u202eoverride"],
        "news",
        [1],
        {"a": "b"},
    ],
)
async def test_tags_that_are_none_are_refused(house: Inside, tags: object):
    """They could not be purged by, or would break what prints them."""
    refused = await house.post(input=TEXT, tags=tags)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tags")
    assert house.calls == 0


async def test_tags_at_their_bounds_are_taken(house: Inside, operator: Cache):
    """What the page promises must go."""
    tags = [f"{number:0{LONGEST_TAG}}" for number in range(MOST_TAGS - 1)] + ["öffentlich, 2026 ✓"]
    assert (await house.post(input=TEXT, tags=tags)).status_code == 200
    await indexed(operator, Label("tag", tags[-1]), 3)


async def test_ever_new_tags_do_not_grow_a_speech(house: Inside, operator: Cache):
    """A client that tags each request with its own id would have one manifest grow for ever."""
    await house.post(input=TEXT)
    for number in range(10):
        await house.post(input=TEXT, tags=[f"request-{number}-{part}" for part in range(MOST_TAGS)])
    address = (await house.post(input=TEXT)).headers["content-location"]
    (entry,) = await operator.get_many([address.rpartition("/")[2]])
    assert entry is not None
    assert entry.meta.count(b"request-") <= 64
    assert b"request-9-" in entry.meta
    await indexed(operator, Label("tag", "request-0-0"), 3)

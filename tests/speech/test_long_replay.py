"""Long speeches: read, joined and decoded as they are listened to, and only as far as they are."""

import random

import httpx
import pytest

import app.speech.studio
import app.speech.windows
from app.audio.formats import FORMATS
from cache.cache import Cache
from tests.http.servers import Inside

TEXT = "\n\n".join(f"This is paragraph number {number}, which takes its time." for number in range(12))


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen sentences are long."""
    monkeypatch.setattr(app.speech.studio, "AT_ONCE_BYTES", 0)
    monkeypatch.setattr(app.speech.windows, "FIRST_WINDOW", 20_000)
    monkeypatch.setattr(app.speech.windows, "WINDOW", 40_000)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests that are read from the cache."""
    seen: list[str] = []
    get_many = Cache.get_many

    async def watched(self: Cache, digests: list[str]) -> list[object]:
        seen.extend(digests)
        return list(await get_many(self, digests))

    monkeypatch.setattr(Cache, "get_many", watched)
    return seen


async def said(house: Inside, fmt: str = "mp3") -> tuple[bytes, str, str]:
    """A whole hit's bytes, its address and its ETag."""
    body = {"input": TEXT, "response_format": fmt}
    (await house.post(**body)).raise_for_status()
    found = await house.post(**body)
    assert found.headers["cache-status"].startswith("refrain; hit")
    assert len(found.content) == int(found.headers["content-length"])
    return found.content, found.headers["content-location"], found.headers["etag"]


async def clips(house: Inside, fmt: str = "mp3") -> list[str]:
    """The digests of its clips."""
    body = {"input": TEXT, "response_format": fmt}
    plan = (await house.client.post("/v1/speech/plan", json=body)).json()
    return [chunk["digest"] for chunk in plan["chunks"]]


@pytest.mark.parametrize("fmt", FORMATS)
async def test_any_range_is_that_part(house: Inside, fmt: str):
    """A player that seeks would hear noise, and a broken download would be joined wrongly."""
    whole, address, etag = await said(house, fmt)
    again = await house.client.get(address)
    assert (again.content, again.headers["etag"]) == (whole, etag)
    size = len(whole)
    chance = random.Random(7)
    spans = [(0, 1), (0, 43), (0, size), (1, size), (size - 1, size), (size - 300, size), (40, 5_000)]
    starts = [chance.randrange(size) for _ in range(8)]
    spans += [(start, chance.randint(start + 1, size)) for start in starts]
    for start, end in spans:
        part = await house.client.get(address, headers={"Range": f"bytes={start}-{end - 1}"})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.content == whole[start:end]


@pytest.mark.parametrize("fmt", ["mp3", "opus", "wav", "m4a"])
async def test_a_range_reads_only_its_clips(house: Inside, looks: list[str], fmt: str):
    """Seeking in an audio book would read the whole book."""
    whole, address, _ = await said(house, fmt)
    looks.clear()
    middle = len(whole) // 2
    await house.client.get(address, headers={"Range": f"bytes={middle}-{middle + 99}"})
    assert len(looks) <= 3, "the manifest, and the clip or two around the middle"


async def test_head_and_304_read_no_clip(house: Inside, looks: list[str]):
    """Whoever only asks for the length, or has the sound already, would cost as much as a listener."""
    whole, address, etag = await said(house, "wav")
    looks.clear()
    head = await house.client.head(address)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole)))
    assert head.headers["etag"] == etag
    same = await house.client.get(address, headers={"If-None-Match": etag})
    assert same.status_code == 304
    assert len(looks) == 2, "the manifest, twice"


async def replaced(house: Inside, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Another replica has made the eighth clip anew."""
    digests = await clips(house)
    caches: list[Cache] = []
    has_all = Cache.has_all

    async def noted(self: Cache, digests: list[str]) -> bool:
        caches.append(self)
        return await has_all(self, digests)

    monkeypatch.setattr(Cache, "has_all", noted)
    await house.client.head(address)
    (other,) = await caches[0].get_many(digests[2:3])
    assert other is not None
    await caches[0].put(digests[7], other)


async def cut_short(house: Inside, address: str) -> bytes:
    """What comes of an answer that must end with the connection's being cut."""
    got: list[bytes] = []
    async with house.client.stream("GET", address) as answer:
        assert answer.status_code == 200
        try:
            async for piece in answer.aiter_raw():
                got.append(piece)  # noqa: PERF401 - what came before the cut is wanted
        except httpx.RemoteProtocolError:
            return b"".join(got)
    raise AssertionError("the answer ended as if it were whole")


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=-9"}])
async def test_what_is_not_whole_is_not_found(
    house: Inside, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
):
    """A listener would be given half an hour out of an hour."""
    _, address, _ = await said(house)
    lost = (await clips(house))[7]
    losing(monkeypatch, lost)
    refused = await house.client.get(address, headers=asked)
    assert refused.status_code == 404
    assert (await house.client.head(address)).status_code == 404


def losing(monkeypatch: pytest.MonkeyPatch, lost: str, *, still_listed: bool = False) -> None:
    """The cache has forgotten a clip; `still_listed`: just after it was asked whether it has all."""
    get_many, has_all = Cache.get_many, Cache.has_all

    async def without(self: Cache, digests: list[str]) -> list[object]:
        found = await get_many(self, digests)
        return [None if digest == lost else entry for digest, entry in zip(digests, found, strict=True)]

    async def listed(self: Cache, digests: list[str]) -> bool:
        return still_listed or (lost not in digests and await has_all(self, digests))

    monkeypatch.setattr(Cache, "get_many", without)
    monkeypatch.setattr(Cache, "has_all", listed)


@pytest.mark.parametrize("fmt", ["mp3", "wav"])
async def test_a_clip_that_goes_while_it_plays_is_noticed(
    house: Inside, monkeypatch: pytest.MonkeyPatch, fmt: str
):
    """A listener would take half a speech for a whole one."""
    whole, address, _ = await said(house, fmt)
    losing(monkeypatch, (await clips(house, fmt))[7], still_listed=True)
    heard = await cut_short(house, address)
    assert 0 < len(heard) < len(whole)
    assert whole.startswith(heard)
    # Where it is the first that is wanted, nothing has left yet.
    refused = await house.client.get(address, headers={"Range": f"bytes={len(heard)}-"})
    assert refused.status_code == 404


async def test_clips_made_anew_have_another_name(house: Inside, monkeypatch: pytest.MonkeyPatch):
    """Old and new sound would be mixed under one ETag."""
    old, address, etag = await said(house)
    await replaced(house, monkeypatch, address)
    # What is not touched by it goes on as it began.
    elsewhere = await house.client.get(address, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert (elsewhere.status_code, elsewhere.content) == (206, old[:10])
    touched = {"Range": f"bytes={len(old) * 15 // 24}-", "If-Range": etag}
    new = await house.client.get(address, headers=touched)
    assert (new.status_code, len(new.content)) == (200, int(new.headers["content-length"]))
    assert new.headers["etag"] != etag
    assert new.content != old
    assert new.content.startswith(old[: len(old) // 2])
    again = await house.client.get(address)
    assert (again.headers["etag"], again.content) == (new.headers["etag"], new.content)


async def test_a_clip_made_anew_while_it_plays_is_noticed(house: Inside, monkeypatch: pytest.MonkeyPatch):
    """A listener would hear a mixture that has no name, or could never load the speech again."""
    old, address, etag = await said(house)
    await replaced(house, monkeypatch, address)
    heard = await cut_short(house, address)
    assert 0 < len(heard) < len(old)
    assert old.startswith(heard)
    again = await house.client.get(address)
    assert len(again.content) == int(again.headers["content-length"])
    assert again.headers["etag"] != etag

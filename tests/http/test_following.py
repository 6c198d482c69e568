"""`GET /v1/speech/{digest}` while the speech is being made: followed live, here and on another replica."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from app.audio.formats import FORMATS
from providers.scripted import Script
from tests.http.servers import Inside, Valkey, inside, until

TEXT = (
    "The wall considered it for a while. Then it said the name, quite clearly. After that nobody spoke. "
    "In the end they all went home."
)


@pytest.fixture
async def replica(valkey: Valkey, house: Inside) -> AsyncIterator[Inside]:
    """Another one on the same Redis, which never makes anything here."""
    with pytest.MonkeyPatch.context() as patch:
        async with inside(patch, valkey.url) as running:
            yield running
            assert running.calls == 0


def unattended() -> int:
    """How many speeches are made for followers only."""
    return sum(task.get_name() == "unattended speech" for task in asyncio.all_tasks())


class Making:
    """A speech whose first two chunks are made and whose third is held."""

    def __init__(self, house: Inside, body: dict[str, object]) -> None:
        self._provider = house.scripted["first"]
        self._house = house
        self._body = {"input": TEXT, **body}
        self.address = ""
        self.got = b""
        self.cut = False

    async def begin(self) -> None:
        """Until its first sound has come."""
        self._provider.before_first.clear()
        self.listening = asyncio.create_task(self._listen())
        await self._provider.called(2)
        # Whoever waits goes on; who comes from now on waits.
        self._provider.before_first.set()
        self._provider.before_first.clear()
        await self._provider.called(3)
        await until(lambda: self.got != b"")

    async def leave(self) -> None:
        """Its listener hangs up, in the middle of the third chunk."""
        await until(lambda: [call.state for call in self._provider.calls[:2]] == ["done", "done"])
        self.listening.cancel()
        await asyncio.wait([self.listening])

    def go_on(self) -> None:
        """Make the rest."""
        self._provider.before_first.set()

    async def _listen(self) -> None:
        async with self._house.client.stream("POST", "/v1/audio/speech", json=self._body) as answer:
            self.address = answer.headers["content-location"]
            try:
                async for piece in answer.aiter_raw():
                    self.got += piece
            except httpx.RemoteProtocolError:
                self.cut = True


class Follower:
    """Somebody at the address."""

    def __init__(self, house: Inside, address: str, headers: dict[str, str] | None = None) -> None:
        self._house = house
        self._address = address
        self._headers = headers or {}
        self.got = b""
        self.cut = False
        self.answer: httpx.Response | None = None

    async def begin(self) -> None:
        """Until the first sound has come."""
        self.listening = asyncio.create_task(self._listen())
        await until(lambda: self.got != b"" or self.listening.done())

    async def _listen(self) -> None:
        async with self._house.client.stream("GET", self._address, headers=self._headers) as self.answer:
            try:
                async for piece in self.answer.aiter_raw():
                    self.got += piece
            except httpx.RemoteProtocolError:
                self.cut = True


@pytest.mark.parametrize("fmt", FORMATS)
async def test_followers_get_the_very_bytes(house: Inside, replica: Inside, fmt: str):
    """A second listener would be refused until all is made, or hear something else than the first."""
    making = Making(house, {"response_format": fmt})
    await making.begin()
    followers = [Follower(one, making.address) for one in (house, replica)]
    for follower in followers:
        await follower.begin()
        assert follower.answer is not None
        assert follower.answer.status_code == 200
        assert follower.got, "sound comes while the third chunk is being made"
        assert not follower.listening.done()
        assert follower.answer.headers["content-type"] == FORMATS[fmt].media_type
        assert follower.answer.headers["cache-control"] == "no-store"
        assert follower.answer.headers["cache-status"] == "refrain; fwd=miss; collapsed"
        assert not follower.answer.headers.keys() & {"content-length", "etag"}
    making.go_on()
    await asyncio.gather(making.listening, *(follower.listening for follower in followers))
    assert not making.cut
    for follower in followers:
        assert (follower.cut, follower.got == making.got) == (False, True)
    replayed = await replica.client.get(making.address)
    assert int(replayed.headers["content-length"]) == len(replayed.content)
    assert not FORMATS[fmt].streams_exactly or replayed.content == making.got


async def test_a_failure_cuts_the_followers_too(house: Inside, replica: Inside):
    """They would take half a speech for a whole one."""
    house.scripted["first"].script = Script(fault="unavailable", when="went home")
    making = Making(house, {})
    await making.begin()
    followers = [Follower(one, making.address) for one in (house, replica)]
    for follower in followers:
        await follower.begin()
    making.go_on()
    await asyncio.gather(making.listening, *(follower.listening for follower in followers))
    assert making.cut
    assert [follower.cut for follower in followers] == [True, True]
    assert all(making.got.startswith(follower.got) for follower in followers)
    for one in (house, replica):
        assert (await one.client.get(making.address)).status_code == 404


@pytest.mark.parametrize("where", ["house", "replica"])
@pytest.mark.parametrize("late", [False, True])
async def test_what_is_deleted_while_it_is_made_is_not_kept(
    house: Inside, replica: Inside, valkey: Valkey, where: str, late: bool
):
    """Whoever deletes at once what he has mistakenly had said would be told 404, and find it there afterwards.

    `late`: its last chunk has just been asked for, and nobody has heard of the first ones yet where it is deleted.
    """
    making = Making(house, {})
    await making.begin()
    followers = [] if late else [Follower(one, making.address) for one in (house, replica)]
    for follower in followers:
        await follower.begin()
    deleting = house if where == "house" else replica
    assert (await deleting.client.delete(making.address)).status_code == 204
    making.go_on()
    await asyncio.gather(making.listening, *(follower.listening for follower in followers))
    assert not making.cut, "who had it said hears it to the end"
    assert all(follower.cut for follower in followers)
    for one in (house, replica):
        assert (await one.client.get(making.address)).status_code == 404
        assert (await one.client.delete(making.address)).status_code == 404
    await until(lambda: b"refrain:1:clip:" not in valkey.command("KEYS", "*"))
    for one in (house, replica):  # their memory hears of it within about a second
        while (await one.post(input=TEXT, cache="only")).status_code == 200:  # noqa: ASYNC110 - what others see has no event here
            await asyncio.sleep(0.02)
    whole = await house.post(input=TEXT)
    assert whole.content == making.got
    assert (await house.client.get(making.address)).status_code == 200


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_it_goes_on_for_followers_when_its_listener_leaves(
    house: Inside, replica: Inside, elsewhere: bool
):
    """Whoever happened to ask first would take the sound away from all others by hanging up."""
    making = Making(house, {})
    await making.begin()
    one = replica if elsewhere else house
    followers = [Follower(one, making.address) for _ in range(2)]
    for follower in followers:
        await follower.begin()
    await making.leave()
    await until(lambda: unattended() == 1)
    making.go_on()
    await asyncio.gather(*(follower.listening for follower in followers))
    assert [follower.cut for follower in followers] == [False, False]
    replayed = await one.client.get(making.address)
    assert [follower.got == replayed.content for follower in followers] == [True, True]
    assert house.calls == 4
    assert (await house.post(input=TEXT)).content == replayed.content
    assert house.calls == 4


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_it_ends_when_the_last_follower_has_left_too(house: Inside, replica: Inside, elsewhere: bool):
    """Speech for nobody would be made, and paid for, to its end."""
    making = Making(house, {})
    await making.begin()
    follower = Follower(replica if elsewhere else house, making.address)
    await follower.begin()
    await making.leave()
    await until(lambda: unattended() == 1)
    follower.listening.cancel()
    await until(lambda: unattended() == 0)
    calls = house.scripted["first"].calls
    await until(lambda: "open" not in {call.state for call in calls})
    assert [call.state for call in calls] == ["done", "done", "left", "left"]
    assert (await house.client.get(making.address)).status_code == 404


async def test_without_followers_it_ends_when_its_listener_leaves(house: Inside):
    """A closed tab would have the rest of an article paid for."""
    making = Making(house, {})
    await making.begin()
    await making.leave()
    calls = house.scripted["first"].calls
    await until(lambda: "open" not in {call.state for call in calls})
    assert [call.state for call in calls] == ["done", "done", "left", "left"]
    assert (await house.client.get(making.address)).status_code == 404


async def test_it_ends_also_when_more_was_asked_ahead(house: Inside):
    """Whoever asks for the next before he has heard this one, and goes, would have all of it paid for."""
    first = house.scripted["first"]
    first.before_first.clear()
    body = json.dumps({"input": TEXT}).encode()
    head = "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    behind = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + behind)
    await first.called(1)
    writer.close()
    await writer.wait_closed()
    await until(lambda: "open" not in {call.state for call in first.calls})
    assert {call.state for call in first.calls} == {"left"}


@pytest.mark.parametrize("fmt", FORMATS)
async def test_the_first_sentence_is_heard_as_it_comes(house: Inside, replica: Inside, fmt: str):
    """Of one long sentence followers would hear nothing until others have heard it to its end."""
    first = house.scripted["first"]
    # Its second piece waits, so that nobody can have all of it.
    first.script = Script(piece_bytes=48_000, seconds_per_character=0.2)
    first.between.clear()
    got: list[bytes] = []
    address = asyncio.get_running_loop().create_future()

    async def listen() -> None:
        body = {"input": "One sentence, and no more.", "response_format": fmt}
        async with house.client.stream("POST", "/v1/audio/speech", json=body) as answer:
            address.set_result(answer.headers["content-location"])
            async for piece in answer.aiter_raw():
                got.append(piece)  # noqa: PERF401 - as it comes

    listening = asyncio.create_task(listen())
    followers = [Follower(one, await address) for one in (house, replica)]
    for follower in followers:
        await follower.begin()
        assert not follower.listening.done()
    assert [call.state for call in first.calls] == ["open"]
    first.between.set()
    await asyncio.gather(listening, *(follower.listening for follower in followers))
    assert [(follower.cut, follower.got == b"".join(got)) for follower in followers] == [(False, True)] * 2


async def test_a_follower_who_leaves_disturbs_nobody(house: Inside):
    """The first listener, or the other followers, would be cut off by a closed tab."""
    making = Making(house, {})
    await making.begin()
    leaving, staying = Follower(house, making.address), Follower(house, making.address)
    await leaving.begin()
    await staying.begin()
    leaving.listening.cancel()
    making.go_on()
    await asyncio.gather(making.listening, staying.listening)
    assert (making.cut, staying.got) == (False, making.got)


async def test_a_range_is_not_taken_and_head_knows_no_length(house: Inside, replica: Inside):
    """A player would be given a part of what has no length yet, or wait for the end to learn it."""
    making = Making(house, {})
    await making.begin()
    for one in (house, replica):
        ranged = Follower(one, making.address, {"Range": "bytes=100-199", "If-None-Match": '"a"'})
        await ranged.begin()
        assert ranged.answer is not None
        assert ranged.answer.status_code == 200
        assert making.got.startswith(ranged.got[:1000])
        head = await one.client.head(making.address)
        assert (head.status_code, head.content) == (200, b"")
        assert "content-length" not in head.headers
        assert (await one.client.get(f"{making.address}.wav")).status_code == 404
        ranged.listening.cancel()
    making.go_on()
    await making.listening


async def test_what_is_not_kept_cannot_be_followed(house: Inside):
    """Whoever asks for no trace would be overheard at an address that he was not even given."""
    first = house.scripted["first"]
    first.before_first.clear()
    plan = (await house.client.post("/v1/speech/plan", json={"input": TEXT})).json()
    asking = asyncio.create_task(house.post(input=TEXT, cache="bypass"))
    await first.called(1)
    assert (await house.client.get(f"/v1/speech/{plan['digest']}")).status_code == 404
    first.before_first.set()
    assert (await asking).status_code == 200


async def test_a_failure_before_any_sound_is_not_found(house: Inside):
    """A follower would be told that all is well with nothing in it."""
    first = house.scripted["first"]
    first.script = Script(fault="unavailable")
    first.before_first.clear()
    plan = (await house.client.post("/v1/speech/plan", json={"input": TEXT})).json()
    asking = asyncio.create_task(house.post(input=TEXT))
    await first.called(1)
    following = asyncio.create_task(house.client.get(f"/v1/speech/{plan['digest']}"))
    await asyncio.sleep(0)
    first.before_first.set()
    assert (await asking).status_code == 503
    assert (await following).status_code == 404


async def test_without_redis_it_is_followed_in_its_own_process(monkeypatch: pytest.MonkeyPatch):
    """With Redis down a browser that plays the address would hear nothing."""
    async with inside(monkeypatch, "unix:///nowhere/v.sock") as house:
        making = Making(house, {})
        await making.begin()
        follower = Follower(house, making.address)
        await follower.begin()
        making.go_on()
        await asyncio.gather(making.listening, follower.listening)
        assert (follower.cut, follower.got) == (False, making.got)

"""WebSockets: who is let in, how long one stays, and how it ends."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from app.http.sockets import LONGEST_REASON, SocketRoute
from app.users.keys import Keys
from app.users.store import Secret
from cache.link import RedisLink
from tests.http.rooms import ROOM, Rooms, address, conversing, ending, opened, refusal, turned_away
from tests.http.servers import VOICES, Inside, Valkey, inside, until

KEYS = '[auth]\nmode = "keys"\n' + VOICES
FOREIGN = "https://evil.example.org"
LISTED = "https://app.example.com"
SPEECH = "/v1/speech/" + "0" * 40


@pytest.fixture
async def keys(valkey: Valkey) -> AsyncIterator[Keys]:
    """As the command line makes them, in an empty Redis."""
    valkey.command("FLUSHALL")
    link = RedisLink(valkey.url, timeout=5)
    yield Keys(link, Secret(link))
    await link.aclose()


@pytest.fixture
def rooms() -> Rooms:
    """Of this test's own."""
    return Rooms()


Opening = Callable[..., AbstractAsyncContextManager[Inside]]


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, valkey: Valkey, rooms: Rooms) -> Opening:
    """Servers with those rooms on the common Valkey."""

    def open_one(config: str = VOICES, **more: object) -> AbstractAsyncContextManager[Inside]:
        routes = (SocketRoute(ROOM, rooms.talk),)
        return inside(monkeypatch, valkey.url, config, sockets=routes, **more)

    return open_one


def url(house: Inside) -> str:
    """Of a server."""
    return str(house.client.base_url)


async def token(house: Inside, key: str, **body: object) -> str:
    """A pass from `POST /v1/tokens`."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = await house.client.post("/v1/tokens", json=body, headers=headers)
    return str(answer.raise_for_status().json()["token"])


async def test_texts_and_bytes_come_and_go(opening: Opening, rooms: Rooms):
    """Nobody could speak."""
    async with opening() as house:
        async with opened(address(url(house), "two%20words", "?a=1&a=2&b=")) as client:
            for message in ("Grüße \U0001f3b5", b"\x00\xff", "", b""):
                await client.send(message)
                assert await client.recv() == message
            await client.send([b"in ", b"three ", b"frames"])
            assert await client.recv() == b"in three frames"
            await client.send("who")
            told = json.loads(await client.recv())
            assert told == {"user": "anybody", "named": {"room": "two words"}, "query": {"a": "2", "b": ""}}
        await until(lambda: rooms.cancelled == 1)
        assert await house.metric("refrain_requests_total", route=ROOM, status="101") == 1


async def test_a_handshake_is_answered_with_the_callers_request_id(opening: Opening):
    """He could not find his conversation in our log."""
    async with opening(allowed_origins=[LISTED]) as house:
        headers = {"X-Request-Id": "caller-1"}
        async with opened(address(url(house)), additional_headers=headers) as client:
            assert client.response is not None
            assert client.response.headers["x-request-id"] == "caller-1"
        refused = await refusal(f"{url(house)}/nowhere".replace("http", "ws"), additional_headers=headers)
        assert refused.headers["x-request-id"] == "caller-1"
        assert refused.headers["x-content-type-options"] == "nosniff"


async def test_without_a_key_nobody_is_let_in(opening: Opening, rooms: Rooms, keys: Keys):
    """Anybody could have something said at another's cost."""
    key, presented = await keys.create("alice")
    async with opening(KEYS) as house:
        for uri in (address(url(house)), address(url(house), "x/y"), f"{address(url(house))}/"):
            refused = await refusal(uri)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert json.loads(refused.body)["code"] == "missing_key"
        assert json.loads((await refusal(address(url(house)), "rf_no")).body)["code"] == "invalid_key"
        await keys.revoke(key.id)
        assert json.loads((await refusal(address(url(house)), presented)).body)["code"] == "revoked"
        assert not rooms.entered
        assert await house.metric("refrain_requests_total", route=ROOM, status="401") == 4
        assert await house.metric("refrain_requests_total", route="unmatched", status="401") == 1


async def test_a_key_opens_in_both_spellings(opening: Opening, keys: Keys):
    """One of the two ecosystems' clients would be locked out."""
    _, key = await keys.create("alice")
    async with opening(KEYS) as house:
        for headers in ({"Authorization": f"Bearer {key}"}, {"xi-api-key": key}):
            async with opened(address(url(house)), additional_headers=headers) as client:
                await client.send("who")
                assert json.loads(await client.recv())["user"] == "alice"


async def test_a_key_in_the_query_is_none(opening: Opening, keys: Keys):
    """Keys would stand in the logs of proxies, and be good for ever."""
    _, key = await keys.create("alice")
    async with opening(KEYS) as house:
        for name in ("token", "xi-api-key", "authorization"):
            assert (await refusal(address(url(house), query=f"?{name}={key}"))).status_code == 401


async def test_nothing_is_at_other_addresses(
    opening: Opening, rooms: Rooms, keys: Keys, caplog: pytest.LogCaptureFixture
):
    """A socket would reach what speaks by HTTP, or leave a stack trace in the log of anybody's making."""
    _, key = await keys.create("alice", role="admin")
    base = "/v1/audio/speech", "/v1/tokens", "/healthz", "/docs", "/rooms/one/talk/more", "/rooms//talk", "/"
    async with opening(KEYS) as house:
        for path in base:
            refused = await refusal(url(house).replace("http", "ws") + path, key)
            assert refused.status_code == 404, path
            body = json.loads(refused.body)
            assert body.get("error", body)["code"] == "not_found"
    assert not rooms.entered
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_foreign_page_opens_none(opening: Opening, rooms: Rooms):
    """A page of anybody's would have the browser of whoever looks at it speak at his cost."""
    async with opening(allowed_origins=[LISTED]) as house:
        for origin in (FOREIGN, "null", "http://127.0.0.1:1"):
            refused = await refusal(address(url(house)), origin=origin)
            assert refused.status_code == 403
            assert "server.allowed_origins" in json.loads(refused.body)["detail"]
        assert not rooms.entered
        for origin in (LISTED, url(house).rstrip("/")):
            async with conversing(address(url(house)), origin=origin):
                pass


async def test_a_strange_name_opens_none(opening: Opening, rooms: Rooms):
    """A page whose name was given this machine's address would be taken for the server's own (DNS rebinding)."""
    async with opening() as house:
        port = house.client.base_url.port
        uri = f"ws://evil.example.org:{port}/rooms/one/talk"
        refused = await refusal(uri, host="127.0.0.1", port=port, origin=f"http://evil.example.org:{port}")
        assert refused.status_code == 403
        assert "server.allowed_hosts" in json.loads(refused.body)["detail"]
        assert not rooms.entered


async def test_a_pass_opens_the_socket_that_it_was_made_for(opening: Opening, keys: Keys):
    """A page in a browser, which can send no header, could not speak; or by a leaked address anybody could."""
    key, presented = await keys.create("alice")
    async with opening(KEYS) as house:
        made = await token(house, presented, path="/rooms/two%20words/talk", expires_in=60)
        async with opened(address(url(house), "two%20words", f"?token={made}&voice=x")) as client:
            await client.send("who")
            told = json.loads(await client.recv())
            assert (told["user"], told["query"]) == ("alice", {"voice": "x"})
            others = (
                address(url(house), "other", f"?token={made}"),
                address(url(house), query=f"?token={await token(house, presented)}"),
                address(url(house), query=f"?token={await token(house, presented, path=SPEECH)}"),
                address(url(house), query="?token=no"),
            )
            for uri in others:
                assert json.loads((await refusal(uri)).body)["code"] == "invalid_key"
            # Nor is it one for what is to be heard, or to make another of.
            for method, path in (("GET", SPEECH), ("POST", "/v1/tokens"), ("GET", "/rooms/two words/talk")):
                answer = await house.client.request(method, path, params={"token": made})
                assert answer.status_code == 401, path
            await keys.revoke(key.id)
            code, reason = await ending(client)
            assert (code, reason.split(".")[0]) == (1008, "Your key or token has been revoked")


async def test_no_pass_is_made_for_what_is_no_socket(opening: Opening):
    """A page would be given one that nothing takes."""
    async with opening() as house:
        answer = await house.client.post("/v1/tokens", json={"path": "/rooms/one/talk/more"})
        assert (answer.status_code, answer.json()["param"]) == (400, "path")
        # Where everybody is let in a page need not know whether it needs one.
        made = await token(house, "", path="/rooms/one/talk")
        async with conversing(address(url(house), query=f"?token={made}")):
            pass
        async with conversing(address(url(house), query="?token=no")):
            pass


async def test_a_room_ends_as_its_route_says(opening: Opening, caplog: pytest.LogCaptureFixture):
    """A client could not tell an end from a failure; or would be told what is nobody's business."""
    async with opening() as house:
        for word, code, reason in (
            ("end", 1000, ""),
            ("refuse There is no such voice.", 1008, "There is no such voice."),
            ("refuse " + "ü" * 100, 1008, "ü" * (LONGEST_REASON // 2)),
        ):
            async with opened(address(url(house))) as client:
                await client.send(word)
                assert await ending(client) == (code, reason)
        assert not caplog.records
        async with opened(address(url(house)), additional_headers={"X-Request-Id": "caller-2"}) as client:
            await client.send("fail with a canary")
            code, reason = await ending(client)
            assert (code, "canary" in reason) == (1011, False)
        assert [record.getMessage() for record in caplog.records if "ValueError at" in record.getMessage()]
        assert "caller-2" in caplog.text
        assert "canary" not in caplog.text


async def test_too_long_a_silence_ends_it(opening: Opening, rooms: Rooms):
    """Whoever opens sockets and says nothing would hold them for good; his pings are no messages."""
    async with opening(websocket_idle=1) as house:
        async with opened(address(url(house)), ping_interval=0.05) as client:
            code, reason = await ending(client)
            assert (code, reason) == (1008, "Nothing was said for 1 s. Connect again to go on.")
        assert rooms.cancelled == 1


async def test_a_route_says_what_is_too_long(opening: Opening):
    """Who asks for a longer silence, as clients may, would be cut; and one for a shorter would be held."""
    async with opening(websocket_idle=1) as house, opened(address(url(house))) as client:
        await client.send("idle 600")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await client.recv()
        await client.send("idle 0.01")
        assert (await ending(client))[0] == 1008


async def test_what_is_said_is_no_silence(opening: Opening, rooms: Rooms):
    """Who listens to a long text, or speaks one, would be cut in the middle."""
    async with opening() as house, opened(address(url(house))) as client:
        await client.send("idle 1")
        for _ in range(12):
            await asyncio.sleep(0.1)
            await client.send("listen")
        await client.send("hum 12")
        assert [await client.recv() for _ in range(12)] == ["hm"] * 12
        await client.send("more")
        assert await client.recv() == "more"
        assert not rooms.cancelled


async def test_as_many_as_may_be_and_no_more(opening: Opening, keys: Keys, valkey: Valkey):
    """One user would take all the memory and connections; or one whose socket has ended could open no other."""
    _, alice = await keys.create("alice", plan="tiny")
    _, bob = await keys.create("bob", plan="tiny")
    config = "[limits.plans.tiny]\nconcurrent_websockets = 2\n" + KEYS
    async with opening(config) as one, opening(config) as two, conversing(address(url(one)), alice):
        async with conversing(address(url(two)), alice):
            for house in (one, two):
                refused = await refusal(address(url(house)), alice)
                assert refused.status_code == 429
                assert refused.headers["retry-after"]
                told = json.loads(refused.body)
                assert (told["code"], "which is 2" in told["detail"]) == ("too_many_concurrent", True)
            async with conversing(address(url(two)), bob):
                pass
        # Its end is heard of by its process, and then by the others.
        while await turned_away(address(url(one)), alice):
            pass


async def test_where_everybody_is_let_in_there_is_no_such_limit(opening: Opening):
    """All of an open server's callers are one user, and would share his sockets."""
    async with opening() as house:
        clients = [opened(address(url(house))) for _ in range(30)]
        together = [await client for client in clients]
        for client in together:
            await client.send("here")
        assert [await client.recv() for client in together] == ["here"] * 30
        for client in together:
            await client.close()


async def test_who_leaves_is_noticed_while_his_room_is_busy(opening: Opening, rooms: Rooms):
    """What nobody hears would be made, and paid for, to its end."""
    async with opening() as house:
        async with opened(address(url(house))) as client:
            await client.send("work")
            await rooms.busy.wait()
        await until(lambda: rooms.cancelled == 1)
        async with opened(address(url(house))) as client:
            rooms.busy.clear()
            await client.send("work")
            await rooms.busy.wait()
            client.transport.abort()
            await until(lambda: rooms.cancelled == 2)


async def test_a_server_that_ends_says_so(opening: Opening, rooms: Rooms):
    """Clients would take it for a failure, and not connect again."""
    async with opening() as house:
        client = await opened(address(url(house)))
        await client.send("work")
        await rooms.busy.wait()
        ended = asyncio.create_task(ending(client))
    assert (await ended)[0] == 1012
    assert rooms.cancelled == 1

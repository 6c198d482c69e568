"""Open WebSockets through what happens to servers: revocations, an outage of Redis, the end."""

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.users.keys import Keys
from app.users.revocations import Revocations
from app.users.store import Secret
from cache.link import RedisLink
from tests.http.rooms import PRELUDE, ROOM, address, conversing, ending, opened, refusal, turned_away
from tests.http.servers import UNTRUSTING, VOICES, Server, Valkey
from tests.users.issuer import AUDIENCE, pem
from tests.users.issuer import token as jwt

SECRET = "of 32 characters and a few more than that"
VERBOSE = (
    "import logging; logging.basicConfig(level=logging.DEBUG); "
    f"import uvicorn.config; uvicorn.config.LOG_LEVELS['info'] = logging.DEBUG; {PRELUDE}; "
    "from app.cli import main; main()"
)
PATIENCE = 30.0
"""Seconds for what takes five at the most on a machine that has nothing else to do."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short path, as sockets need."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as path:
        yield Path(path)


class Fleet:
    """Servers with rooms on a Valkey of their own, and who may come in."""

    def __init__(self, valkey: Valkey, home: Path) -> None:
        self.valkey = valkey
        self.home = home
        self.link = RedisLink(valkey.url, timeout=5)
        self.keys = Keys(self.link, Secret(self.link, SECRET))
        self.servers: list[Server] = []

    async def server(
        self, *, limits: str = "", jwt: str = "", grace: float = 15, prelude: str = "", verbose: bool = False
    ) -> Server:
        """One more. `prelude` begins with a semicolon; `verbose`: it writes down all it can.

        Its Redis may take a second: what takes long there is a busy machine, unless the test has stopped it.
        """
        key = self.home / "public.pem"
        key.write_text(pem())
        config = (
            f'[server]\ngrace = {grace}\n[redis]\nurl = "{self.valkey.url}"\ntimeout = 1\n'
            f'[auth]\nmode = "keys+jwt"\nsecret = "{SECRET}"\n'
            f'[auth.jwt]\npublic_key = "file:{key}"\naudience = "{AUDIENCE}"\n{jwt}\n{limits}{VOICES}'
        )
        folder = self.home / str(len(self.servers))
        how: dict[str, object] = {"prelude": PRELUDE + prelude}
        if verbose:
            how = {"program": ("-c", VERBOSE), "options": ["--access-log"]}
        server = await asyncio.to_thread(Server, folder, config, **how)
        self.servers.append(server)
        return server


@pytest.fixture
async def fleet(home: Path) -> AsyncIterator[Fleet]:
    """No server yet."""
    valkey = Valkey(home)
    fleet = Fleet(valkey, home)
    yield fleet
    valkey.process.send_signal(signal.SIGCONT)
    for server in fleet.servers:
        await asyncio.to_thread(server.stop)
    await fleet.link.aclose()
    valkey.stop()


async def a_pass(server: Server, key: str) -> str:
    """For the room "one"."""
    async with httpx.AsyncClient(base_url=server.url, verify=UNTRUSTING) as client:
        body = {"path": "/rooms/one/talk"}
        answer = await client.post("/v1/tokens", json=body, headers={"Authorization": f"Bearer {key}"})
        return str(answer.raise_for_status().json()["token"])


async def says(client: ClientConnection, word: str) -> str | bytes:
    """What its room answers."""
    await client.send(word)
    return await client.recv()


async def test_what_is_revoked_is_out_on_every_replica(fleet: Fleet):
    """Promise 29: whoever has stolen a key, or been dismissed, would talk on for as long as he likes."""
    one, two = await fleet.server(), await fleet.server()
    key, alice = await fleet.keys.create("alice")
    _, bob = await fleet.keys.create("bob")
    carol = jwt(sub="carol", jti="hers")
    dora = jwt(sub="dora", iat=int(time.time()) - 10)
    through = f"?token={await a_pass(one, alice)}"
    async with AsyncExitStack() as stack:
        out = [
            await stack.enter_async_context(conversing(address(server.url, query=query), credential))
            for server in (one, two)
            for credential, query in ((alice, ""), ("", through), (carol, ""), (dora, ""))
        ]
        stays = [
            await stack.enter_async_context(conversing(address(server.url), bob)) for server in (one, two)
        ]
        revocations = Revocations(fleet.link, kept=3600)
        async with asyncio.timeout(PATIENCE):
            await fleet.keys.revoke(key.id)
            await revocations.revoke_token("hers")
            await revocations.revoke_user("dora")
            endings = await asyncio.gather(*map(ending, out))
        assert {code for code, _ in endings} == {1008}
        assert {reason for _, reason in endings} == {
            "Your key or token has been revoked. Connect with another one."
        }
        for client in stays:
            assert await says(client, "still here") == "still here"
        for server in (one, two):
            assert (await refusal(address(server.url), alice)).status_code == 401
            assert server.log.read_text().count("the room one was left") == 4


async def test_a_socket_opened_by_what_is_believed_is_looked_at_at_once(fleet: Fleet):
    """A key is believed for seconds: with as long again until the first look it would be twice what is promised."""
    server = await fleet.server(prelude="; import app.users.doorman as d; d.BELIEVED = 3600.0")
    key, alice = await fleet.keys.create("alice")
    async with httpx.AsyncClient(base_url=server.url, verify=UNTRUSTING) as client:
        headers = {"Authorization": f"Bearer {alice}"}
        assert (await client.get("/v1/usage", headers=headers)).status_code == 200
        await fleet.keys.revoke(key.id)
        assert (await client.get("/v1/usage", headers=headers)).status_code == 200
    async with opened(address(server.url), alice) as talking, asyncio.timeout(PATIENCE):
        assert (await ending(talking))[0] == 1008


async def test_a_token_that_expires_ends_nothing(fleet: Fleet):
    """A conversation would be cut in the middle because it has lasted longer than a log-in."""
    server = await fleet.server(
        jwt='leeway = "0s"', prelude="; import app.users.doorman as d; d.BELIEVED = 0.1"
    )
    short = jwt(exp=int(time.time()) + 2)
    async with conversing(address(server.url), short) as client, asyncio.timeout(PATIENCE):
        while "expired" not in await turned_away(address(server.url), short):
            pass
        assert await says(client, "still here") == "still here"


async def test_redis_may_be_away_for_a_while(fleet: Fleet):
    """Promise 13: each fail-over would cut everybody who is talking; and what is revoked then would be forgotten."""
    server = await fleet.server(prelude="; import app.users.doorman as d; d.BELIEVED = 0.2")
    key, alice = await fleet.keys.create("alice")
    _, bob = await fleet.keys.create("bob")
    async with conversing(address(server.url), alice) as client:
        fleet.valkey.process.send_signal(signal.SIGSTOP)
        refused = await refusal(address(server.url), bob)
        assert (refused.status_code, json.loads(refused.body)["code"]) == (503, "users_unavailable")
        assert refused.headers["retry-after"]
        for _ in range(5):
            await asyncio.sleep(0.2)
            assert await says(client, "still here") == "still here"
        fleet.valkey.process.send_signal(signal.SIGCONT)
        assert await says(client, "still here") == "still here"
        async with asyncio.timeout(PATIENCE):
            await fleet.keys.revoke(key.id)
            assert (await ending(client))[0] == 1008


async def test_redis_may_not_be_away_for_good(fleet: Fleet):
    """A server that nobody can tell of revocations would keep everybody who is in."""
    prelude = "; import app.users.doorman as d; d.BELIEVED, d.UNCHECKED = 0.1, 0.5"
    server = await fleet.server(prelude=prelude)
    _, alice = await fleet.keys.create("alice")
    async with conversing(address(server.url), alice) as client:
        fleet.valkey.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            code, reason = await ending(client)
        assert (code, reason) == (1013, "Keys cannot be checked at the moment. Try again.")


async def test_without_redis_each_process_has_its_share(fleet: Fleet):
    """Promise 30: with Redis away a user could open as many as he likes; and with it back be counted wrong."""
    limits = "[limits]\nalone = 0.25\n[limits.default]\nconcurrent_websockets = 8\n"
    server = await fleet.server(limits=limits, prelude="; import app.users.doorman as d; d.BELIEVED = 3600.0")
    _, alice = await fleet.keys.create("alice")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(conversing(address(server.url), alice))
        fleet.valkey.process.send_signal(signal.SIGSTOP)
        await stack.enter_async_context(conversing(address(server.url), alice))
        assert (await refusal(address(server.url), alice)).status_code == 429


async def test_a_killed_process_gives_its_places_back(fleet: Fleet):
    """Its users could open none until somebody looks into Redis."""
    limits = "[limits.default]\nconcurrent_websockets = 1\n"
    quick = "; import app.users.places as p; p.LEASE = 3.0"
    one, two = (
        await fleet.server(limits=limits, prelude=quick),
        await fleet.server(limits=limits, prelude=quick),
    )
    _, alice = await fleet.keys.create("alice")
    async with opened(address(one.url), alice):
        assert (await refusal(address(two.url), alice)).status_code == 429
        one.process.kill()
        async with asyncio.timeout(PATIENCE):
            while await turned_away(address(two.url), alice):
                pass


async def test_a_server_that_is_told_to_end_lets_them_finish(fleet: Fleet):
    """At each roll-out every conversation would be cut off in the middle of a word."""
    server = await fleet.server()
    _, alice = await fleet.keys.create("alice")
    async with conversing(address(server.url), alice) as client:
        server.process.send_signal(signal.SIGTERM)
        await _until_draining(server)
        refused = await refusal(address(server.url), alice)
        assert (refused.status_code, json.loads(refused.body)["code"]) == (503, "draining")
        assert await says(client, "one more thing") == "one more thing"
        await client.send("end")
        assert await ending(client) == (1000, "")
    await asyncio.to_thread(server.process.wait, PATIENCE)
    assert "Traceback" not in server.log.read_text()


async def test_a_server_that_must_end_tells_them(fleet: Fleet):
    """Clients would take it for a failure; or the server be held by whoever stays."""
    server = await fleet.server(grace=1.5)
    _, alice = await fleet.keys.create("alice")
    async with conversing(address(server.url), alice) as client, opened(address(server.url), alice) as busy:
        await busy.send("work")
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            endings = await asyncio.gather(ending(client), ending(busy))
        assert [code for code, _ in endings] == [1012, 1012]
        code = await asyncio.to_thread(server.process.wait, PATIENCE)
    assert code in {0, -signal.SIGTERM}, server.log.read_text()
    log = server.log.read_text()
    assert log.count("the room one was left") == 2
    assert "Traceback" not in log


async def _until_draining(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, verify=UNTRUSTING) as client, asyncio.timeout(PATIENCE):
        while (await client.get("/readyz")).status_code != 503:
            pass


async def test_nothing_that_is_said_is_written_down(fleet: Fleet):
    """Promise 28: texts, keys and tokens would stand in a log that writes down all it can."""
    server = await fleet.server(verbose=True)
    _, alice = await fleet.keys.create("alice")
    made = await a_pass(server, alice)
    async with conversing(address(server.url), alice) as client:
        assert await says(client, "a marmalade canary") == "a marmalade canary"
        await client.send(b"marmalade " * 10_000)
        assert (await ending(client))[0] == 1009
    for word in ("fail marmalade", "refuse marmalade"):
        async with opened(address(server.url, query=f"?token={made}")) as client:
            await client.send(word)
            await ending(client)
    await refusal(address(server.url, query="?token=marmalade"))
    await refusal(address(server.url), "rf_marmalade")
    log = server.log.read_text()
    assert "DEBUG" in log
    assert 'WebSocket /rooms/one/talk" [accepted]' in log
    for private in ("marmalade", alice, alice.split("_")[2], made, made.split(".")[2]):
        assert private not in log
    assert "Traceback" not in log


async def test_they_are_counted_as_requests_are(fleet: Fleet):
    """An operator would not see them; nor who is refused."""
    server = await fleet.server()
    _, alice = await fleet.keys.create("alice")
    async with conversing(address(server.url), alice) as client:
        assert client.response is not None
        assert "server" not in client.response.headers
    await refusal(address(server.url))
    await refusal(server.url.replace("http", "ws") + "/nowhere", alice)
    for route, status in ((ROOM, "101"), (ROOM, "401"), ("unmatched", "404")):
        assert (
            await asyncio.to_thread(server.samples, "refrain_requests_total", route=route, status=status) == 1
        )

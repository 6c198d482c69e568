"""One account behind two replicas: never more at once than it has, and nothing lost with a replica that dies."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from cache.shared import share
from cache.slots import Slots
from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.errors import RateLimited
from providers.gate import Gated
from providers.guard import Watched
from providers.interface import ProviderVoice, Utterance
from providers.scripted import Script, Scripted
from providers.tones import tone_pcm
from tests.http.servers import UNTRUSTING, Server, Valkey, total, until

CONFIG = """
[redis]
url = "{redis}"
timeout = "2s"  # a machine that is busy is not to be taken for a Redis that is away: then there would be more
[providers.local]
kind = "scripted"
[providers.vendor]
kind = "openai"
base_url = "{vendor}"
max_concurrency = 3
first_byte_timeout = "60s"
timeout = "60s"
[voices.default]
chain = [{{ provider = "vendor", voice = "alloy" }}]
"""


class Vendor:
    """Speaks after `seconds`; `most` is how many asked at once, `texts` what was answered, in order."""

    def __init__(self) -> None:
        self.seconds = 0.1
        self.now = self.most = 0
        self.texts: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, as many requests as come."""
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length or 0))
        if head.startswith(b"head"):  # a connection is opened before anybody speaks
            writer.write(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n")
            return
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
            await self.hold.wait()
        finally:
            self.now -= 1
        self.texts.append(json.loads(body)["input"])
        sound = tone_pcm("Somebody says a thing.", "alloy")
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % len(sound) + sound)
        await writer.drain()


@pytest.fixture
async def vendor() -> AsyncIterator[tuple[Vendor, str]]:
    """In the test's own loop, and its address."""
    vendor = Vendor()
    server = await asyncio.start_server(vendor.connected, "127.0.0.1", 0)
    yield vendor, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
def replicas(tmp_path: Path, vendor: tuple[Vendor, str]) -> Iterator[list[Server]]:
    """Two on one Valkey."""
    (tmp_path / "valkey").mkdir()
    with ExitStack() as stack:
        valkey = Valkey(tmp_path / "valkey")
        stack.callback(valkey.stop)
        config = CONFIG.format(redis=valkey.url, vendor=vendor[1])
        servers = []
        for name in ("one", "two"):
            servers.append(Server(tmp_path / name, config))
            stack.callback(servers[-1].stop)
        yield servers


async def said(client: httpx.AsyncClient, number: int, user: str = "somebody") -> int:
    """A sentence of its own; the status."""
    body = {"input": f"{user.capitalize()} says thing {number}.", "voice": "default"}
    headers = {"authorization": f"Bearer {user}"}
    return (await client.post("/v1/audio/speech", json=body, headers=headers)).status_code


async def test_an_accounts_slots_over_replicas(replicas: list[Server], vendor: tuple[Vendor, str]):
    """Each replica would use up the account, the vendor refuse, and listeners wait for retries."""
    upstream, _ = vendor
    async with ExitAll(replicas) as clients:
        statuses = await asyncio.gather(*(said(clients[number % 2], number) for number in range(24)))
        assert set(statuses) == {200}
        assert upstream.most == 3
        # A replica dies with all of them: they come back by themselves.
        upstream.hold.clear()
        lost = [asyncio.create_task(said(clients[0], number)) for number in range(100, 103)]
        async with asyncio.timeout(10):
            while upstream.now < 3:  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(0.01)
        replicas[0].process.kill()
        await asyncio.gather(*lost, return_exceptions=True)
        upstream.hold.set()
        async with asyncio.timeout(8):  # promised: 3 s and a look; the machine may be busy
            assert await said(clients[1], 200) == 200
        assert upstream.most == 3


async def test_near_the_limit_its_slots_are_hardly_ever_idle(
    replicas: list[Server], vendor: tuple[Vendor, str]
):
    """Handed over slowly from process to process, an account would speak a fraction of what is paid for."""
    upstream, _ = vendor
    upstream.seconds = 0.25
    async with ExitAll(replicas) as clients:
        assert {await said(client, number) for number, client in enumerate(clients, 1000)} == {200}
        began = time.monotonic()
        statuses = await asyncio.gather(*(said(clients[number % 2], number) for number in range(24)))
        took = time.monotonic() - began
    assert set(statuses) == {200}
    assert upstream.most == 3
    # 24 by 3 at a time; a slot that came back by its lease only would take twelve times as long as its utterance.
    assert took < 3 * upstream.seconds * 24 / 3


async def test_one_user_s_flood_does_not_starve_another(replicas: list[Server], vendor: tuple[Vendor, str]):
    """Whoever has a library read aloud would keep everybody else from saying a word until it is done."""
    upstream, _ = vendor
    upstream.hold.clear()
    async with ExitAll(replicas) as clients:
        flood = [asyncio.create_task(said(clients[number % 2], number, "reader")) for number in range(40)]
        await until_waiting(clients, 37)
        others = [
            asyncio.create_task(said(client, 1, name))
            for client, name in zip(clients, ("anna", "ben"), strict=True)
        ]
        await until_waiting(clients, 39)
        upstream.hold.set()
        assert await asyncio.gather(*others) == [200, 200]
        assert set(await asyncio.gather(*flood)) == {200}
    # By turns: three were under way, one was next at each replica, then there is one of the others' at each, and the
    # vendor's answers to those who are asked together come in any order.
    assert max(upstream.texts.index(f"{name} says thing 1.") for name in ("Anna", "Ben")) < 15


async def test_what_one_replica_is_refused_for_binds_the_others(valkey: Valkey):
    """Each replica would ask as if it were alone until it has been refused itself."""
    valkey.command("FLUSHALL")
    async with replica(valkey.url) as (one, refusing), replica(valkey.url) as (two, double):
        refusing.script = Script(fault="rate_limited")
        for provider in (refusing, double):
            provider.before_first.clear()
        first = [asyncio.create_task(spoken(one)) for _ in range(8)]
        await refusing.called(8)
        refusing.before_first.set()
        assert {type(outcome) for outcome in await asyncio.gather(*first, return_exceptions=True)} == {
            RateLimited
        }
        # Of the eight that were under way everywhere there may be four; two where a busy machine took a second.
        await until(lambda: (one.allowance.now or 8) <= 4)
        # Each of the eight has told of its own refusal: what the last of them came to is what all go by.
        await until(lambda: not one._slots._tasks)
        most = one.allowance.now
        assert most is not None
        second = [asyncio.create_task(spoken(two)) for _ in range(8)]
        await double.called(most)
        await until(lambda: two.waiting == 8 - most)
        assert len(double.calls) == most
        double.before_first.set()
        assert all(await asyncio.gather(*second))


@asynccontextmanager
async def replica(redis_url: str) -> AsyncIterator[tuple[Gated, Scripted]]:
    """An account of which no bound is known, with all that processes share, and its double."""
    shared = share(redis_url, timeout=2.0)
    slots = Slots(shared.link, shared.notices)
    double, allowance = Scripted("one"), Allowance(None)
    yield Gated(Watched(double, Circuit("one"), allowance), allowance, slots=slots), double
    await slots.aclose()
    await shared.notices.aclose()
    await shared.link.aclose()


async def spoken(provider: Gated) -> bytes:
    """All the sound."""
    async with provider.speak(Utterance("Somebody says a thing.", ProviderVoice("one", "low"))) as sound:
        return b"".join([piece async for piece in sound.pieces])


async def until_waiting(clients: list[httpx.AsyncClient], number: int) -> None:
    """So many stand at the gates of all replicas."""
    async with asyncio.timeout(20):
        while await waiting(clients) < number:  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(0.01)


async def waiting(clients: list[httpx.AsyncClient]) -> float:
    """How many do."""
    pages = [(await client.get("/metrics")).text for client in clients]
    return sum(total(page, "refrain_provider_waiting") for page in pages)


class ExitAll:
    """Clients of all, closed at the end."""

    def __init__(self, servers: list[Server]) -> None:
        self._clients = [
            httpx.AsyncClient(base_url=server.url, timeout=30, verify=UNTRUSTING) for server in servers
        ]

    async def __aenter__(self) -> list[httpx.AsyncClient]:
        return self._clients

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.aclose()

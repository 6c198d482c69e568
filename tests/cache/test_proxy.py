"""The faults that other tests rely on, each against a real server: a proxy that only passed would prove nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.cache.conftest import Server
from tests.cache.proxy import Mode, Proxy, proxied


class Client:
    """A bare connection that sends words and reads what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, *words: str, seconds: float = 5.0) -> bytes:
        """The answer's first piece; empty when the connection ends.

        Raises:
            TimeoutError: none came.
            OSError: the connection was cut.
        """
        self._writer.write((" ".join(words) + "\r\n").encode())
        async with asyncio.timeout(seconds):
            return await self._reader.read(1024)

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()


@pytest.fixture
async def proxy(valkey: Server) -> AsyncIterator[Proxy]:
    """A proxy before the common server."""
    async with proxied(valkey.socket) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    """A connection through it that has already been used."""
    client = await reach(proxy)
    yield client
    client.close()


async def reach(proxy: Proxy) -> Client:
    """Connect, and see that it works."""
    client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
    if proxy.mode == "pass":
        assert await client.ask("PING") == b"+PONG\r\n"
    return client


async def lost(client: Client, *words: str) -> bool:
    """Whether the connection ended in the place of an answer."""
    try:
        return await client.ask(*words) == b""
    except OSError:
        return True


async def test_slow_answers_arrive_whole(proxy: Proxy, client: Client):
    """Late is not lost: a client that is patient enough must get every byte, in order."""
    loop = asyncio.get_running_loop()
    await proxy.switch("delay", seconds=0.05)
    began = loop.time()
    assert await client.ask("PING") == b"+PONG\r\n"
    assert loop.time() - began >= 0.05
    await proxy.switch("trickle", seconds=0.001)
    assert await client.ask("PING") == b"+"
    assert proxy.struck.is_set()


@pytest.mark.parametrize("mode", ["lose", "snap"])
async def test_a_command_runs_though_its_reply_is_lost(
    proxy: Proxy, client: Client, valkey: Server, mode: Mode
):
    """This is the fault that makes counters count twice: the other side has done it."""
    valkey.command("DEL", mode)
    await proxy.switch(mode)
    if mode == "lose":
        with pytest.raises(TimeoutError):
            await client.ask("INCR", mode, seconds=0.05)
    else:
        assert await lost(client, "INCR", mode)
    assert valkey.command("GET", mode) == b"$1\r\n1\r\n"
    # The old connection stays silent when all is well again: what it would say now is not the answer.
    await proxy.switch("pass")
    if mode == "lose":
        with pytest.raises(TimeoutError):
            await client.ask("PING", seconds=0.05)
    fresh = await reach(proxy)
    assert await fresh.ask("GET", mode) == b"$1\r\n1\r\n"
    fresh.close()


async def test_a_hole_swallows_commands(proxy: Proxy, client: Client, valkey: Server):
    """A server that hangs does nothing of what it is told."""
    await proxy.switch("hole")
    for asker in (client, fresh := await reach(proxy)):
        with pytest.raises(TimeoutError):
            await asker.ask("SET", "hole", "fallen", seconds=0.05)
    assert valkey.command("GET", "hole") == b"$-1\r\n"
    fresh.close()


async def test_cut_and_refused_connections_end_at_once(proxy: Proxy, client: Client):
    """Two ways to be away that a client sees without waiting."""
    await proxy.switch("cut")
    assert await lost(client, "PING")
    assert await lost(await reach(proxy), "PING")
    await proxy.switch("refuse")
    with pytest.raises(ConnectionRefusedError):
        await reach(proxy)
    await proxy.switch("pass")
    again = await reach(proxy)
    again.close()


async def test_a_fault_can_be_meant_for_one_command(proxy: Proxy, client: Client):
    """To lose the reply of one script in the middle of a conversation, the others have to be answered."""
    await proxy.switch("snap", when=lambda request: b"INCR" in request)
    assert await client.ask("PING") == b"+PONG\r\n"
    assert not proxy.struck.is_set()
    assert await lost(client, "INCR", "once")
    assert proxy.struck.is_set()

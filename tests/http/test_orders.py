"""Another route on the same `Idempotency-Key`, whose process is killed while it carries something out."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from app.users.store import named
from tests.http.orders import WHO
from tests.http.servers import ROOT, UNTRUSTING, Valkey, until

Start = Callable[[str], tuple[subprocess.Popen[bytes], httpx.AsyncClient]]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own."""
    valkey = Valkey(tmp_path)
    yield valkey
    valkey.stop()


@pytest.fixture
def start(own: Valkey, tmp_path: Path) -> Iterator[Start]:
    """Starts a server, held up or not, and gives a client of it."""
    with ExitStack() as running:

        def started(held: str) -> tuple[subprocess.Popen[bytes], httpx.AsyncClient]:
            place = str(tmp_path / f"{held or 'free'}.sock")
            environ = {**os.environ, "URL": own.url, "HELD": held, "SOCKET": place}
            process = subprocess.Popen([sys.executable, "-m", "tests.http.orders"], cwd=ROOT, env=environ)
            running.callback(process.wait)
            running.callback(process.kill)
            transport = httpx.AsyncHTTPTransport(uds=place, verify=UNTRUSTING)
            return process, httpx.AsyncClient(transport=transport, base_url="http://orders", timeout=60)

        yield started


async def ordered(client: httpx.AsyncClient, body: str = "one") -> httpx.Response:
    """Sent once."""
    return await client.post("/orders", content=body, headers={"Idempotency-Key": "the same"})


async def listens(client: httpx.AsyncClient) -> None:
    """Once somebody does."""
    while True:
        try:
            await client.get("/", headers={"Idempotency-Key": 256 * "x"})  # it is none
        except httpx.ConnectError:
            await asyncio.sleep(0.02)
        else:
            return


@pytest.mark.parametrize("held", ["before", "behind"])
async def test_one_order_though_its_process_is_killed(own: Valkey, start: Start, held: str):
    """Promise 20: sent 20 times at once, and again after a crash, it would be entered, and paid for, twice."""
    (dying, one), (_, two) = start(held), start("")
    async with one, two:
        await asyncio.gather(listens(one), listens(two))
        first = asyncio.create_task(ordered(one))
        mark = "begun" if held == "before" else "held"
        await until(lambda: own.command("LLEN", mark) == b":1\r\n")
        others = [asyncio.create_task(ordered((one, two)[at % 2])) for at in range(19)]
        await asyncio.sleep(0)
        dying.kill()
        came = await asyncio.gather(*others, first, return_exceptions=True)
        answers = [answer for answer in came if isinstance(answer, httpx.Response)]
        assert len(answers) >= 9, "those of the other server"
        lost = [answer for answer in came if not isinstance(answer, httpx.Response)]
        assert all(isinstance(error, httpx.TransportError) for error in lost)
        answers += [await ordered(two) for _ in range(len(lost) + 1)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert own.command("HLEN", "book") == b":1\r\n"
        counts = own.command("HMGET", named("counts", WHO.id), "characters", "money")
        assert counts.split(b"\r\n")[2::2] == [b"1", b"10000"], counts
        assert (await ordered(two, "two")).text == "idempotency_mismatch"

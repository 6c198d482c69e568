"""Real speech while Redis is away, full, read-only, forgetful, damaged or falling over: 200, always."""

import asyncio
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from cache.purges import Purges
from providers import tones
from providers.circuits import Circuits
from tests.cache.conftest import Server
from tests.cache.fleet import cluster, guarded
from tests.cache.proxy import Proxy, proxied
from tests.http.servers import AS_SHIPPED, VOICES, Inside, inside, until

WARM = "This sentence is said before the trouble begins. So is this one, right behind it."


@pytest.fixture
def victim() -> Iterator[Server]:
    """A server of the test's own, to be hurt."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home))
        yield server
        server.stop()


@pytest.fixture
async def line(victim: Server) -> AsyncIterator[Proxy]:
    """A line to it that can be hurt too."""
    async with proxied(victim.socket) as proxy:
        yield proxy


BEHIND = {"telling of a draft", "forgetting what was withdrawn"}


@pytest.fixture
async def house(line: Proxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain over that line, warmed by one text.

    Without the looks at what was forgotten elsewhere and at others' circuits, once a second: they would wait for their
    own time-outs at the same time as a request does, and be counted with it.
    """
    monkeypatch.setattr(Purges, "watch", lambda *_, **__: None)
    monkeypatch.setattr(Circuits, "look", _nowhere)
    async with inside(monkeypatch, line.url, redis_timeout=AS_SHIPPED) as running:
        await said(running, WARM)
        # What goes on behind an answer would be counted, too.
        await until(lambda: not {task.get_name() for task in asyncio.all_tasks()} & BEHIND)
        yield running


async def _nowhere(*_: object) -> None:
    """Looks at nothing."""


async def said(house: Inside, *texts: str) -> list[httpx.Response]:
    """All at once; every one of them has to be well, and whole."""
    answers = await asyncio.gather(*(house.post(input=text, response_format="pcm") for text in texts))
    assert {answer.status_code for answer in answers} == {200}
    assert all(len(answer.content) > 10_000 for answer in answers)
    return answers


async def until_hits(house: Inside, texts: list[str]) -> None:
    """Until everything is stored: that goes on behind the answers."""
    while house.calls:
        calls = house.calls
        answers = await said(house, *texts)
        if all(answer.headers["cache-status"].startswith("refrain; hit") for answer in answers):
            assert house.calls == calls
            return


async def errors(house: Inside) -> float:
    """Calls to Redis that came to nothing."""
    return await house.metric("refrain_redis_errors_total")


async def kept_again(house: Inside, victim: Server) -> float:
    """Until something new is kept in Redis; the seconds that took."""
    before, began, number = victim.command("DBSIZE"), time.monotonic(), 0
    while victim.command("DBSIZE") == before:
        number += 1
        await said(house, f"Back again, number {number}, so that it is kept.")
    return time.monotonic() - began


Fault = Callable[[Server, Proxy], object]
FAULTS: dict[str, tuple[Fault, Fault]] = {
    "killed": (lambda victim, _: victim.send(signal.SIGKILL), lambda victim, _: victim.start()),
    "hung": (lambda victim, _: victim.send(signal.SIGSTOP), lambda victim, _: victim.send(signal.SIGCONT)),
    "paused": (lambda victim, _: victim.command("CLIENT", "PAUSE", "1500", "ALL"), lambda *_: None),
    "refused": (lambda _, line: line.switch("refuse"), lambda _, line: line.switch("pass")),
    "swallowed": (lambda _, line: line.switch("hole"), lambda _, line: line.switch("pass")),
}


@pytest.mark.parametrize(
    "fault",
    [
        "killed",
        "paused",
        "swallowed",
        *(pytest.param(name, marks=pytest.mark.soak) for name in ("hung", "refused")),
    ],
)
async def test_speech_goes_on_without_redis_and_with_it_again(
    house: Inside, victim: Server, line: Proxy, fault: str
):
    """A cache that fails must cost its saving, never an answer, and never a wait at each request."""
    hurt, heal = FAULTS[fault]
    if asyncio.iscoroutine(pending := hurt(victim, line)):
        await pending
    failed = await errors(house)
    for number in range(5):
        await said(house, f"Sentence number {number}, one after the other, of the outage.")
    # Each request alone has a dozen commands to wait for; together they wait for one time-out, of 100 ms.
    assert await errors(house) == failed + 1
    calls = house.calls
    crowd = await said(
        house, *["Fifty people want this sentence at the same time, and it is made once."] * 50
    )
    assert len({answer.content for answer in crowd}) == 1
    assert house.calls == calls + 1
    (warm,) = await said(house, WARM)
    assert warm.headers["cache-status"].startswith("refrain; hit")
    if asyncio.iscoroutine(pending := heal(victim, line)):
        await pending
    assert await kept_again(house, victim) < 10.0  # promised: 2 s


async def test_a_full_a_read_only_and_a_forgetful_server_cost_no_answer(house: Inside, victim: Server):
    """Each of them refuses some commands and takes others: none of that may reach a listener."""
    victim.command("CONFIG", "SET", "maxmemory", "1")
    await said(house, WARM, "Out of memory, nothing new is kept, and this is said all the same.")
    victim.command("CONFIG", "SET", "maxmemory", "0")
    victim.command("REPLICAOF", "127.0.0.1", "1")
    await said(house, WARM, "Read-only, and this is said all the same.")
    victim.command("REPLICAOF", "NO", "ONE")
    victim.command("SCRIPT", "FLUSH")
    await said(house, WARM, "No script is known any more, and this is said all the same.")
    victim.command("FLUSHALL")
    await said(house, WARM, "Nothing is there any more, and this is said all the same.")
    await kept_again(house, victim)


async def test_damaged_clips_are_made_anew_before_a_byte_of_them_leaves(
    victim: Server, monkeypatch: pytest.MonkeyPatch
):
    """One flipped bit in each stored clip: a listener would hear a crack, or his decoder break off."""
    chance = random.Random(7)
    no_memory = VOICES + '[cache]\nmemory = "0B"\n'
    async with inside(monkeypatch, victim.url, no_memory, redis_timeout=AS_SHIPPED) as house:
        texts = [f"Sentence number {number} will be damaged behind our back." for number in range(10)]
        whole = await said(house, *texts)
        await until(lambda: victim.command("KEYS", "*:lease:*") == b"*0\r\n")
        keys = [
            word.decode()
            for word in victim.command("KEYS", "*:clip:*").split(b"\r\n")
            if word[:7] == b"refrain"
        ]
        assert len(keys) >= 2 * len(texts)  # a clip and a manifest each
        for key in keys:
            bit = chance.randrange(8 * int(victim.command("STRLEN", key)[1:]))
            old = int(victim.command("GETBIT", key, str(bit))[1:])
            victim.command("SETBIT", key, str(bit), str(1 - old))
        calls = house.calls
        again = await said(house, *texts)
        assert [answer.content for answer in again] == [answer.content for answer in whole]
        assert house.calls == calls + len(texts)


async def test_speech_over_a_cluster_of_which_a_node_dies(monkeypatch: pytest.MonkeyPatch):
    """A third of the cache is gone: that third is made anew, and every listener is served."""
    no_memory = VOICES + '[cache]\nmemory = "0B"\n'
    with tempfile.TemporaryDirectory() as home, cluster(Path(home)) as nodes:
        async with inside(monkeypatch, nodes.url, no_memory, redis_timeout=AS_SHIPPED) as house:
            texts = [f"Sentence number {number} lies somewhere in the cluster." for number in range(20)]
            whole = await said(house, *texts)
            assert house.calls == 20
            await until_hits(house, texts)
            nodes.masters[1].send(signal.SIGKILL)
            again = await said(house, *texts)
            assert [answer.content for answer in again] == [answer.content for answer in whole]
            assert 20 < house.calls < 40
            calls = house.calls
            await said(house, *["This one is new, and fifty people want it."] * 50)
            assert house.calls == calls + 1


async def test_speech_goes_on_while_sentinels_fail_over(monkeypatch: pytest.MonkeyPatch):
    """From the master's death to the last request after the fail-over: not one 5xx."""
    with tempfile.TemporaryDirectory() as home, guarded(Path(home), sentinels=1) as fleet:
        async with inside(monkeypatch, fleet.url, redis_timeout=AS_SHIPPED) as house:
            await said(house, WARM)
            fleet.master.send(signal.SIGKILL)
            number = 0
            while not await asyncio.to_thread(fleet.promoted):
                number += 1
                await said(house, WARM, f"Sentence number {number} of the fail-over, said all the same.")
            began = time.monotonic()
            before = fleet.replica.client.dbsize()
            while fleet.replica.client.dbsize() == before:
                number += 1
                await said(house, f"Sentence number {number} of the fail-over, said all the same.")
            assert time.monotonic() - began < 10.0  # promised: 2 s


async def test_two_soundings_of_an_outage_are_told_apart(victim: Server):
    """Who resumes at another replica would be given the second half of a sentence in another voice's mood."""
    with pytest.MonkeyPatch.context() as patch:
        async with (
            inside(patch, victim.url, redis_timeout=AS_SHIPPED) as one,
            inside(patch, victim.url, redis_timeout=AS_SHIPPED) as two,
        ):
            victim.send(signal.SIGSTOP)
            first = (await said(one, WARM))[0]
            patch.setattr(tones, "_AMPLITUDE", 0.2)  # the same voice, in another mood
            second = (await said(two, WARM))[0]
            victim.send(signal.SIGCONT)
            assert first.content != second.content
            address = first.headers["content-location"]
            assert second.headers["content-location"] == address
            wholes = [await house.client.get(address) for house in (one, two)]
            assert [whole.status_code for whole in wholes] == [200, 200]
            assert [whole.content for whole in wholes] == [first.content, second.content]
            etag = wholes[0].headers["etag"]
            assert etag != wholes[1].headers["etag"]
            resume = {"Range": "bytes=1000-"}
            at_first = await one.client.get(address, headers=resume | {"If-Range": etag, "If-Match": etag})
            assert (at_first.status_code, at_first.content) == (206, first.content[1000:])
            ranged = await two.client.get(address, headers=resume | {"If-Range": etag})
            assert (ranged.status_code, ranged.content) == (200, second.content)
            matched = await two.client.get(address, headers=resume | {"If-Match": f'"a", W/{etag}, {etag}'})
            assert (matched.status_code, matched.content) == (412, b"")
            weak = await one.client.get(address, headers={"If-Match": f"W/{etag}"})
            assert weak.status_code == 412
            # Without a condition it is the client's own to compare.
            bare = await two.client.get(address, headers=resume)
            assert (bare.status_code, bare.headers["etag"]) == (206, wholes[1].headers["etag"])

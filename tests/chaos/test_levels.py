"""A voice's loudness is known where its clips are only followed: who has to go on alone goes on alike."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.speech.levels import ENOUGH
from tests.cache.conftest import Server
from tests.http.servers import inside, until

CONFIG = """
[providers.new]
kind = "scripted"
gain = -15
loudness = "unknown"
[voices.default]
chain = [{ provider = "new", voice = "low" }]
"""
TEXT = "Redis goes away in the middle of this sentence, and who follows has to go on alone."


@pytest.fixture
def victim() -> Iterator[Server]:
    """A server of the test's own, to be hurt."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home))
        yield server
        server.stop()


async def test_a_follower_takes_over_with_the_same_gain(victim: Server, monkeypatch: pytest.MonkeyPatch):
    """Listeners in the middle of a sentence would be cut: the rest of it were louder, and other bytes."""
    async with (
        inside(monkeypatch, victim.url, CONFIG, redis_timeout=0.5) as one,
        inside(monkeypatch, victim.url, CONFIG, redis_timeout=0.5) as two,
    ):
        for number in range(ENOUGH):
            assert (await one.post(input=f"This is how loud sentence number {number} is.")).status_code == 200
        # What is stored goes on behind the answers; the follower has never made a clip of the voice.
        maker, heir = one.scripted["new"], two.scripted["new"]
        maker.between.clear()
        maker.script = replace(maker.script, pace=0.03)  # else a busy machine finds it finished
        body = {"input": TEXT, "response_format": "pcm"}
        leading = asyncio.create_task(one.post(**body))
        await maker.called(ENOUGH + 1)
        heard: list[bytes] = []

        async def follow() -> int:
            async with two.client.stream("POST", "/v1/audio/speech", json=body) as answer:
                async for piece in answer.aiter_raw():
                    heard.append(piece)  # noqa: PERF401 - as it comes
                return answer.status_code

        following = asyncio.create_task(follow())
        maker.between.set()  # far enough for something to be heard...
        await until(lambda: bool(heard) or following.done())
        maker.between.clear()
        assert not heir.calls
        victim.send(signal.SIGSTOP)  # ...and no farther
        await heir.called(1)
        assert await following == 200
        maker.between.set()
        whole = await leading
        victim.send(signal.SIGCONT)
        assert b"".join(heard) == whole.content

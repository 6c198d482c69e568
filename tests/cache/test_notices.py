"""Ears: what is published behind `listen` is heard."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from cache.notices import Notices
from cache.shared import share
from tests.cache.conftest import Server, close, until
from tests.cache.proxy import proxied

A = "a" * 40


async def test_an_acknowledgement_for_who_has_left_is_not_taken_for_ones_own(
    victim: Server, monkeypatch: pytest.MonkeyPatch
):
    """Who comes as another leaves would miss the end of what it follows, and wait for the lease to run out."""
    messages: list[object] = []
    hear: Callable[[Notices, object], None] = Notices._hear

    def noting(self: Notices, message: object) -> None:
        messages.append(message)
        hear(self, message)

    monkeypatch.setattr(Notices, "_hear", noting)
    async with proxied(victim.socket) as proxy:
        shared = share(proxy.url, timeout=30.0)
        channel = shared.link.keys.of("notice", A)
        await proxy.switch("delay", seconds=0.2, when=lambda request: b"SUBSCRIBE" in request)

        async def leaves() -> None:
            async with shared.notices.ear(channel) as ear:
                await ear.listen()

        first = asyncio.create_task(leaves())
        await until(lambda: victim.command("PUBSUB", "NUMSUB", channel).endswith(b":1\r\n"))
        victim.send(signal.SIGSTOP)  # it has acknowledged the first, and does no more for now
        first.cancel()
        await asyncio.wait([first])
        await until(lambda: not shared.notices._farewells)
        async with shared.notices.ear(channel) as ear:
            listening = asyncio.create_task(ear.listen())
            await until(lambda: len(messages) == 1)
            for _ in range(10):
                await asyncio.sleep(0)
            assert not listening.done()
            victim.send(signal.SIGCONT)
            await listening
            assert await shared.link.client.publish(channel, "") == 1
            await ear.wait(10)
            assert ear._heard.is_set()
        await close(shared)

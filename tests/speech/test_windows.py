"""Windows of a listener: what is counted as at hand, however he leaves."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from app.speech.allowance import ALLOWED, Allowance
from app.speech.windows import Windows
from cache.interface import Entry
from cache.value import new_entry
from tests.http.servers import until


async def test_who_is_cancelled_twice_gives_back_what_he_had():
    """The count would shrink with every such listener, until all of them read clip by clip."""
    begun = 0
    go = asyncio.Event()

    async def read(first: int, behind: int) -> Sequence[Entry]:
        nonlocal begun
        begun += 1
        if first:
            try:
                await asyncio.Event().wait()
            finally:
                await go.wait()  # as one who has to end something first
        return [new_entry(b"{}", bytes(100_000), made_at=time.time(), ttl=60.0)] * (behind - first)

    allowance = Allowance()
    windows = Windows([number * 100_000 for number in range(11)], read, allowance)

    async def listen() -> None:
        async with aclosing(windows.run(0, 10)) as runs:
            async for _ in runs:
                await asyncio.Event().wait()

    listening = asyncio.create_task(listen())
    await until(lambda: begun == 2)
    assert allowance.most(ALLOWED) < ALLOWED // 4
    for _ in range(2):
        listening.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.wait([listening])
    assert allowance.most(ALLOWED) == ALLOWED // 4
    go.set()

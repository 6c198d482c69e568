"""The server with a probe in its event loop: `python -m uvicorn benchmarks.probe:application --factory`."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from litestar.types import HTTPScope, LifeSpanScope, Receive, Scope, Send

from app.cli.serve import settle
from app.server import create_app
from app.settings import load

_TICK = 0.001


class Probed:
    """The service, and a task that wakes up every millisecond and notes how late it was.

    GET /lag tells, since the last time it was asked: a list of [seconds late, of those waiting for a core].
    """

    def __init__(self) -> None:
        self._app = create_app(load())
        self._app.on_startup.append(
            settle
        )  # as `refrain serve` does: one collection of all that is loaded takes 40 ms
        self._late: list[tuple[float, float]] = []

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        kind = cast("str", scope["type"])  # Litestar's enumeration of them leaves the lifespan out
        if kind == "lifespan":  # one call that lasts as long as the server
            probe = asyncio.create_task(self._probe(), name="lag")
            try:
                await self._app(cast("Scope", scope), receive, send)
            finally:
                probe.cancel()
        elif kind == "http" and cast("HTTPScope", scope)["path"] == "/lag":
            told, self._late = self._late, []
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(told).encode(), "more_body": False})
        else:
            await self._app(cast("Scope", scope), receive, send)

    async def _probe(self) -> None:
        queued = _run_queue()
        while True:
            began, waited = time.perf_counter(), queued()
            await asyncio.sleep(_TICK)
            self._late.append((time.perf_counter() - began - _TICK, queued() - waited))


def _run_queue() -> Callable[[], float]:
    """Seconds that this thread has waited for a core so far, as Linux counts them (`schedstat`); elsewhere 0."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if not path.exists():
        return lambda: 0.0
    file = os.open(path, os.O_RDONLY)  # open as long as the process lives
    return lambda: int(os.pread(file, 64, 0).split()[1]) / 1e9


def application() -> Probed:
    """For uvicorn."""
    return Probed()

"""A route that is not Refrain's, on its `Idempotency-Key`: `POST /orders`, in a process of its own.

An order takes one character and a hundredth of money. Where `HELD` is set it is held up for ever, either before it is
entered in the book (`before`) or behind it (`behind`): to be killed there.
"""

import asyncio
import json
import os
from typing import Any

import uvicorn

from app.errors import RefrainError
from app.settings.tables import LimitTable
from app.users.idempotency import HEADER, Idempotency
from app.users.limits import Due, Limits
from app.users.store import Secret
from app.users.tally import Line, Tally
from app.users.user import User
from cache.errands import Errands
from cache.link import RedisLink

WHO = User("alice", "user", "default", "key:test", "alices")
LIMITS = LimitTable(requests_per_minute=None, characters_per_day=100, spend_per_month=1.0)


class Orders:
    """The application. What is begun and what is in the book are lists in Redis, for the test to read."""

    def __init__(self, url: str, held: str) -> None:
        self._link = RedisLink(url, timeout=5)
        self._held = held
        errands = Errands(self._link)
        self._limits = Limits(errands, lambda _: LIMITS)
        self._idempotency = Idempotency(errands, Secret(self._link), lease=0.5)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        key = dict(scope["headers"])[HEADER.lower().encode()].decode()
        try:
            status = 200
            answer = await self._idempotency.once(WHO, key, "orders", body, self._order)
        except RefrainError as error:
            status, answer = error.row.status, error.row.code.encode()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    async def _order(self, order: str) -> bytes:
        await self._link.client.rpush("begun", order)
        if self._held == "before":
            await asyncio.Event().wait()
        tally = Tally()
        hold = await self._limits.reserve(self._limits.enter(WHO), Due(1, 0.01), tally, once=order)
        entered = await self._link.client.hsetnx("book", order, os.getpid())
        tally.add("default", "none", Line(charged=1, spend=0.01))
        hold.settle()
        while not self._limits.settled:
            await self._link.client.ping()
        if self._held == "behind":
            await self._link.client.rpush("held", order)
            await asyncio.Event().wait()
        return json.dumps({"order": order, "entered": entered, "by": os.getpid()}).encode()


if __name__ == "__main__":
    uvicorn.run(
        Orders(os.environ["URL"], os.environ.get("HELD", "")),
        uds=os.environ["SOCKET"],
        log_level="error",
        lifespan="off",
    )

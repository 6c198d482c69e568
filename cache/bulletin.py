"""Short things that processes tell each other through Redis, by name, each with a lifetime."""

import time
from collections.abc import Callable, Mapping

from cache.claims import Claims
from cache.errors import Away
from cache.link import Answer, RedisLink


class Bulletin:
    """All processes that share a Redis see the same; without one, or while it is away, there are no others."""

    def __init__(self, link: RedisLink | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic, in seconds."""
        self._link = link
        self._claims = Claims(link, clock=clock, kind="claim")

    async def post(self, name: str, value: str, seconds: float) -> bool:
        """Tell all, for so many seconds; False: the others cannot be reached."""
        link = self._link
        if link is None:
            return False
        key, milliseconds = link.keys.of("bulletin", name), int(seconds * 1000)
        try:
            await link.call(lambda: link.client.set(key, value, px=milliseconds))
        except Away:
            return False
        return True

    async def withdraw(self, name: str) -> bool:
        """Tell no more; False: the others cannot be reached."""
        link = self._link
        if link is None:
            return False
        try:
            await link.call(lambda: link.client.delete(link.keys.of("bulletin", name)))
        except Away:
            return False
        return True

    async def posted(self, names: list[str]) -> Mapping[str, str] | None:
        """What anybody tells under these names, in one round trip; None: nobody can be reached."""
        link = self._link
        if link is None:
            return None
        keys = [link.keys.of("bulletin", name) for name in names]
        try:
            values: Answer = await link.call(lambda: link.client.mget(keys))
        except Away:
            return None
        return {
            name: str(value, "ascii") for name, value in zip(names, values, strict=True) if value is not None
        }

    async def claim(self, name: str, seconds: float) -> bool:
        """Whether the caller is the one who may do this, and nobody else for so many seconds."""
        return await self._claims.take(name, seconds)

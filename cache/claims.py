"""Who may begin something that one in the fleet should do, and nobody again for a while."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from cache.errors import Away
from cache.link import RedisLink
from cache.server import unreachable

_MOST = 4096


class Claims:
    """Claims by digest, over all processes that share a Redis; without it, or while it is away, in this one.

    A claim is never given back: it is also the pause until somebody may try again. `clock` is monotonic.
    """

    def __init__(
        self,
        link: RedisLink | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        kind: str = "refresh",
    ) -> None:
        """Claims of one `kind` are apart from those of another."""
        self._link = link
        self._kind = kind
        self._clock = clock
        self._until: dict[str, float] = {}

    def is_held(self, digest: str) -> bool:
        """Whether somebody in this process asked for it less than its seconds ago: `take` would refuse."""
        return self._clock() < self._until.get(digest, 0.0)

    async def take(self, digest: str, seconds: float) -> bool:
        """Whether the caller is the one. Asks Redis once in so many seconds at the most."""
        # No await between looking and setting: of two in this process one is refused.
        if self.is_held(digest):
            return False
        self._hold(digest, seconds)
        link = self._link
        if link is None:
            return True
        key, token, milliseconds = link.keys.of(self._kind, digest), secrets.token_hex(8), int(seconds * 1000)
        try:
            return bool(await link.call(lambda: link.client.set(key, token, nx=True, px=milliseconds)))
        except Away as error:
            # Where only the reply was lost the key holds our token, and nobody else is the one. A server that refused
            # (it is full, or read-only) refuses everybody, and would refuse what is made, too.
            return error.__cause__ is None or unreachable(error.__cause__)

    async def lengthen(self, digest: str, seconds: float) -> None:
        """Have what was taken last longer: so many seconds from now."""
        self._hold(digest, seconds)
        link = self._link
        if link is None:
            return
        key, milliseconds = link.keys.of(self._kind, digest), int(seconds * 1000)
        with suppress(Away):
            await link.call(lambda: link.client.pexpire(key, milliseconds))

    def _hold(self, digest: str, seconds: float) -> None:
        now = self._clock()
        if len(self._until) >= _MOST:
            live = [(held, until) for held, until in self._until.items() if now < until]
            self._until = dict(live[-_MOST // 2 :])
        self._until[digest] = now + seconds

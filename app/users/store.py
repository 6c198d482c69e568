"""Where users' things are: a Redis, by names that tell nothing of anybody."""

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cache.digest import digest
from cache.errors import Away
from cache.link import RedisLink

SECRET_BYTES: Final = 32
LOOKED_EVERY: Final = 4.0
"""Seconds between two looks whether the secret in Redis is still the same: one that was lost is another by then."""


def named(thing: str, *parts: str) -> str:
    """The key of a thing. What it is of is hashed: names of keys are seen by many. The braces are for clusters.

    Apart from the cache's names, and with a version of its own: a new layout of clips must not forget users.
    """
    return f"refrain-users:1:{thing}:{{{digest('users', parts)}}}"


def of_user(thing: str, user: str, *parts: str) -> str:
    """The key of one of many things of a user, told apart by their `parts`: `named("thing:*", user)` fits them all."""
    return named(f"{thing}:{digest(thing, parts)}", user)


@dataclass(slots=True)
class Secret:
    """What keys are hashed with, addresses salted and query tokens signed; the same for all replicas.

    Given by the operator, or made by whoever needs it first and kept in Redis. `saves` as with `Keys`; `clock` is
    monotonic, in seconds.
    """

    link: RedisLink
    given: str = field(default="", repr=False)
    saves: bool = False
    clock: Callable[[], float] = time.monotonic
    _known: bytes = field(default=b"", repr=False)
    _looked: float = -math.inf

    async def get(self) -> bytes:
        """The secret.

        Raises:
            Away: it is kept in Redis, which does not answer, and is not known yet.
        """
        if self.given:
            return self.given.encode()
        now = self.clock()
        if not self._known:
            self._known, self._looked = await self._kept(), now
        elif now - self._looked >= LOOKED_EVERY:
            # Before the first await: one looks, and all others go by what is known meanwhile.
            self._looked = now
            with suppress(Away):
                self._known = await self._kept()
        return self._known

    async def _kept(self) -> bytes:
        """What is in Redis. Where it was lost, it is what this process knows, or a new one."""
        key, client = named("secret"), self.link.client
        # Looked for first: a Redis that is full, or takes no writes, has it all the same.
        found = await self.link.call(partial(client.get, key))
        if found is None:
            made = self._known or secrets.token_bytes(SECRET_BYTES)
            await self.link.call(partial(client.set, key, made, nx=True))
            # Whoever is second gets what the first has set.
            found = await self.link.call(partial(client.get, key))
            if self.saves:
                # Sound that is a user's own is found by it: also when he, or somebody, is to be forgotten.
                with suppress(Away):
                    await self.link.call(client.bgsave)
        # With a short one anybody could sign.
        if not isinstance(found, bytes) or len(found) < SECRET_BYTES:
            raise Away("no secret")
        return found

    async def owner(self, user: str) -> str:
        """The word for what is this user's: see `User.owner`.

        Raises:
            Away: as `get`.
        """
        return hmac.digest(await self.get(), b"owner\0" + user.encode(), hashlib.sha256).hex()[:40]

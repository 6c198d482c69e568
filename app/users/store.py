"""Where users' things are: a Redis, by names that tell nothing of anybody."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cache.digest import digest
from cache.errors import Away
from cache.link import RedisLink

SECRET_BYTES: Final = 32


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

    Given by the operator, or made by whoever needs it first and kept in Redis.
    """

    link: RedisLink
    given: str = field(default="", repr=False)
    _known: bytes = field(default=b"", repr=False)

    async def get(self) -> bytes:
        """The secret.

        Raises:
            Away: it is kept in Redis, which does not answer.
        """
        if self.given:
            return self.given.encode()
        if not self._known:
            key, client = named("secret"), self.link.client
            # Looked for first: a Redis that is full, or takes no writes, has it all the same.
            found = await self.link.call(partial(client.get, key))
            if found is None:
                await self.link.call(partial(client.set, key, secrets.token_bytes(SECRET_BYTES), nx=True))
                # Whoever is second gets what the first has set.
                found = await self.link.call(partial(client.get, key))
            if not isinstance(found, bytes):
                raise Away("no secret")
            self._known = found
        return self._known

    async def owner(self, user: str) -> str:
        """The word for what is this user's: see `User.owner`.

        Raises:
            Away: as `get`.
        """
        return hmac.digest(await self.get(), b"owner\0" + user.encode(), hashlib.sha256).hex()[:40]

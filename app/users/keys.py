"""API keys: `rf_<id>_<secret>`, of which Redis has a keyed hash only."""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from app.users.store import Secret, named
from app.users.user import DEFAULT_PLAN, Role
from cache.errors import Away
from cache.link import RedisLink

PREFIX: Final = "rf_"
_ID_BYTES, _SECRET_BYTES = 10, 20  # base32 without padding: 16 and 32 characters
_KEY = re.compile(r"rf_([a-z2-7]{16})_([a-z2-7]{32})")
_ID = re.compile(r"[a-z2-7]{16}")
USED_EVERY: Final = 60.0
"""Seconds between two notes of when a key was last used."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. Times are in epoch seconds; 0: never. `revoked`: since when."""

    id: str
    name: str
    user: str
    role: Role
    plan: str
    created: float
    used: float = 0.0
    revoked: float = 0.0


def is_key(credential: str) -> bool:
    """Whether it is made like one of ours."""
    return _KEY.fullmatch(credential) is not None


def is_id(word: str) -> bool:
    """Whether it is made like a key's ID."""
    return _ID.fullmatch(word) is not None


class Keys:
    """All keys. `now` is the time of day, in seconds."""

    def __init__(
        self, link: RedisLink, secret: Secret, *, saves: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        """`saves`: have Redis write to its disk what was changed. Where it is ours; others have rules of their own."""
        self._saves = saves
        self._link = link
        self._secret = secret
        self._now = now

    async def create(
        self, name: str, *, user: str = "", role: Role = "user", plan: str = DEFAULT_PLAN
    ) -> tuple[Key, str]:
        """A new key, and what its user presents: nobody can find that out again. `user` left out: `name`.

        Raises:
            Away: Redis does not answer; nothing was created.
        """
        key = Key(_word(_ID_BYTES), name, user or name, role, plan, created=self._now())
        presented = f"{PREFIX}{key.id}_{_word(_SECRET_BYTES)}"
        fields: dict[Any, Any] = {
            "hash": await self._hash(presented),
            "name": key.name,
            "user": key.user,
            "role": key.role,
            "plan": key.plan,
            "created": repr(key.created),
        }
        pipe = self._link.client.pipeline(transaction=False)
        pipe.hset(named("key", key.id), mapping=fields)
        pipe.sadd(named("keys"), key.id)
        await self._link.call(pipe.execute)
        await self._save()
        return key, presented

    async def find(self, presented: str) -> Key | None:
        """The key that was presented, revoked ones among them; None: there is none such.

        Raises:
            Away: Redis does not answer.
        """
        match = _KEY.fullmatch(presented)
        if match is None:
            return None
        fields = await self._fields(match[1])
        if fields is None or not hmac.compare_digest(fields[b"hash"], await self._hash(presented)):
            return None
        return _key(match[1], fields)

    async def all(self) -> list[Key]:
        """Every key, the oldest first.

        Raises:
            Away: Redis does not answer.
        """
        members = await self._link.call(partial(self._link.client.smembers, named("keys")))
        ids = [str(member, "ascii") if isinstance(member, bytes) else member for member in members]
        found = [(key_id, await self._fields(key_id)) for key_id in ids]
        keys = [_key(key_id, fields) for key_id, fields in found if fields is not None]
        return sorted(keys, key=lambda key: (key.created, key.id))

    async def revoke(self, key_id: str) -> Key | None:
        """The key, revoked from now on, or before; None: there is none of this id.

        Raises:
            Away: Redis does not answer.
        """
        fields = await self._fields(key_id)
        if fields is None:
            return None
        place = named("key", key_id)
        await self._link.call(partial(self._link.client.hsetnx, place, "revoked", repr(self._now())))
        await self._save()
        fields = await self._fields(key_id)
        return None if fields is None else _key(key_id, fields)

    async def still_good(self, key_id: str) -> bool:
        """Whether the key of this id is there, and not revoked.

        Raises:
            Away: Redis does not answer.
        """
        fields = await self._fields(key_id)
        return fields is not None and b"revoked" not in fields

    async def forget(self, user: str) -> int:
        """Delete all keys of a user; how many there were.

        Raises:
            Away: Redis does not answer.
        """
        theirs = [key.id for key in await self.all() if key.user == user]
        for key_id in theirs:
            await self._link.call(partial(self._link.client.delete, named("key", key_id)))
            await self._link.call(partial(self._link.client.srem, named("keys"), key_id))
        await self._save()
        return len(theirs)

    async def note_use(self, key: Key) -> None:
        """Keep when it was used last, unless that was a moment ago, or Redis is away."""
        now = self._now()
        if now - key.used < USED_EVERY:
            return
        place = named("key", key.id)
        with suppress(Away):
            # Not where it was deleted meanwhile: half a key would stay.
            if await self._link.call(partial(self._link.client.exists, place)):
                await self._link.call(partial(self._link.client.hset, place, "used", repr(now)))

    async def _fields(self, key_id: str) -> dict[bytes, bytes] | None:
        fields: dict[bytes, bytes] = await self._link.call(
            partial(self._link.client.hgetall, named("key", key_id))  # type: ignore[arg-type]  # its stub is of both clients
        )
        return fields if b"hash" in fields else None

    async def _hash(self, presented: str) -> bytes:
        return hmac.digest(await self._secret.get(), presented.encode(), hashlib.sha256)

    async def _save(self) -> None:
        """A key must outlive a power cut, also where Redis is ours and saves once an hour only."""
        if self._saves:
            with suppress(Away):
                await self._link.call(self._link.client.bgsave)


def _key(key_id: str, fields: dict[bytes, bytes]) -> Key:
    text = {name.decode(): value.decode() for name, value in fields.items() if name != b"hash"}
    return Key(
        id=key_id,
        name=text["name"],
        user=text["user"],
        role="admin" if text["role"] == "admin" else "user",
        plan=text["plan"],
        created=float(text["created"]),
        used=float(text.get("used", 0)),
        revoked=float(text.get("revoked", 0)),
    )


def _word(size: int) -> str:
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()

"""Passes: tokens of ours for what can send no header, such as an `<audio>` element. They go into the query of a URL.

Whoever has one can hear what its user can hear, for some minutes, or speak by the one WebSocket that it was made for.
It holds no longer than what it was made from.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from app.errors import InvalidKey, Revoked, UsersUnavailable
from app.users.revocations import Issued, Revocations
from app.users.store import Secret
from app.users.user import User
from cache.errors import Away

MOST_SECONDS: Final = 900
LONGEST: Final = 8192
"""Characters of a pass."""
_AUDIENCE: Final = "refrain:pass:1"
"""With a version of its own: what is in it may change."""
_ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class Pass:
    """What is in one. `credential` is what it was made from, and `owner` is known only where everybody is let in.

    Times are in epoch seconds.
    """

    user: str
    plan: str
    credential: str = field(repr=False)
    owner: str = field(repr=False)
    issued: float
    until: float


class Passes:
    """Makes and reads them. `now` is the time of day, in seconds."""

    def __init__(
        self, secret: Secret, revocations: Revocations, *, now: Callable[[], float] = time.time
    ) -> None:
        self._secret = secret
        self._revocations = revocations
        self._now = now

    async def issue(self, user: User, seconds: int, path: str = "") -> tuple[str, int]:
        """A pass of his for so many seconds, and for how many it really is: none outlives what it is made from.

        `path`: for this path only, and what lies below.

        Raises:
            UsersUnavailable: what it is signed with is in Redis, which does not answer.
        """
        try:
            key = await self._key()
        except Away:
            message = "Tokens cannot be made at the moment. Try again."
            raise UsersUnavailable(message, retry_after=1.0) from None
        now = self._now()
        if (issued := Issued.of(user.credential)) is not None:
            seconds = max(1, min(seconds, int(issued.until - now)))
        claims: dict[str, Any] = {
            "aud": _AUDIENCE,
            "sub": user.id,
            "plan": user.plan,
            "credential": user.credential,
            "iat": now,
            "exp": int(now) + seconds,
        }
        if path:
            claims["path"] = path
        if not user.credential:
            claims["owner"] = user.owner
        return jwt.encode(claims, key, algorithm=_ALGORITHM), seconds

    async def find(self, presented: str, path: str, *, speaks: bool = False) -> Pass:
        """What a pass says that is presented at this path.

        `speaks`: it is an address where its user would have something made, at his cost. Then only one will do that was
        made for this path: the others are for what is to be heard.

        Raises:
            InvalidKey: it is none, has expired, or is for another path.
            Revoked: all that its user had were revoked after it was made.
            Away: that cannot be known now.
        """
        if len(presented) > LONGEST:
            raise _invalid()
        key = await self._key()
        try:
            claims = jwt.decode(
                presented,
                key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                # Times are ours to judge: it was made by a clock of ours, a moment ago.
                options={"require": ["sub", "exp"], "verify_exp": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError):
            raise _invalid() from None
        if claims["exp"] <= self._now():
            raise InvalidKey("This token has expired. Get a new one: POST /v1/tokens.")
        bound = claims.get("path", "")
        is_below = not speaks and (not bound or path.startswith((f"{bound}.", f"{bound}/")))
        if path != bound and not is_below:
            raise InvalidKey("This token is for another address. Get one for this: POST /v1/tokens.")
        found = Pass(
            claims["sub"],
            claims["plan"],
            claims["credential"],
            claims.get("owner", ""),
            claims["iat"],
            claims["exp"],
        )
        # By its user alone: it has no id by which it could be revoked.
        if await self._revocations.revoked(found.user, Issued("", found.issued, found.until)):
            raise Revoked("This token has been revoked. Get a new one: POST /v1/tokens.")
        return found

    async def _key(self) -> bytes:
        """Of their own: what is signed with the secret elsewhere is no pass."""
        return hmac.digest(await self._secret.get(), b"passes\0", hashlib.sha256)


def _invalid() -> InvalidKey:
    return InvalidKey("This token is not valid here. Get one: POST /v1/tokens.")

"""`Idempotency-Key`: what is sent twice under one key is carried out, and charged, once.

Speech is found under what was asked for anyway, and made once for all who ask at the same time. So all that is kept is
which body a key was sent with, and whether it was carried out.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final, Literal

from app.errors import IdempotencyMismatch, InvalidInput
from app.users.settling import SCRIPTS
from app.users.store import Secret, named
from app.users.user import User
from cache.errands import Errands
from cache.errors import Away

KEPT: Final = 24 * 3600.0
"""Seconds for which a key is remembered, from when it was sent first."""
HEADER: Final = "Idempotency-Key"
_SANE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

Standing = Literal["first", "again", "done"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One request under a key. `again`: it was sent before, and maybe is being carried out; `done`: it was."""

    standing: Standing
    place: str
    body: bytes = field(repr=False)


class Idempotency:
    """Remembers keys, each of one user."""

    def __init__(self, errands: Errands, secret: Secret) -> None:
        self._errands = errands
        self._secret = secret
        self._script = errands.link.script("claim", SCRIPTS)

    async def claim(self, user: User, key: str, body: bytes) -> Claim:
        """How the request with this body stands. While Redis is away each is the first: speech goes on.

        Raises:
            InvalidInput: it is no key.
            IdempotencyMismatch: it was sent with another body.
        """
        if _SANE.fullmatch(key) is None:
            message = f"{HEADER} must be 1 to 255 printable ASCII characters, such as a UUID."
            raise InvalidInput(message, param=HEADER)
        place = named("idempotency", user.id, user.owner, key)
        try:
            # Keyed: a body is mostly text, and short texts can be guessed from a bare hash.
            body = hmac.digest(await self._secret.get(), body, hashlib.sha256)
        except Away:
            return Claim("first", place, b"")
        came = await self._errands.run(self._script, [place], [body, int(KEPT * 1000), "0"])
        if isinstance(came, Away):
            return Claim("first", place, b"")
        match came:
            case b"other":
                raise IdempotencyMismatch(
                    f"This {HEADER} was sent before with another body. Use a new key for a new request.",
                    param=HEADER,
                )
            case b"done":
                return Claim("done", place, body)
            case b"again":
                return Claim("again", place, body)
        return Claim("first", place, body)

    def finish(self, claim: Claim, *, done: bool) -> None:
        """It was carried out, or not; soon, and nobody waits for it. What the first could not, the next may."""
        if not claim.body or claim.standing == "done":
            return
        if done or claim.standing == "first":
            mark = "1" if done else "-1"
            self._errands.run(self._script, [claim.place], [claim.body, int(KEPT * 1000), mark])

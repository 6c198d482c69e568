"""Who asks, by what he presents. What was checked is believed for a few seconds, and no longer."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from app.errors import InvalidKey, MissingKey, RefrainError, Revoked, UsersUnavailable
from app.users.keys import Key, Keys, is_key
from app.users.store import Secret
from app.users.user import DEFAULT_PLAN, Role, User
from cache.errors import Away

BELIEVED: Final = 4.0
"""Seconds for which a checked key costs no look at Redis: it stops on all replicas within five of its revocation."""
DISBELIEVED: Final = 1.0
"""Seconds for which one that is none is not looked up again."""
REMEMBERED: Final = 10_000
"""Credentials that a process keeps in mind; they are kept as hashes."""


class Tokens(Protocol):
    """Checks tokens that others have signed."""

    async def find(self, presented: str) -> tuple[User, float]:
        """Whose it is, and until when it is good at the most (epoch seconds).

        Raises:
            RefrainError: InvalidKey, Revoked.
            Away: whether it was revoked cannot be known.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    user: User | None
    error: RefrainError | None
    until: float


class Doorman:
    """Knows users. `clock` is monotonic, `now` the time of day; both in seconds."""

    def __init__(
        self,
        keys: Keys | None,
        tokens: Tokens | None,
        secret: Secret,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Without both, everybody is let in."""
        self._keys = keys
        self._tokens = tokens
        self._secret = secret
        self._clock = clock
        self._now = now
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in."""
        return self._keys is None and self._tokens is None

    def recall(self, credential: str) -> User | None:
        """Who that is, if it was checked a moment ago; None: `check` it.

        Raises:
            RefrainError: it was refused a moment ago.
        """
        known = self._known.get(_mark(credential))
        if known is None or known.until <= self._clock():
            return None
        if known.error is not None:
            raise type(known.error)(known.error.message)
        return known.user

    async def check(self, credential: str) -> User:
        """Who that is.

        Raises:
            MissingKey, InvalidKey, Revoked: nobody, or no longer.
            UsersUnavailable: that cannot be found out now.
        """
        if not credential:
            raise MissingKey("Send your key as `Authorization: Bearer KEY` or as `xi-api-key: KEY`.")
        if (user := self.recall(credential)) is not None:
            return user
        # Several may ask for the same at once: each look is one trip, and what the later one finds counts.
        try:
            user, until = await self._find(credential)
        except Away:
            raise UsersUnavailable(
                "Keys cannot be checked at the moment. Try again.", retry_after=1.0
            ) from None
        except (InvalidKey, Revoked) as error:
            self._remember(credential, _Known(None, error, self._clock() + DISBELIEVED))
            raise
        self._remember(credential, _Known(user, None, self._clock() + min(BELIEVED, until)))
        return user

    async def _find(self, credential: str) -> tuple[User, float]:
        """Who, and for how many seconds that is good at the most."""
        if self._keys is not None and is_key(credential):
            key = await self._keys.find(credential)
            if key is None:
                raise _invalid()
            if key.revoked:
                raise Revoked("This key has been revoked. Ask for a new one.")
            await self._keys.note_use(key)
            return await self._user_of(key), BELIEVED
        if self._tokens is not None and credential.count(".") == 2:  # noqa: PLR2004 - a JWT's three parts
            user, until = await self._tokens.find(credential)
            return user, until - self._now()
        raise _invalid()

    async def _user_of(self, key: Key) -> User:
        return await self.user(key.user, key.role, key.plan, f"key:{key.id}")

    async def user(
        self, user_id: str, role: Role = "user", plan: str = DEFAULT_PLAN, credential: str = ""
    ) -> User:
        """With the word for what is his.

        Raises:
            Away: as `Secret.get`.
        """
        word = hmac.digest(await self._secret.get(), b"owner\0" + user_id.encode(), hashlib.sha256)
        return User(user_id, role, plan, credential, word.hex()[:40])

    def _remember(self, credential: str, known: _Known) -> None:
        mark = _mark(credential)
        self._known[mark] = known
        self._known.move_to_end(mark)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _mark(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()


def _invalid() -> InvalidKey:
    return InvalidKey(
        "This key is not valid here. Check it, or have a new one made: refrain keys create NAME."
    )

"""Who asks, by what he presents. What was checked is believed for a few seconds, and no longer."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from app.errors import InvalidKey, MissingKey, RefrainError, Revoked, UsersUnavailable
from app.users.keys import Key, Keys, is_key
from app.users.passes import Passes
from app.users.store import Secret
from app.users.user import DEFAULT_PLAN, Role, User
from cache.digest import encode
from cache.errors import Away

BELIEVED: Final = 4.0
"""Seconds for which a checked key costs no look at Redis: it stops on all replicas within five of its revocation."""
DISBELIEVED: Final = 1.0
"""Seconds for which one that is none is not looked up again."""
UNCHECKED: Final = 60.0
"""Seconds for which a connection stays whose key cannot be looked up; fail-overs and restarts of Redis are shorter."""
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

    async def still_good(self, user: User) -> bool:
        """Whether the token by which this user came in has not been revoked since.

        Raises:
            Away: that cannot be known.
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
        passes: Passes | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Without keys and tokens, everybody is let in."""
        self._keys = keys
        self._tokens = tokens
        self._secret = secret
        self._passes = passes
        self._clock = clock
        self._now = now
        self._sleep = sleep
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
        return self._recall(_mark(credential))

    def _recall(self, mark: bytes) -> User | None:
        known = self._known.get(mark)
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
            raise MissingKey(
                f"Send your {self._wanted} as `Authorization: Bearer ...` or as `xi-api-key: ...`."
            )
        return await self._check(_mark(credential), lambda: self._find(credential))

    async def check_pass(self, presented: str, path: str, *, speaks: bool = False) -> User:
        """Who asks for `path` by a pass; as `check`, and believed as long. Where everybody is let in, whose it is.

        `speaks`: see `Passes.find`. It goes by the path, by which what was checked is remembered.

        Raises:
            InvalidKey, Revoked: it is none, not for this path, or what it was made from has been revoked.
            UsersUnavailable: that cannot be found out now.
        """
        mark = _mark(presented, path)
        return await self._check(mark, lambda: self._find_by_pass(presented, path, speaks=speaks))

    async def still_good(self, user: User) -> bool:
        """Whether that by which this user came in has not been revoked since: for connections that stay.

        That it has expired meanwhile is no matter.

        Raises:
            UsersUnavailable: that cannot be found out now.
        """
        try:
            return await self._still_good(user)
        except Away:
            raise _unavailable() from None

    async def until_revoked(self, user: User) -> None:
        """Return within five seconds of the revocation of that by which this user came in.

        While it cannot be found out, nothing is revoked: who speaks is not cut because Redis is. But not for longer
        than `UNCHECKED`: a server that is cut off from Redis would never hear of a revocation that others have noted,
        and lets nobody in meanwhile; who is in already must not be better off for good.

        Raises:
            UsersUnavailable: it could not be found out for so long.
        """
        known = self._clock()
        while True:
            # At once the first time: he may have come in by what was believed for some seconds already.
            began = self._clock()
            try:
                if not await self.still_good(user):
                    return
                known = began
            except UsersUnavailable:
                if began - known >= UNCHECKED:
                    raise
            await self._sleep(BELIEVED)

    async def _check(self, mark: bytes, find: Callable[[], Awaitable[tuple[User, float]]]) -> User:
        if (user := self._recall(mark)) is not None:
            return user
        # Several may ask for the same at once: each look is one trip, and what the later one finds counts.
        # From before the look: it may have been slow, and revoked meanwhile is what it has found to be good.
        began = self._clock()
        try:
            user, until = await find()
        except Away:
            raise _unavailable() from None
        except (InvalidKey, Revoked) as error:
            # Another one, which is never raised: by its frames that one would keep all of the request, key included.
            refusal = type(error)(error.message)
            self._remember(mark, _Known(None, refusal, self._clock() + DISBELIEVED))
            raise
        self._remember(mark, _Known(user, None, began + min(BELIEVED, until)))
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
        if self._keys is None:
            raise InvalidKey(
                "This is no token that is taken here. Send the one that your log-in gives (a JWT)."
            )
        raise _invalid()

    @property
    def _wanted(self) -> str:
        """What one has to have here."""
        return " or ".join(
            word for word, taken in (("key", self._keys), ("token", self._tokens)) if taken is not None
        )

    async def _user_of(self, key: Key) -> User:
        return await self.user(key.user, key.role, key.plan, f"key:{key.id}")

    async def user(
        self, user_id: str, role: Role = "user", plan: str = DEFAULT_PLAN, credential: str = ""
    ) -> User:
        """With the word for what is his.

        Raises:
            Away: as `Secret.get`.
        """
        return User(user_id, role, plan, credential, await self._secret.owner(user_id))

    async def _find_by_pass(self, presented: str, path: str, *, speaks: bool) -> tuple[User, float]:
        if self._passes is None:
            raise _invalid()
        found = await self._passes.find(presented, path, speaks=speaks)
        if bool(found.owner) != self.is_open:
            # Made when the door was another.
            raise _invalid()
        owner = found.owner or await self._secret.owner(found.user)
        user = User(found.user, "user", found.plan, found.credential, owner)
        if not await self._still_good(user):
            raise Revoked("What this token was made from has been revoked.")
        return user, found.until - self._now()

    async def _still_good(self, user: User) -> bool:
        kind, _, name = user.credential.partition(":")
        match kind:
            case "key":
                return self._keys is not None and await self._keys.still_good(name)
            case "token":
                return self._tokens is not None and await self._tokens.still_good(user)
            case _:
                return self.is_open

    def _remember(self, mark: bytes, known: _Known) -> None:
        self._known[mark] = known
        self._known.move_to_end(mark)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _mark(credential: str, path: str | None = None) -> bytes:
    """By what it is remembered; with a path it is a pass', and never taken for what came in a header."""
    kind = b"credential" if path is None else b"pass"
    return hashlib.blake2b(encode((credential, path)), digest_size=32, person=kind).digest()


def _unavailable() -> UsersUnavailable:
    return UsersUnavailable("Keys cannot be checked at the moment. Try again.", retry_after=1.0)


def _invalid() -> InvalidKey:
    return InvalidKey(
        "This key is not valid here. Check it, or have a new one made: refrain keys create NAME."
    )

"""Tokens that are refused although they have not expired: one by its id, or all that a user has had until then."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from app.settings import Settings
from app.users.settling import SCRIPTS
from app.users.store import named
from cache.digest import digest
from cache.errors import Away
from cache.link import RedisLink

_LATER: Final = 3600.0
"""Seconds for which a note outlives all that it is about: for leeway, for clocks, and for query tokens."""
_PLACE: Final = named("revoked")
_KIND: Final = "token:"


@dataclass(frozen=True, slots=True)
class Issued:
    """A token where it is not at hand: what `User.credential` says of it.

    `id` is a hash of its `jti`; `at` and `until` are epoch seconds. Where the token does not say when it was issued,
    that was long ago.
    """

    id: str
    at: float
    until: float

    def __str__(self) -> str:
        """As a credential."""
        return f"{_KIND}{self.id}:{self.at!r}:{self.until!r}"

    @classmethod
    def of(cls, credential: str) -> Self | None:
        """Back again; None: it is no token's."""
        if not credential.startswith(_KIND):
            return None
        token_id, at, until = credential.removeprefix(_KIND).split(":")
        return cls(token_id, float(at), float(until))


def id_of(jti: str) -> str:
    """By what a token with this `jti` is known; without one, by all of it."""
    return digest("token", [jti])


class Revocations:
    """One sorted set for all: of whom, by when; by Redis' clock.

    The set itself has no lifetime in Redis: one that is full throws out what has, and a revoked token would be good
    again. What is older than any token may be is taken out whenever something is added.
    """

    def __init__(self, link: RedisLink, *, kept: float, saves: bool = False) -> None:
        """`kept`: seconds for which the longest token is good; `saves` as with `Keys`."""
        self._link = link
        self._kept = kept + _LATER
        self._saves = saves
        self._script = link.script("revoke", SCRIPTS)

    async def revoke_token(self, jti: str) -> None:
        """The one with this `jti`.

        Raises:
            Away: Redis does not answer, or is full; it may not be revoked.
        """
        await self._note(_of_token(id_of(jti)))

    async def revoke_user(self, user: str) -> None:
        """All that were issued to him until now: he may have new ones, and use them.

        Raises:
            Away: as for one.
        """
        await self._note(_of_user(user))

    async def revoked(self, user: str, token: Issued) -> bool:
        """Whether that token of his is.

        Raises:
            Away: Redis does not answer.
        """
        members = [_of_token(token.id), _of_user(user)]
        scores = await self._link.call(partial(self._link.client.zmscore, _PLACE, members))
        by_itself, with_all = scores
        # Issuers tell whole seconds: what was issued in the same one may have been issued before.
        return by_itself is not None or (with_all is not None and token.at <= with_all)

    async def _note(self, member: str) -> None:
        await self._link.call(partial(self._script, [_PLACE], [member, repr(self._kept)]))
        if self._saves:
            with suppress(Away):
                await self._link.call(self._link.client.bgsave)


def _of_token(token_id: str) -> str:
    return f"t{token_id}"


def _of_user(user: str) -> str:
    return f"u{digest('users', [user])}"


def open_revocations(link: RedisLink, settings: Settings) -> Revocations:
    """Those that hold for these settings, in the Redis of users."""
    ours = not (settings.redis.url or settings.redis.users_url)
    return Revocations(link, kept=settings.auth.jwt.max_lifetime, saves=ours)

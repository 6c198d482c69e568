"""The claim on a synthesis over processes: who makes it, and what the others do meanwhile.

A lease is a key with the leader's token and a lifetime of about a second that the leader renews. It saves
money; it makes nothing correct (a lease can be lost, evicted, or held twice after a fail-over). What makes
things correct is that values are named by content, checked when read, and fenced when written.

Time is Redis' own; no process' clock matters.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal

from cache import value
from cache.errors import Away
from cache.interface import Entry
from cache.link import Answer, RedisLink
from cache.notices import Ear, Notices
from cache.redis import RedisTier


@dataclass(frozen=True, slots=True)
class Found:
    """The value is there."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Lead:
    """The caller makes it, until its lease is lost."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Another makes it; its lease ends in `left` seconds unless it is renewed.

    `leader` is its token, `pieces` what there is of its sound that the asker does not have.
    """

    left: float
    leader: str
    pieces: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Another tried a moment ago and failed, with this code."""

    code: str


@dataclass(frozen=True, slots=True)
class Alone:
    """Redis is away: nobody can be asked."""


PIECES_AT_ONCE: Final = 64
"""Some 300 kB: megabytes in one answer could take longer than its time-out, and look like an outage."""

Standing = Found | Lead | Follow | Failed | Alone
Arguments = list[str | bytes | int]
Finish = Literal["stored", "refused", "full", "away"]


class Leases:
    """Joining, renewing and ending leases on one Redis. Nothing here raises for Redis' troubles.

    `length` is the lease's, in seconds. A token is any string that no other claim ever uses.
    """

    def __init__(self, link: RedisLink, tier: RedisTier, notices: Notices, *, length: float = 1.0) -> None:
        self.length = length
        self._link = link
        self._tier = tier
        self._notices = notices
        self._join = link.script("join")
        self._publish = link.script("publish")
        self._renew = link.script("renew")
        self._finish = link.script("finish")
        self._fail = link.script("fail")
        self._followed = link.script("followed")
        self._leave = link.script("leave")

    async def join(
        self, digest: str, token: str, *, leader: str = "", had: int = 0, anew: bool = False
    ) -> Standing:
        """Where this digest stands; leads with `token` if nobody else does. Repeating it does no harm.

        `anew`: a value that is there is not looked at, but for the one that was made by `leader`.

        Of the pieces of `leader`, whose token an answer told, the first `had` are not sent again, and of the others
        `PIECES_AT_ONCE` at the most: where there are so many, ask again.
        """
        keys = self._keys(digest, "clip", "lease", "failure", "pieces", "followers", "maker")
        arguments: Arguments = [token, _milliseconds(self.length), leader, had, PIECES_AT_ONCE, int(anew)]
        try:
            answer = await self._link.call(lambda: self._join(keys, arguments))
            standing = await self._standing(digest, answer)
            # A value that was damaged or expired has just been deleted: now somebody has to lead.
            return (
                standing
                or await self._standing(digest, await self._link.call(lambda: self._join(keys, arguments)))
                or Alone()
            )
        except Away:
            return Alone()

    async def publish(self, digest: str, token: str, at: int, pieces: Sequence[bytes]) -> int | None:
        """Let the others have these pieces, the first of which is number `at`. Repeating it does no harm.

        Gives how many there are now, which tells where to go on; None: the lease is lost, or Redis away.
        """
        keys = self._keys(digest, "lease", "pieces")
        arguments: Arguments = [token, _milliseconds(self.length), self._channel(digest), at, *pieces]
        try:
            there = int(await self._link.call(lambda: self._publish(keys, arguments)))
        except Away:
            return None
        return None if there < 0 else there

    async def renew(self, digest: str, token: str) -> bool:
        """Lengthen the lease. False: it is lost. True also while Redis is away: nobody can take it then."""
        keys = self._keys(digest, "lease", "pieces")
        arguments: Arguments = [token, _milliseconds(self.length)]
        try:
            return bool(await self._link.call(lambda: self._renew(keys, arguments)))
        except Away:
            return True

    async def finish(
        self, digest: str, token: str, entry: Entry, left: float, *, made: bool = True
    ) -> Finish:
        """Store the entry for `left` seconds and end the lease, if it is still this token's.

        What is there keeps its lifetime where that is longer. `made`: it is not something older that was found.
        """
        keys = self._keys(digest, "clip", "lease", "pieces", "followers", "maker")
        encoded = value.encode(entry)
        arguments: Arguments = [token, encoded, _milliseconds(left), self._channel(digest), int(made)]
        try:
            answer: Answer = await self._link.call(lambda: self._finish(keys, arguments))
        except Away:
            return "away"
        match answer:
            case b"stored":
                return "stored"
            case b"full":
                return "full"
            case _:
                return "refused"

    async def fail(self, digest: str, token: str, code: str = "", remember: float = 0.0) -> None:
        """End the lease without a value; whoever joins within `remember` seconds gets the code instead."""
        keys = self._keys(digest, "lease", "failure", "pieces", "followers")
        arguments: Arguments = [token, code, _milliseconds(remember), self._channel(digest)]
        try:
            await self._link.call(lambda: self._fail(keys, arguments))
        except Away:
            return  # it runs out by itself

    async def followed(self, digest: str, token: str) -> bool:
        """Whether another replica follows what this token leads. False while Redis is away: nobody can then."""
        keys = self._keys(digest, "lease", "followers")
        arguments: Arguments = [token]
        try:
            return bool(await self._link.call(lambda: self._followed(keys, arguments)))
        except Away:
            return False

    async def leave(self, digest: str, token: str) -> None:
        """Follow no longer with this token; who leads need not go on for it."""
        keys = self._keys(digest, "followers")
        arguments: Arguments = [token]
        try:
            await self._link.call(lambda: self._leave(keys, arguments))
        except Away:
            return  # it lapses by itself

    def ear(self, digest: str) -> AbstractAsyncContextManager[Ear]:
        """An ear for the end of this digest's lease, good or bad."""
        return self._notices.ear(self._channel(digest))

    async def _standing(self, digest: str, answer: Answer) -> Standing | None:
        match answer:
            case [b"value", bytes(encoded)]:
                entry = await self._tier.take(digest, encoded)
                return None if entry is None else Found(entry)
            case [b"follow", int(milliseconds), bytes(leader), list(pieces)]:
                return Follow(max(milliseconds, 0) / 1000, leader.decode(), tuple(pieces))
            case [b"failed", bytes(code)]:
                return Failed(code.decode())
            case [b"lead"]:
                return Lead()
            case _:
                return Alone()

    def _channel(self, digest: str) -> str:
        return self._link.keys.of("notice", digest)

    def _keys(self, digest: str, *things: str) -> list[str]:
        return [self._link.keys.of(thing, digest) for thing in things]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)

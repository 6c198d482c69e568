"""`Idempotency-Key`: what is sent twice under one key is carried out, and charged, once.

Speech is found under what was asked for anyway, and made once for all who ask at the same time. So of it all that is
kept is which body a key was sent with, and whether it was carried out (`claim`, `finish`). What is not so is carried
out by one of those who ask, and its answer kept for the others (`once`).
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from app.errors import IdempotencyMismatch, InvalidInput, RefrainError, UsersUnavailable
from app.users.settling import SCRIPTS
from app.users.store import Secret, of_user
from app.users.user import User
from cache.errands import Errands
from cache.errors import Away
from cache.link import Answer, Script

KEPT: Final = 24 * 3600.0
"""Seconds for which a key is remembered, from when it was sent first."""
LEASE: Final = 5.0
"""Seconds after which another goes on where the process was killed that carried something out; the living lengthen it
every third of it."""
PATIENCE: Final = 30.0
"""Seconds for which one waits for another's answer."""
MOST_BYTES: Final = 65_536
"""Of an answer that is kept."""
HEADER: Final = "Idempotency-Key"
_SANE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5

Standing = Literal["first", "again", "done"]


class _Told(NamedTuple):
    """What `scripts/claim.lua` says."""

    standing: Standing
    id: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class _Turn:
    """One who asks under a key. `request` is a keyed hash: a body is mostly text, and short ones can be guessed."""

    errands: Errands
    script: Script
    place: str
    request: bytes = field(repr=False)
    token: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)

    def send(self, *wish: str | bytes | int) -> "asyncio.Future[Answer | Away]":
        """Tell Redis; nobody need wait for it."""
        arguments: list[str | bytes | int] = [self.request, int(KEPT * 1000), self.token, *wish]
        return self.errands.run(self.script, [self.place], arguments)

    async def tell(self, *wish: str | bytes | int) -> _Told:
        """And hear what it says.

        Raises:
            Away: Redis does not answer; it may have heard.
            IdempotencyMismatch: the key was sent with another request.
        """
        came = await self.send(*wish)
        if isinstance(came, Away):
            raise came
        standing, execution, answer = came
        if standing == b"other":
            message = f"This {HEADER} was sent before with another body. Use a new key for a new request."
            raise IdempotencyMismatch(message, param=HEADER)
        return _Told(standing.decode(), execution.decode(), answer)


@dataclass(frozen=True, slots=True)
class Claim:
    """One request under a key. `again`: it was sent before, and maybe is being carried out; `done`: it was."""

    standing: Standing
    turn: _Turn | None = None


class Idempotency:
    """Remembers keys, each of one user. `lease`, `patience` (see `LEASE`, `PATIENCE`) and `sleep` are in seconds."""

    def __init__(
        self,
        errands: Errands,
        secret: Secret,
        *,
        lease: float = LEASE,
        patience: float = PATIENCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._errands = errands
        self._secret = secret
        self._lease = int(lease * 1000)
        self._patience = patience
        self._sleep = sleep
        self._script = errands.link.script("claim", SCRIPTS)

    async def claim(self, user: User, key: str, body: bytes) -> Claim:
        """How the request to speak with this body stands. While Redis is away each is the first: speech goes on.

        Raises:
            InvalidInput: it is no key.
            IdempotencyMismatch: it was sent with another body, or to do something else.
        """
        _check(key)
        try:
            turn = await self._turn(user, key, "speech", body)
            told = await turn.tell("begin", secrets.token_hex(16), 0)
        except Away:
            return Claim("first")
        return Claim(told.standing, turn)

    def finish(self, claim: Claim, *, done: bool) -> None:
        """It was carried out, or not; soon, and nobody waits for it. What the first could not, the next may."""
        if claim.turn is None or claim.standing == "done":
            return
        if done:
            claim.turn.send("done", "")
        elif claim.standing == "first":
            claim.turn.send("free")

    async def once(
        self, user: User, key: str, operation: str, body: bytes, execute: Callable[[str], Awaitable[bytes]]
    ) -> bytes:
        """The answer of `execute`, which is called once for all who send this under the key, over all replicas.

        The others wait for its answer, and get it; so does who asks later. `operation` names what is done, as a key
        is good for one thing. `execute` is given an id, the same for everybody under this key: if the process that
        executes it is killed, or it is cancelled, or raises anything unforeseen, it is called once more, by another,
        with that id, and has to go on from there: what is made, and charged (`Limits.reserve`), under the id is
        there once. What was reserved is settled when all is done, and not where it breaks off. By a `RefrainError` it
        says that nothing was done, and the key is free again.
        The answer is kept for a day: no text may be in it, and `MOST_BYTES` at the most.

        Raises:
            InvalidInput, IdempotencyMismatch: as `claim`.
            UsersUnavailable: Redis does not answer, so that nobody knows; or another takes too long with it.
            RefrainError: what `execute` raised.
        """
        _check(key)
        try:
            turn = await self._turn(user, key, operation, body)
            try:
                told = await self._begun(turn)
            except BaseException:
                turn.send("leave")  # cancelled, or the answer was lost: it may be ours
                raise
        except Away:
            message = f"It cannot be known at the moment whether this {HEADER} was sent before. Try again."
            raise UsersUnavailable(message, retry_after=1.0) from None
        return told.answer if told.standing == "done" else await self._carry_out(turn, execute, told.id)

    async def _turn(self, user: User, key: str, operation: str, body: bytes) -> _Turn:
        request = b"\0".join([operation.encode(), body])
        request = hmac.digest(await self._secret.get(), request, hashlib.sha256)
        return _Turn(self._errands, self._script, of_user("idempotency", user.id, user.owner, key), request)

    async def _begun(self, turn: _Turn) -> _Told:
        """Until it was carried out, or is to be by who asks."""
        execution = secrets.token_hex(16)
        pause, waited = _FIRST_PAUSE, 0.0
        while (told := await turn.tell("begin", execution, self._lease)).standing == "again":
            if waited >= self._patience:
                message = f"What was sent first under this {HEADER} is still being done. Ask again."
                raise UsersUnavailable(message, retry_after=1.0)
            await self._sleep(pause)
            waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)
        return told

    async def _carry_out(
        self, turn: _Turn, execute: Callable[[str], Awaitable[bytes]], execution: str
    ) -> bytes:
        renewing = asyncio.create_task(self._renew(turn), name="idempotency")
        wish = "leave"
        try:
            answer = await execute(execution)
            if len(answer) > MOST_BYTES:
                raise ValueError("the answer is too long to be kept")
            with suppress(Away):  # whoever sends it again has it executed once more, under the same id
                # Who was taken for dead, and was not, gives the answer that the other one has given. Where the key was
                # forgotten meanwhile nothing is kept.
                told = await turn.tell("done", answer)
                answer = told.answer if told.standing == "done" else answer
            wish = ""
        except RefrainError:
            wish = "free"
            raise
        else:
            return answer
        finally:
            # First, and without an await: a second cancellation must not skip it.
            if wish:
                turn.send(wish)
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew(self, turn: _Turn) -> None:
        while True:
            await self._sleep(self._lease / 3000)
            with suppress(Away):
                await turn.tell("renew", self._lease)


def _check(key: str) -> None:
    if _SANE.fullmatch(key) is None:
        message = f"{HEADER} must be 1 to 255 printable ASCII characters, such as a UUID."
        raise InvalidInput(message, param=HEADER)

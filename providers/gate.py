"""The gate: how many utterances of one account are spoken at a time, in this process and over all of them."""

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.deadline import deadline
from providers.errors import Busy
from providers.interface import Provider, Sound, Utterance, speaking_for
from providers.turns import Turns
from providers.wrapped import Wrapped

AGAIN_SECONDS = 0.05
"""Between two looks whether a slot that another process had is free."""


class Slots(Protocol):
    """What processes share of an account."""

    async def take(self, account: str, token: str, most: int) -> bool:
        """Whether the token has one of `most` slots now; if not, it has its place in the queue. Asked again soon."""
        ...

    def leave(self, account: str, token: str) -> None:
        """It needs none any more, had or not."""
        ...


class Gated(Wrapped):
    """At most as many utterances at once as the `allowance` says; the others wait, by turns of their owners.

    A slot is held from asking until the sound is left, retries and their pauses included: an account that is
    told to slow down should not be asked by the next in line meanwhile. Waiting ends with the caller's deadline, after
    `timeout` seconds in which somebody waited for it, or when the circuit opens.
    """

    def __init__(
        self,
        inside: Provider,
        allowance: Allowance,
        circuit: Circuit | None = None,
        slots: Slots | None = None,
        *,
        timeout: float = math.inf,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        """`slots` None: the account is this process' alone. `token` gives a new string at each call."""
        super().__init__(inside)
        self.under_way = 0
        """Utterances from being let in to their sound's being left."""
        self.turns = Turns()
        self.allowance = allowance
        self._circuit = circuit or Circuit(inside.name)
        self._slots = slots
        self._timeout = timeout
        self._token = token
        self._left = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Utterances that want to be let in."""
        return self.turns.waiting

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for a slot first, and raises `Busy` where there is none in time."""
        token = self._token()
        try:
            await self._enter_in_time(token)
            # No other task has run since it was let in.
            self.under_way += 1
            try:
                async with self.inside.speak(utterance) as sound:
                    yield sound
            finally:
                self.under_way -= 1
        finally:
            # Also where it never came in: the reply that said yes may have been lost with its asker.
            if self._slots is not None and self.allowance.now is not None:
                self._slots.leave(self.name, token)
            self._left.set()

    async def _enter_in_time(self, token: str) -> None:
        try:
            async with self._circuit.unless_open(), deadline().within(self._timeout):
                await self._enter(token)
        except TimeoutError:
            raise Busy(f"{self.name} had no room in time.", provider=self.name) from None

    async def _enter(self, token: str) -> None:
        if self.allowance.now is None:
            return
        async with self.turns.head(speaking_for.get()):
            while True:
                # Before the look: who leaves while Redis is asked must not go unheard.
                self._left.clear()
                if await self._taken(token):
                    return
                try:
                    async with asyncio.timeout(AGAIN_SECONDS):
                        await self._left.wait()
                except TimeoutError:
                    continue

    async def _taken(self, token: str) -> bool:
        most = self.allowance.now
        if most is None:
            return True
        if self.under_way >= most:
            return False
        return self._slots is None or await self._slots.take(self.name, token, most)

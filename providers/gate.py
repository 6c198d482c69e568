"""The gate: how many utterances of one account are spoken at a time, in this process and over all of them."""

import math
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.deadline import deadline
from providers.errors import Busy
from providers.interface import Provider, Sound, Utterance, speaking_for
from providers.slots import Ear, Own, Slots
from providers.turns import Turns
from providers.wrapped import Wrapped

AGAIN_SECONDS = 0.05
"""Between two looks whether there is room, where nothing is heard: notices get lost, and dead processes give none."""


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
        self._slots = slots or Own()
        self._timeout = timeout
        self._token = token
        allowance.share(self._adapt)
        # Of the one at the head, while he waits for room.
        self._ear: Ear | None = None

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
            self._slots.leave(self.name, token)
            if self._ear is not None:
                self._ear.wake()

    async def _enter_in_time(self, token: str) -> None:
        try:
            async with self._circuit.unless_open(), deadline().within(self._timeout):
                await self._enter(token)
        except TimeoutError:
            raise Busy(f"{self.name} had no room in time.", provider=self.name) from None

    async def _enter(self, token: str) -> None:
        # Where no bound is known nobody has to wait for his turn.
        if self.allowance.now is None and await self._taken(token, waits=False):
            return
        async with self.turns.head(speaking_for.get()):
            # Without listening first: most of the time there is room.
            if not await self._taken(token):
                await self._wait_for_room(token)

    async def _wait_for_room(self, token: str) -> None:
        async with self._slots.ear(self.name) as ear:
            self._ear = ear
            try:
                await ear.listen()
                while not await self._taken(token):
                    await ear.wait(AGAIN_SECONDS)
                    # Before the next look: who leaves while Redis is asked must not go unheard.
                    await ear.listen()
            finally:
                self._ear = None

    async def _taken(self, token: str, *, waits: bool = True) -> bool:
        now = self.allowance.now
        if now is not None and self.under_way >= now:
            return False
        allowance = self.allowance
        return await self._slots.take(self.name, token, allowance.known, allowance.heard, waits=waits)

    def _adapt(self, refused: int) -> None:
        self._slots.adapt(self.name, self.allowance.known, self.allowance.heard, refused=refused)

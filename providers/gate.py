"""The gate: how many utterances of one account are spoken at a time, in this process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from providers.circuit import Circuit
from providers.interface import Provider, Sound, Utterance
from providers.wrapped import Wrapped


class Gated(Wrapped):
    """At most `max_concurrency` utterances at once; the others wait in the order they came.

    A slot is held from asking until the sound is left, retries and their pauses included: an account that is
    told to slow down should not be asked by the next in line meanwhile. Waiting has no limit of its own; the
    caller's deadline cancels it.
    """

    def __init__(self, inside: Provider, max_concurrency: int, circuit: Circuit | None = None) -> None:
        """`max_concurrency` is at least 1. Who waits is let go when the `circuit` opens."""
        super().__init__(inside)
        self._slots = asyncio.Semaphore(max_concurrency)
        self._circuit = circuit or Circuit(inside.name)

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for a slot first."""
        async with self._circuit.unless_open():
            await self._slots.acquire()
        # No await between taking the slot and this: wherever a cancellation strikes, it goes back.
        try:
            async with self.inside.speak(utterance) as sound:
                yield sound
        finally:
            self._slots.release()

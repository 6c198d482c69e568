"""The gate: how many utterances of one account are spoken at a time, in this process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from providers.interface import Provider, Sound, Utterance
from providers.wrapped import Wrapped


class Gated(Wrapped):
    """At most `max_concurrency` utterances at once; the others wait in the order they came.

    A slot is held from asking until the sound is left, retries and their pauses included: an account that is
    told to slow down should not be asked by the next in line meanwhile. Waiting has no limit of its own; the
    caller's deadline cancels it.
    """

    def __init__(self, inside: Provider, max_concurrency: int) -> None:
        """`max_concurrency` is at least 1."""
        super().__init__(inside)
        self._slots = asyncio.Semaphore(max_concurrency)

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; entering waits for a slot first."""
        # One `async with`: wherever a cancellation strikes, the slot taken so far goes back.
        async with self._slots, self.inside.speak(utterance) as sound:
            yield sound

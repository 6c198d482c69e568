"""A provider within its circuit: every attempt is watched, and while the circuit is open none is made."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from providers.circuit import Circuit
from providers.errors import ProviderError
from providers.interface import Provider, Sound, Utterance
from providers.wrapped import Wrapped


class Guarded(Wrapped):
    """Refuses at the door while the circuit is open: nobody waits in front of a dead provider's gate."""

    def __init__(self, inside: Provider, circuit: Circuit) -> None:
        super().__init__(inside)
        self.circuit = circuit

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; and raises `CircuitOpen`."""
        self.circuit.check()
        async with self.inside.speak(utterance) as sound:
            yield sound


class Watched(Wrapped):
    """Tells the circuit how each attempt ended.

    What happens while the sound is read counts as well, also what the reader raises: whoever checks the sound says
    by a `BadAudio` that it was none. Leaving early, or being cancelled, counts for nothing.
    """

    def __init__(
        self, inside: Provider, circuit: Circuit, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` is in seconds."""
        super().__init__(inside)
        self._circuit = circuit
        self._clock = clock

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; and raises `CircuitOpen`."""
        # Again, for it may have opened while this one waited, or between two attempts.
        self._circuit.check()
        attempt = _Attempt(self._clock)
        try:
            async with (
                self.inside.speak(utterance) as sound,
                aclosing(attempt.read(sound.pieces)) as pieces,
            ):
                yield replace(sound, pieces=pieces)
        except ProviderError as error:
            self._circuit.failed(error)
            raise
        if attempt.took is not None and attempt.ended:
            self._circuit.succeeded(attempt.took)


class _Attempt:
    """`took`: seconds until the first sound. `ended`: it was read to its end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.took: float | None = None
        self.ended = False
        self._clock = clock
        self._began = clock()

    async def read(self, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async for piece in pieces:
            if self.took is None:
                self.took = self._clock() - self._began
            yield piece
        self.ended = True


def circuit_of(provider: Provider) -> Circuit:
    """The circuit that stands in front of it.

    Raises:
        LookupError: there is none.
    """
    while isinstance(provider, Wrapped):
        if isinstance(provider, Guarded):
            return provider.circuit
        provider = provider.inside
    raise LookupError(provider.name)

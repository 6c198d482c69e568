"""A provider within its circuit: every attempt is watched, and while the circuit is open none is made."""

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace

from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.errors import ProviderError, RateLimited
from providers.interface import Inquiry, Provider, Sound, Utterance, inquiry
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
    """Tells the circuit, and the account's allowance, how each attempt ended.

    What happens while the sound is read counts as well, also what the reader raises: whoever checks the sound says
    by a `BadAudio` that it was none. Leaving early, or being cancelled, counts for nothing.
    """

    def __init__(
        self,
        inside: Provider,
        circuit: Circuit,
        allowance: Allowance | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is in seconds."""
        super().__init__(inside)
        self._circuit = circuit
        self._allowance = allowance or Allowance(None)
        self._under_way = 0
        self._clock = clock

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; and raises `CircuitOpen`."""
        # Again, for it may have opened while this one waited, or between two attempts.
        self._circuit.check()
        attempt = _Attempt(self._clock)
        self._under_way += 1
        try:
            with _asked():
                async with (
                    self.inside.speak(utterance) as sound,
                    aclosing(attempt.read(sound.pieces)) as pieces,
                ):
                    if sound.at_once is not None:
                        self._allowance.said(sound.at_once)
                    attempt.lent = True
                    yield replace(sound, pieces=pieces)
                    attempt.lent = False
        except RateLimited as error:
            # Too many at once is mended by fewer at once; who is refused one at a time does not speak.
            if not self._allowance.refused(self._under_way):
                self._circuit.failed(error)
            raise
        except ProviderError as error:
            self._circuit.failed(error)
            raise
        except Exception:
            # A defect of the adapter's, say with a vendor that changed its answers; the reader's own is none of it.
            if not attempt.lent:
                self._circuit.failed(ProviderError("defect", provider=self.name))
            raise
        finally:
            self._under_way -= 1
        if attempt.took is not None and attempt.ended:
            self._circuit.succeeded(attempt.took)
            self._allowance.succeeded()


class _Attempt:
    """`took`: seconds until the first sound. `ended`: it was read to its end. `lent`: the reader is at work."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.took: float | None = None
        self.ended = False
        self.lent = False
        self._clock = clock
        self._began = clock()

    async def read(self, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        while (piece := await self._next(pieces)) is not None:
            if self.took is None:
                self.took = self._clock() - self._began
            yield piece
        self.ended = True

    async def _next(self, pieces: AsyncGenerator[bytes]) -> bytes | None:
        lent, self.lent = self.lent, False
        piece = await anext(pieces, None)
        self.lent = lent  # not where it raised: then it is not the reader's
        return piece


@contextmanager
def _asked() -> Iterator[None]:
    """Left within it, the vendor may bill what it was asked; where it has failed it does not."""
    asked = inquiry.get() or Inquiry()
    asked.is_open = True
    try:
        yield
    except Exception:
        asked.is_open = False
        raise


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

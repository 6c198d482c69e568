"""Engines in this process: one utterance on its way through a thread."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import Any

from providers.errors import ProviderError
from providers.patience import Patience


class Job:
    """One utterance on its way through a thread: a thread writes pieces, the event loop reads them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], Iterator[bytes]],
        failure: Callable[[Exception], ProviderError],
    ) -> None:
        """`work` makes the pieces, in a thread; `failure` is the error that an exception of it stands for."""
        self.future: Any = None
        self._loop = loop
        self._work = work
        self._failure = failure
        self._stopped = threading.Event()
        # Unbounded, for an utterance is: at most MOST_CHARACTERS, some 6 MB of sound.
        self._pieces: asyncio.Queue[bytes | ProviderError | None] = asyncio.Queue()

    def run(self) -> None:
        """In the thread. Between two sentences it looks whether anybody still listens."""
        try:
            for piece in self._work():
                if self._stopped.is_set():
                    return
                self._send(piece)
            self._send(None)
        except Exception as error:  # noqa: BLE001 - an engine's any fault is a provider's error
            self._send(self._failure(error))

    def _send(self, item: bytes | ProviderError | None) -> None:
        # The loop may be closed by now; then nobody listens.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)

    async def next(self) -> bytes | None:
        """The next piece; None at the end.

        Raises:
            ProviderError: the engine failed.
        """
        item = await self._pieces.get()
        if isinstance(item, ProviderError):
            raise item
        return item

    def stop(self) -> None:
        """Nobody listens any more: what waits in the queue never starts, what runs ends with its sentence."""
        self._stopped.set()
        self.future.cancel()

    def abandon(self, error: ProviderError) -> None:
        """Stop, and tell the listener."""
        self.stop()
        self._pieces.put_nowait(error)


async def pieces_of(first: bytes | None, job: Job, patience: Patience) -> AsyncGenerator[bytes]:
    """What a job makes, after its `first` piece."""
    piece = first
    while piece is not None:
        yield piece
        piece = await patience.more(job.next)

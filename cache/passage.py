"""What a flight has brought so far, and the seats from which it is followed."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal

from cache.errors import FlightFailed
from cache.failures import fresh
from cache.interface import Entry

# hit: found in the cache. joined: somebody else was making it already. made: this seat's own maker made it.
Outcome = Literal["hit", "joined", "made"]


class Passage:
    """The pieces of one flight, kept from the first for whoever joins late, and its end. Awaits nothing."""

    def __init__(self, digest: str, limit: int) -> None:
        self.digest = digest
        self.seats = 0
        self.pieces: list[bytes] = []
        self.outcome: Outcome | None = None
        self.entry: Entry | None = None
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()
        self._limit = limit
        self._bytes = 0

    @property
    def over(self) -> bool:
        """Whether it has ended, well or badly."""
        return self.entry is not None or self.error is not None

    def emit(self, piece: bytes) -> None:
        """One more final piece of the payload, to be heard at once.

        Raises:
            FlightFailed: "too_large" past the bound in bytes; "ended" when nobody is left to hear it.
        """
        if self.over:
            raise FlightFailed("ended")
        self._bytes += len(piece)
        if self._bytes > self._limit:
            raise FlightFailed("too_large")
        if piece:
            self.pieces.append(piece)
            self._change()

    def complete(self, payload: bytes) -> None:
        """Emit what of the payload has not been heard yet.

        Raises:
            FlightFailed: "inconsistent" when what was heard is not how the payload begins; "too_large".
        """
        if not payload.startswith(b"".join(self.pieces)):
            raise FlightFailed("inconsistent")
        self.emit(payload[self._bytes :])

    def land(self, entry: Entry, outcome: Outcome) -> None:
        """The clean end."""
        if not self.pieces and entry.payload:
            self.pieces.append(entry.payload)
        self.entry = entry
        self.outcome = outcome
        self._change()

    def crash(self, error: Exception) -> None:
        """The other end."""
        self.error = error
        self._change()

    def _change(self) -> None:
        """Wake all who wait; those who wait from now on do so for the next change."""
        self.changed.set()
        self.changed = asyncio.Event()


class Seat:
    """One waiter's own place in a flight: a cursor that no other moves."""

    def __init__(self, passage: Passage, *, starter: bool) -> None:
        self.passage = passage
        # What it is to this seat when the sound is made in this process.
        self._if_made: Outcome = "made" if starter else "hit" if passage.over else "joined"

    @property
    def outcome(self) -> Outcome | None:
        """How the sound was come by; None until there is a first piece or the end."""
        return self._if_made if self.passage.outcome == "made" else self.passage.outcome

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The payload from its first byte on, as it is made; ends after the clean end only.

        Raises:
            Exception: whatever the maker raised, as the same type.
            FlightFailed: it failed on another replica, or was ended.
        """
        heard = 0
        while True:
            while heard < len(self.passage.pieces):
                heard += 1
                yield self.passage.pieces[heard - 1]
            # From here to the waiting nothing is awaited, so no change can be missed.
            if self.passage.over:
                self._whole()
                return
            await self.passage.changed.wait()

    async def entry(self) -> Entry:
        """The whole, after the clean end.

        Raises:
            Exception: as `pieces`.
        """
        while not self.passage.over:
            await self.passage.changed.wait()
        return self._whole()

    def _whole(self) -> Entry:
        if self.passage.error is not None:
            raise fresh(self.passage.error)
        assert self.passage.entry is not None
        return self.passage.entry

"""What a flight has brought so far, and the seats from which it is followed."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator
from typing import Literal

from cache.errors import FlightFailed
from cache.failures import fresh
from cache.interface import Entry

# hit: found in the cache. joined: somebody else was making it already. made: this seat's own maker made it.
Outcome = Literal["hit", "joined", "made"]


class Take:
    """The sound of one maker as far as it has come, in pieces that never change once they are there."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._ends: list[int] = []

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._ends[-1] if self._ends else 0

    def add(self, piece: bytes) -> None:
        """One more; not an empty one."""
        self.pieces.append(piece)
        self._ends.append(self.size + len(piece))

    def after(self, at: int) -> bytes:
        """What of it comes next behind the first `at` bytes, up to the end of a piece; empty: nothing yet."""
        number = bisect_right(self._ends, at)
        if number == len(self.pieces):
            return b""
        piece = self.pieces[number]
        begun = at - (self._ends[number] - len(piece))
        return piece[begun:] if begun else piece

    def head(self, size: int) -> bytes:
        """Its first `size` bytes, or as many as there are."""
        return b"".join(self.pieces[: bisect_right(self._ends, size) + 1])[:size]


class Passage:
    """The pieces of one flight, kept from the first for whoever joins late, and its end. Awaits nothing.

    `limit` bounds what one maker may send, in bytes. `owner` is whose its entry will be; None: several ask.
    """

    def __init__(self, digest: str, limit: int, owner: str | None = None) -> None:
        self.digest = digest
        self.owner = owner
        self.seats = 0
        self.take = Take()
        self.outcome: Outcome | None = None
        self.entry: Entry | None = None
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        # This process' own name in the claim to it; lingering: it is being found out whether others follow.
        self.token = ""
        self.lingering = False
        self.changed = asyncio.Event()
        # It is stored, or never will be.
        self.settled = asyncio.Event()
        self._limit = limit

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
        if self.take.size + len(piece) > self._limit:
            raise FlightFailed("too_large")
        if piece:
            self.take.add(piece)
            self._change()

    def retake(self) -> None:
        """What comes from now on is another maker's. Seats that have heard the last one see to themselves."""
        if self.take.pieces:
            self.take = Take()

    def complete(self, payload: bytes) -> None:
        """Emit what of the payload has not been heard yet.

        Raises:
            FlightFailed: "inconsistent" when what was heard is not how the payload begins; "too_large".
        """
        if not self._begins(payload):
            raise FlightFailed("inconsistent")
        self.emit(payload[self.take.size :])

    def land(self, entry: Entry, outcome: Outcome) -> None:
        """The clean end. Where the entry is not what the last maker sent, it counts as another maker's."""
        if not self._begins(entry.payload):
            self.retake()
        if rest := entry.payload[self.take.size :]:
            self.take.add(rest)
        self.entry = entry
        self.outcome = outcome
        self._change()

    def crash(self, error: Exception) -> None:
        """The other end."""
        self.error = error
        self._change()

    def _begins(self, payload: bytes) -> bool:
        return payload.startswith(b"".join(self.take.pieces))

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

        A seat hears one maker from start to end, or goes on with another whose sound begins with the very bytes
        that it has heard: when a leader dies, who has heard nothing yet, or takes over from a maker that always
        says the same, notices nothing.

        Raises:
            Exception: whatever the maker raised, as the same type.
            FlightFailed: it failed on another replica, or was ended; "broken" when the maker was lost in the
                middle and the next one's sound begins otherwise.
        """
        take, at = self.passage.take, 0
        while True:
            if take is not self.passage.take:
                take = self._changed(take, at)
            # A take that was given up may hold pieces that this seat has not heard: they are not wanted any more.
            if take is self.passage.take and (piece := take.after(at)):
                at += len(piece)
                yield piece
                continue
            # From here to the waiting nothing is awaited, so no change can be missed.
            if self.passage.over:
                self._whole()
                return
            await self.passage.changed.wait()

    async def entry(self) -> Entry:
        """The whole, after the clean end, whoever made it.

        Raises:
            Exception: as `pieces`, but never "broken".
        """
        while not self.passage.over:
            await self.passage.changed.wait()
        return self._whole()

    def _changed(self, take: Take, at: int) -> Take:
        """The take to go on with for one who has heard `at` bytes of this: the new one once it has come so far."""
        new = self.passage.take
        known = min(at, new.size)
        ended = self.passage.entry is not None
        if new.head(known) != take.head(known) or (ended and new.size < at):
            raise FlightFailed("broken")
        return new if known == at else take

    def _whole(self) -> Entry:
        if self.passage.error is not None:
            raise fresh(self.passage.error)
        assert self.passage.entry is not None
        return self.passage.entry

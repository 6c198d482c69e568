"""Clips read a window ahead of their listener."""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final

from app.speech.allowance import Allowance
from cache.interface import Entry

FIRST_WINDOW: Final = 2**17
"""Bytes of the response that are read and joined before the first of them leaves: some three clips of mp3."""
WINDOW: Final = 2**21
"""Bytes of the response that are read and joined at a time later on, but for a clip that is longer: a listener of an
hour of wav must not cost 170 MB. Each window is twice the last one, so that who stalls early has little."""

Read = Callable[[int, int], Awaitable[Sequence[Entry]]]
"""Gives the entries of a manifest's clips from one position up to and without another."""


class Windows:
    """The windows of one listener. `starts` is where each clip begins in the response, and where the last one ends."""

    def __init__(
        self, starts: Sequence[int], read: Read, allowance: Allowance, at_hand: Sequence[Entry] = ()
    ) -> None:
        """`at_hand` are the first clips' entries, as far as they have been read already."""
        self._starts = starts
        self._read = read
        self._allowance = allowance
        self._at_hand = at_hand

    async def run(self, first: int, last: int) -> AsyncGenerator[tuple[int, Sequence[Entry]]]:
        """The clips `first` up to and without `last`, in runs: the position behind each run, and its entries.

        While a run is passed on, the next one is read, unless all listeners together have too much at hand. To be
        read once, and closed. Raises whatever reading does.
        """
        hand, self._at_hand = deque(self._at_hand[first:last]), ()
        self._drop(hand, first)
        most, ahead = FIRST_WINDOW, None
        held = self._size(first, first + len(hand))
        try:
            while first < last:
                window = ahead or self._open(hand, first, last, most)
                ahead = None
                held += window.taken
                entries = await window.entries()
                most = min(2 * most, WINDOW)
                if window.behind < last and self._allowance.most(most):
                    ahead = self._open(hand, window.behind, last, most)
                yield window.behind, entries
                del entries
                size = self._size(first, window.behind)
                self._allowance.give(size)
                held -= size
                first = window.behind
        finally:
            # First, and without an await: a second cancellation must not skip it.
            self._allowance.give(held + (ahead.taken if ahead else 0))
            if ahead is not None:
                await ahead.abandon()

    def _drop(self, hand: deque[Entry], first: int) -> None:
        """Of what is at hand keep what others leave room for, and count that."""
        wanted = self._size(first, first + len(hand))
        keep = self._behind(first, first + len(hand), self._allowance.most(wanted)) - first if hand else 0
        while len(hand) > keep:
            hand.pop()
        self._allowance.take(self._size(first, first + len(hand)))

    def _open(self, hand: deque[Entry], first: int, last: int, most: int) -> "_Window":
        if hand:
            behind = self._behind(first, min(last, first + len(hand)), most)
            return _Window(behind, 0, [hand.popleft() for _ in range(first, behind)])
        behind = self._behind(first, last, self._allowance.most(most))
        size = self._size(first, behind)
        self._allowance.take(size)
        reading = asyncio.ensure_future(self._read(first, behind))
        return _Window(behind, size, reading)

    def _behind(self, first: int, last: int, most: int) -> int:
        """One clip at least, and no more than `most` bytes of them."""
        return min(max(first + 1, bisect_right(self._starts, self._starts[first] + most) - 1), last)

    def _size(self, first: int, behind: int) -> int:
        return self._starts[behind] - self._starts[first]


class _Window:
    """A run of clips up to and without `behind`, for which `taken` bytes of the allowance were taken."""

    def __init__(
        self, behind: int, taken: int, source: "Sequence[Entry] | asyncio.Future[Sequence[Entry]]"
    ) -> None:
        self.behind = behind
        self.taken = taken
        self._source = source

    async def entries(self) -> Sequence[Entry]:
        """To be asked once: they are not kept."""
        source, self._source = self._source, ()
        return await source if isinstance(source, asyncio.Future) else source

    async def abandon(self) -> None:
        """Nobody wants them any more."""
        if isinstance(self._source, asyncio.Future):
            self._source.cancel()
            await asyncio.gather(self._source, return_exceptions=True)

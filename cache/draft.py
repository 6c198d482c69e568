"""A draft as its maker has it: what there is of a value so far, and who in this process reads it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

WHOLE: Final = b"."
CUT: Final = b"!"
_LINE, _PIECE = b"+", b"="
_PIECE_BYTES: Final = 2**16


class DraftCut(Exception):
    """What was followed will not be completed, or is not known to be."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the first part, which cannot be had as a whole yet."""

    content: bytes


class Draft:
    """The maker's side. Nothing here waits but `announced` and `read`.

    `followers` are those in this process, `waiting` those of them who have read all that there is.
    """

    def __init__(self, head: bytes, token: str = "", *, told: bool = False) -> None:
        """`told`: others are to be told by somebody, who sets `announcing` when they can find it."""
        self.token = token
        self.elements = [token.encode(), _LINE + head]
        self.followers = 0
        self.waiting = 0
        self.stirred = asyncio.Event()
        self.changed = asyncio.Event()
        self.ended = asyncio.Event()
        self.announcing = asyncio.Event()
        self.is_told = False  # others are being told of it, and have to be told of its end
        if not told:
            self.announcing.set()

    @property
    def over(self) -> bool:
        """Whether there will be no more lines."""
        return self.ended.is_set()

    @property
    def gathers(self) -> bool:
        """Whether the first part is coming, piece by piece."""
        return self.elements[-1].startswith(_PIECE)

    def add(self, line: bytes) -> None:
        """One more part can be had."""
        if not self.over:
            self._append(_LINE + line)

    def add_piece(self, content: bytes) -> None:
        """Some more of the first part; before its line."""
        for start in range(0, 0 if self.over else len(content), _PIECE_BYTES):
            self._append(_PIECE + content[start : start + _PIECE_BYTES])

    def end(self, *, whole: bool) -> None:
        """All parts can be had, or no more will come. The first end counts."""
        if not self.over:
            self._append(WHOLE if whole else CUT)
            self.ended.set()

    async def announced(self) -> None:
        """Until it can be followed from everywhere, or nobody can be told: a round trip after its beginning."""
        await self.announcing.wait()

    async def read(self) -> AsyncGenerator[bytes | Piece]:
        """As `cache.drafts.Following.lines`, where it is."""
        at = 2
        self.followers += 1
        self._stir()
        try:
            while True:
                while at < len(self.elements):
                    line = told(self.elements[at])
                    if line is None:
                        return
                    at += 1
                    yield line
                # Nothing is awaited between the look and the wait, so no line can be missed.
                changed = self.changed
                self.waiting += 1
                self._stir()
                try:
                    await changed.wait()
                finally:
                    if not changed.is_set():  # else none is counted any more
                        self.waiting -= 1
        finally:
            self.followers -= 1
            self._stir()

    def _stir(self) -> None:
        self.stirred.set()
        self.stirred = asyncio.Event()

    def _append(self, element: bytes) -> None:
        self.elements.append(element)
        self.waiting = 0
        # All who wait are woken; those who wait from now on do so for the next change.
        self.changed.set()
        self.changed = asyncio.Event()


def told(element: bytes) -> bytes | Piece | None:
    """A line or a piece; None: the clean end.

    Raises:
        DraftCut: the other end.
    """
    if element == CUT:
        raise DraftCut
    if element == WHOLE:
        return None
    return Piece(element[1:]) if element.startswith(_PIECE) else element[1:]

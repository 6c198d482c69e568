"""How much sound a process may have at hand for all its listeners together."""

from typing import Final

ALLOWED: Final = 32 * 2**20
"""Bytes, of which one listener is given a quarter at the most of what is left."""


class Allowance:
    """A count of bytes. Nothing here waits: who gets little reads little, and oftener.

    A listener has to have one clip at hand whatever is left, so a thousand of them may go over by a clip each.
    """

    def __init__(self, limit: int = ALLOWED) -> None:
        self._left = limit

    def most(self, wanted: int) -> int:
        """How much of `wanted` bytes a listener may have now; 0 where the others have it all."""
        return min(wanted, max(self._left, 0) // 4)

    def take(self, size: int) -> None:
        """So many bytes are at hand from now on."""
        self._left -= size

    def give(self, size: int) -> None:
        """And now no longer."""
        self._left += size

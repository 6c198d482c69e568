"""Values that are deleted while they are made: nobody follows them any more, and nothing of them is kept.

Whoever had it made hears it to the end. Whether a value was deleted its maker finds in the log of what was forgotten,
from where that log ended when the draft began; or is told so where it writes its draft, should the log have gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from cache.errors import Away, Unreachable
from cache.purges import Mark
from cache.shared import Shared

_AGAIN_SECONDS = 0.5


class Draft(Protocol):
    """What is made, line by line."""

    def end(self, *, whole: bool) -> None:
        """There will be no more lines; the first end counts."""
        ...


@dataclass(slots=True)
class _Making:
    parts: Collection[str]
    mark: Mark | None = None
    withdrawn: bool = False


class Withdrawals:
    """Those of this process. Raises nothing for Redis' troubles.

    `forget` forgets digests when nobody is storing them any more, or raises `Unreachable`.
    """

    def __init__(
        self,
        shared: Shared | None = None,
        forget: Callable[[Sequence[str]], Awaitable[object]] | None = None,
    ) -> None:
        """Without `forget` nothing is ever withdrawn."""
        self._purges = None if shared is None else shared.purges
        self._forget = forget
        self._makings: dict[Draft, _Making] = {}

    def begin(self, draft: Draft, parts: Collection[str]) -> None:
        """It is being made from now on, until it is settled; `parts` may be stored for it."""
        self._makings[draft] = _Making(parts)

    async def note(self, draft: Draft) -> None:
        """Note where the log ends. Before anybody can find it: whoever deletes it then is behind that."""
        if self._purges is not None:
            with suppress(Away):
                self._makings[draft].mark = await self._purges.now()

    def withdraw(self, draft: Draft) -> None:
        """It was deleted: who follows it is cut."""
        if (making := self._makings.get(draft)) is not None:
            making.withdrawn = True
        draft.end(whole=False)

    async def is_withdrawn(self, digest: str, draft: Draft) -> bool:
        """Whether its value was deleted since it began, by whomever; as far as can be told while Redis is away."""
        making = self._makings[draft]
        if not making.withdrawn and self._purges is not None and making.mark is not None:
            try:
                since = await self._purges.since(making.mark)
            except Away:
                return making.withdrawn
            making.withdrawn |= any(digest in forgotten.digests for forgotten in since)
        return making.withdrawn

    async def settle(
        self, digest: str, draft: Draft, telling: asyncio.Task[None] | None, *, stored: bool
    ) -> None:
        """Behind its end: forget what was stored for it if it was withdrawn. `stored`: the value itself, too."""
        try:
            if telling is not None:
                await asyncio.wait([telling])  # by its end it is told
            if self._forget is None or not await self.is_withdrawn(digest, draft):
                return
            # Its own name only if it was stored: somebody may be making it anew, and must not find that withdrawn.
            wanted = [*self._makings[draft].parts, *([digest] if stored else [])]
        finally:
            del self._makings[draft]
        while True:
            try:
                await self._forget(wanted)
            except Unreachable:
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

"""A speech that somebody else is having made: its first clip heard as it comes, the others as they are finished."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec

from app.audio.joiners import Joiner
from app.audio.silence import silence
from app.speech.manifest import ClipLine, Manifest
from app.speech.shelf import gone
from cache.cache import Cache
from cache.draft import DraftCut, Piece
from cache.interface import Entry
from cache.value import checksum

ARRIVING: Final = 2.0
"""Seconds for a finished clip to be stored by the process that made it."""


class Followed:
    """`begun` is its manifest without clips."""

    def __init__(
        self, digest: str, begun: Manifest, lines: AsyncGenerator[bytes | Piece], cache: Cache
    ) -> None:
        """`lines` are those of its draft."""
        self.digest = digest
        self.begun = begun
        self._lines = lines
        self._cache = cache

    async def sound(self) -> AsyncGenerator[bytes]:
        """The very bytes that its maker's own listener gets, from the beginning, none empty. To be read once.

        Raises:
            NotFound: its making has failed or is given up, or a clip has gone already or become another.
        """
        joining = self.begun.output.joiner()
        pending = joining.head(None)
        heard: list[bytes] = []
        async with aclosing(self._lines) as lines:
            try:
                async for told in lines:
                    if isinstance(told, Piece):
                        heard.append(told.content)
                        out = await self._added(joining, [told.content], last=False)
                    else:
                        line = msgspec.json.decode(told, type=ClipLine)
                        payload = await self._left(line, heard)
                        rest = (sound for sound, _ in silence(self.begun.output, line.rest))
                        out = await self._added(joining, [payload, *rest], last=True)
                        heard = []
                    if out:
                        yield pending + out
                        pending = b""
            except DraftCut:
                raise gone() from None
        if tail := pending + joining.end():
            yield tail

    async def _left(self, line: ClipLine, heard: list[bytes]) -> bytes:
        """What is left of a clip of which this was heard: all of it or nothing."""
        if not heard:
            return (await self._entry(line)).payload
        if checksum(b"".join(heard)) != line.checksum:
            raise gone()
        return b""

    async def _entry(self, line: ClipLine) -> Entry:
        entry = await self._cache.arriving(line.digest, ARRIVING)
        if entry is not None and entry.checksum != line.checksum:
            # Its maker has made it anew a moment ago, and this process has the old one still.
            entry = await self._cache.reread(line.digest)
        if entry is None or entry.checksum != line.checksum:
            raise gone()
        return entry

    async def _added(self, joining: Joiner, payloads: list[bytes], *, last: bool) -> bytes:
        def add() -> bytes:
            return b"".join(joining.add(payload, last=last) for payload in payloads)

        return await asyncio.to_thread(add) if self.begun.fmt.decodes else add()

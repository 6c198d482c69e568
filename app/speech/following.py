"""A speech that somebody else is having made: heard clip by clip as they are finished."""

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
from cache.drafts import DraftCut
from cache.interface import Entry

ARRIVING: Final = 2.0
"""Seconds for a finished clip to be stored by the process that made it."""


class Followed:
    """`begun` is its manifest without clips."""

    def __init__(self, digest: str, begun: Manifest, lines: AsyncGenerator[bytes], cache: Cache) -> None:
        """`lines` are those of its draft."""
        self.digest = digest
        self.begun = begun
        self._lines = lines
        self._cache = cache

    async def sound(self) -> AsyncGenerator[bytes]:
        """The very bytes that its maker's own listener gets, from the beginning, none empty. To be read once.

        Raises:
            NotFound: its making has failed, or a clip has gone already or become another.
        """
        joining = self.begun.output.joiner()
        pending = joining.head(None)
        async with aclosing(self._lines) as lines:
            try:
                async for written in lines:
                    line = msgspec.json.decode(written, type=ClipLine)
                    out = await self._joined(joining, line, await self._entry(line))
                    yield pending + out
                    pending = b""
            except DraftCut:
                raise gone() from None
        if tail := pending + joining.end():
            yield tail

    async def _entry(self, line: ClipLine) -> Entry:
        entry = await self._cache.arriving(line.digest, ARRIVING)
        if entry is not None and entry.checksum != line.checksum:
            # Its maker has made it anew a moment ago, and this process has the old one still.
            entry = await self._cache.reread(line.digest)
        if entry is None or entry.checksum != line.checksum:
            raise gone()
        return entry

    async def _joined(self, joining: Joiner, line: ClipLine, entry: Entry) -> bytes:
        payloads = [entry.payload, *(rest for rest, _ in silence(self.begun.output, line.rest))]

        def join() -> bytes:
            return b"".join(joining.add(payload, last=True) for payload in payloads)

        return await asyncio.to_thread(join) if self.begun.fmt.decodes else join()

"""Entries on their way to where nobody waits for them."""

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cache.interface import Entry
from cache.purges import START, Mark
from cache.tending import own_task, tell

_ENTRIES = 4096
_BYTES = 32 * 1024 * 1024
_WRITERS = 4
CLOSING_SECONDS = 3.0


class _Waiting(NamedTuple):
    entry: Entry
    mark: Mark


@dataclass(slots=True, eq=False)
class _Writing:
    """`entry` is None once it is not wanted any more."""

    entry: Entry | None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Behind:
    """A bounded queue in front of `write`, which raises nothing. Of a digest only the last entry is written.

    Nobody ever waits: what does not fit is dropped and counted. The writers live only while there is something
    to write. Everything that decides is synchronous: one event loop, no locks.
    """

    def __init__(
        self,
        write: Callable[[str, Entry, Mark], Awaitable[object]],
        *,
        entries: int = _ENTRIES,
        size: int = _BYTES,
        closing: float = CLOSING_SECONDS,
    ) -> None:
        """At most so many `entries` and bytes (`size`) wait. `closing`: seconds for the last ones."""
        self.dropped = 0
        self._write = write
        self._most_entries = entries
        self._most_bytes = size
        self._closing = closing
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._writing: dict[str, _Writing] = {}
        self._bytes = 0
        self._writers: set[asyncio.Task[None]] = set()
        self._closed = False

    def add(self, digest: str, entry: Entry, mark: Mark = START) -> None:
        """Have it written soon, instead of what waits under this digest; `mark`: what has been forgotten before."""
        self._take(digest)
        full = len(self._waiting) >= self._most_entries or self._bytes + _size(entry) > self._most_bytes
        if full or self._closed:
            self.dropped += 1
            return
        self._waiting[digest] = _Waiting(entry, mark)
        self._bytes += _size(entry)
        if len(self._writers) < _WRITERS:
            # An empty context: what is written is nobody's request, and must not carry one's trace.
            writer = asyncio.create_task(self._write_on(), name="behind", context=contextvars.Context())
            self._writers.add(writer)

    def peek(self, digest: str) -> Entry | None:
        """What waits, or is being written, under this digest."""
        if (waiting := self._waiting.get(digest)) is not None:
            return waiting.entry
        writing = self._writing.get(digest)
        return None if writing is None else writing.entry

    def discard(self, digest: str) -> None:
        """What waits is not wanted any more; what is being written comes to its end, and nobody is given it."""
        self._take(digest)
        if (writing := self._writing.get(digest)) is not None:
            writing.entry = None

    async def forget(self, digest: str) -> None:
        """When this returns, nothing that was added before will be written any more."""
        self.discard(digest)
        if (writing := self._writing.get(digest)) is not None:
            await writing.done.wait()

    async def aclose(self, seconds: float = CLOSING_SECONDS) -> None:
        """Write what waits, as far as the time goes: these seconds, or `closing`. Idempotent."""
        self._closed = True
        if self._writers:
            await asyncio.wait(self._writers, timeout=min(seconds, self._closing))
        self.dropped += len(self._waiting) + len(self._writing)
        self._waiting.clear()
        writers = list(self._writers)
        for writer in writers:
            writer.cancel()
        if writers:
            await asyncio.wait(writers)

    async def _write_on(self) -> None:
        try:
            await self._work()
        finally:
            # In the step in which it found nothing to write, not by a callback a step later: what is added in between
            # would wait for the next one that is.
            self._writers.discard(own_task())

    async def _work(self) -> None:
        while (digest := self._next()) is not None:
            taken = self._take(digest)
            assert taken is not None
            writing = self._writing[digest] = _Writing(taken.entry)
            try:
                await self._write(digest, *taken)
            except Exception as error:  # noqa: BLE001 - what waits behind this would wait for ever
                self.dropped += 1
                tell("writing behind", error)
            finally:
                del self._writing[digest]
                writing.done.set()

    def _next(self) -> str | None:
        # Not one that is being written: two writes of a digest might end in the wrong order. Its writer will see to it.
        return next((digest for digest in self._waiting if digest not in self._writing), None)

    def _take(self, digest: str) -> _Waiting | None:
        waiting = self._waiting.pop(digest, None)
        if waiting is not None:
            self._bytes -= _size(waiting.entry)
        return waiting


def _size(entry: Entry) -> int:
    return len(entry.meta) + len(entry.payload)

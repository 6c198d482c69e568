"""The tier behind Redis: objects in a directory or a bucket, which outlive every process."""

import asyncio
import contextvars
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial

from cache import value
from cache.absent import Absent
from cache.behind import CLOSING_SECONDS, Behind
from cache.digest import LAYOUT
from cache.errors import Away, Damaged
from cache.interface import Entry, TierStatistics
from cache.late import Late, Undoing
from cache.objects import Directory, Objects, Stored, open_objects
from cache.outage import Outage
from cache.patience import patient_timeout
from cache.purges import START, Mark
from cache.sweep import Sweep
from cache.tending import tell

_READ_SECONDS = 0.5  # for one object; then the circuit opens
_LOOK_UP_SECONDS = 1.0  # for all that are asked for at once; what has not come by then is not there
_WRITE_SECONDS = 10.0
_READERS = 16
_WINDOW = 64
_FOLDER = f"v{LAYOUT}"
_Read = asyncio.Future[Entry | None]
_PATH = re.compile(rf"{_FOLDER}/[0-9a-f]{{2}}/([0-9a-f]{{40}})")


def path_of(digest: str) -> str:
    """Where an entry lies. Another layout has another folder, with 256 in it: no folder should have a million files."""
    return f"{_FOLDER}/{digest[:2]}/{digest}"


class Archive:
    """Entries as objects, each the same value as in Redis under a path of layout and digest.

    Written behind: `put` waits for nothing. Read once for all who ask at the same time. What is not found is
    remembered for a moment, since a speech asks once for all its clips and once more before each is made. An archive
    that is slow or away costs one time-out, and then nobody waits until it answers again.

    `timeout` (seconds) is for one object. `now` gives seconds since the epoch, `clock` is monotonic.
    """

    def __init__(
        self,
        objects: Objects,
        *,
        limit: int | None = None,
        timeout: float = _READ_SECONDS,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limit`: bytes, for a directory only; None: no bound."""
        self._objects = objects
        self._timeout = timeout
        self._now = now
        self._absent = Absent(clock)
        self._behind = Behind(self._write)
        self._slots = asyncio.Semaphore(_READERS)
        self._outage = Outage(self._probe, what="the archive")
        self._reads: dict[str, _Read] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._hits = self._misses = self._errors = self._damaged = 0
        self._closed = False
        self._late: Late | None = None
        self._still: Callable[[str, str, float], Awaitable[bool]] | None = None
        self._sweep: Sweep | None = None
        if limit is not None and isinstance(objects, Directory):
            self._sweep = Sweep(objects, _FOLDER, limit, now=now)

    def heed(self, late: Late, still: Callable[[str, str, float], Awaitable[bool]]) -> None:
        """Have what is written here by and by give way to what other processes forget.

        `still` says whether Redis has an entry of this digest, checksum and time of making.
        """
        self._late, self._still = late, still

    @property
    def mark(self) -> Mark:
        """See `Late.mark`."""
        return START if self._late is None else self._late.mark

    @property
    def away(self) -> bool:
        """Whether it does not answer now."""
        return self._outage.open

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """One entry or None for each digest, in order; damaged or expired ones are None, and deleted."""
        found: dict[str, Entry | None] = {}
        reads: dict[str, _Read] = {}
        new: list[str] = []
        known_absent: set[str] = set()  # a second look at the same question: not counted
        for digest in dict.fromkeys(digests):
            if (entry := self._behind.peek(digest)) is not None:
                found[digest] = entry if entry.left(self._now()) > 0 else None
            elif (under_way := self._reads.get(digest)) is not None:
                reads[digest] = under_way
            elif digest in self._absent:
                known_absent.add(digest)
            elif not self._outage.open and not self._closed:
                new.append(digest)
        for start in range(0, len(new), _WINDOW):
            reads |= self._start(new[start : start + _WINDOW])
        if reads:
            # Not awaited one by one: a caller that is cancelled must not cancel what others wait for.
            await asyncio.wait(reads.values(), timeout=_LOOK_UP_SECONDS)
            found |= {
                digest: read.result()
                for digest, read in reads.items()
                if read.done() and digest not in self._absent  # else it was deleted since
            }
        result = [found.get(digest) for digest in digests]
        self._hits += sum(entry is not None for entry in result)
        self._misses += sum(
            entry is None and digest not in known_absent
            for digest, entry in zip(digests, result, strict=True)
        )
        return result

    async def lacking(self, digests: Sequence[str]) -> list[str]:
        """Those of the digests that are not there, damaged or not; all of them while it is away."""
        there = await asyncio.gather(*(self._there(digest) for digest in digests))
        return [digest for digest, is_there in zip(digests, there, strict=True) if not is_there]

    async def put(self, digest: str, entry: Entry, mark: Mark | None = None) -> None:
        """Store soon; replaces. Waits for nothing: what is too much is dropped, and counted.

        `mark` is from before it was stored anywhere; left out, it is not yet.
        """
        if entry.left(self._now()) <= 0:
            return
        self._absent.forget(digest)
        self._settle(digest, entry)
        self._behind.add(digest, entry, self.mark if mark is None else mark)

    def overlook(self, digest: str) -> None:
        """Another process forgets it: nobody here is given any more what waits, or is being read or written."""
        self._behind.discard(digest)
        self._settle(digest, None)

    async def delete(self, digest: str) -> bool:
        """Forget; True if it was there, False also while it is away."""
        try:
            return await self.forget(digest)
        except Away:
            return False

    async def forget(self, digest: str) -> bool:
        """As `delete`, for what must be gone.

        Raises:
            Away: it may still be there.
        """
        waiting = self._behind.peek(digest) is not None
        await self._behind.forget(digest)
        # Who is reading it right now, or has read it and waits for others, must not bring it back.
        self._absent.add(digest)
        self._settle(digest, None)
        try:
            async with patient_timeout(_WRITE_SECONDS):
                return await self._objects.delete(path_of(digest)) or waiting
        except (Away, TimeoutError) as error:
            self._errors += 1
            self._absent.forget(digest)
            raise Away(type(error).__name__) from error

    async def stored(self) -> AsyncIterator[list[tuple[str, Stored]]]:
        """All digests of this layout with their objects, some at a time.

        Raises:
            Away: they cannot be listed.
        """
        async for page in self._objects.under(_FOLDER):
            yield [(match[1], one) for one in page if (match := _PATH.fullmatch(one.path))]

    async def value(self, digest: str) -> bytes | None:
        """What is stored under the digest, unchecked.

        Raises:
            Away: it cannot be read.
        """
        return await self._objects.read(path_of(digest))

    def statistics(self) -> TierStatistics:
        """What happened so far. What is held is known of a bounded directory only, as its last count says."""
        entries, size = (None, None) if self._sweep is None else self._sweep.held
        dropped = self._behind.dropped
        return TierStatistics(
            self._hits, self._misses, entries, size, self._errors, self._damaged, dropped=dropped
        )

    async def aclose(self, seconds: float = CLOSING_SECONDS) -> None:
        """Write what waits, for so many seconds at the most; then end everything. Idempotent."""
        self._closed = True
        await self._behind.aclose(seconds)
        await self._outage.aclose()
        if self._sweep is not None:
            await self._sweep.aclose()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._objects.aclose()

    def _start(self, digests: Sequence[str]) -> dict[str, _Read]:
        """Begin to read what nobody reads yet."""
        loop = asyncio.get_running_loop()
        started = {digest: loop.create_future() for digest in digests}
        self._reads |= started
        task = asyncio.create_task(self._read(started), name="archive-reader", context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return started

    def _settle(self, digest: str, entry: Entry | None) -> None:
        """Who is reading this digest right now gets what it has become meanwhile."""
        if (read := self._reads.pop(digest, None)) is not None:
            read.set_result(entry)

    def _answer(self, digest: str, read: _Read, entry: Entry | None) -> None:
        # Not if it was settled meanwhile; by now there may even be another read of this digest.
        if self._reads.get(digest) is read:
            self._settle(digest, entry)

    async def _read(self, reads: dict[str, _Read]) -> None:
        try:
            for digest in reads.keys() - await self._likely(reads):
                self._miss(digest, reads[digest])
            await asyncio.gather(
                *(self._read_one(digest, read) for digest, read in reads.items() if not read.done())
            )
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._errors += 1
            tell("a reading of the archive", error)
        finally:  # also when cancelled: nobody is left waiting
            for digest, read in reads.items():
                self._answer(digest, read, None)

    async def _likely(self, digests: Iterable[str]) -> set[str]:
        """Those that are worth a read."""
        by_path = {path_of(digest): digest for digest in digests}
        try:
            async with patient_timeout(self._timeout):
                return {by_path[path] for path in await self._objects.likely(list(by_path))}
        except (Away, TimeoutError):
            self._fail()  # and with the circuit open, the readers will not even try
            return set(digests)

    async def _read_one(self, digest: str, read: _Read) -> None:
        async with self._slots:
            if self._outage.open:  # opened while we waited for our turn
                return
            try:
                async with patient_timeout(self._timeout):
                    stored = await self._objects.read(path_of(digest))
                    entry = None if stored is None else await self._take(digest, stored)
            except (Away, TimeoutError):
                self._fail()
                return
        if entry is None:
            self._miss(digest, read)
        else:
            self._answer(digest, read, entry)

    async def _take(self, digest: str, stored: bytes) -> Entry | None:
        """The entry in what was stored. What is damaged or has expired is deleted, before anybody makes it anew."""
        try:
            entry = value.decode(stored)
        except Damaged:
            self._damaged += 1
        else:
            if entry.left(self._now()) > 0:
                return entry
        try:
            await self._objects.delete(path_of(digest))
        except Away:  # a directory that can be read only is no reason to leave it alone
            self._errors += 1
        return None

    def _miss(self, digest: str, read: _Read) -> None:
        if not read.done():  # else it was put while we looked
            self._absent.add(digest)
            self._answer(digest, read, None)

    async def _there(self, digest: str) -> bool:
        if self._behind.peek(digest) is not None:
            return True
        if digest in self._absent:
            return False
        async with self._slots:
            if self._outage.open or self._closed:
                return False
            try:
                async with patient_timeout(self._timeout):
                    return await self._objects.there(path_of(digest))
            except (Away, TimeoutError):
                self._fail()
                return False

    async def _write(self, digest: str, entry: Entry, mark: Mark) -> None:
        store = partial(self._store, digest, entry)
        if self._late is None or self._still is None:
            await store()
            return
        stands = partial(self._still, digest, entry.checksum, entry.made_at)
        await self._late.write(Undoing(digest, mark, partial(self._unwrite, digest), stands), store)

    async def _store(self, digest: str, entry: Entry) -> bool:
        if entry.left(self._now()) <= 0:
            return False
        encoded = value.encode(entry)
        try:
            async with patient_timeout(_WRITE_SECONDS):
                await self._objects.write(path_of(digest), encoded)
        except TimeoutError:
            self._errors += 1
            return True  # it may be there all the same
        except Away:
            # No circuit: nobody waits for writing, and what cannot be written (a full disk) can still be read.
            self._errors += 1
            return False
        if self._sweep is not None:
            self._sweep.wrote(len(encoded))
        return True

    async def _unwrite(self, digest: str) -> None:
        """Take back what was written.

        Raises:
            Away: it may be there.
        """
        self._settle(digest, None)
        try:
            async with patient_timeout(_WRITE_SECONDS):
                await self._objects.delete(path_of(digest))
        except (Away, TimeoutError) as error:
            self._errors += 1
            raise Away(type(error).__name__) from error

    def _fail(self) -> None:
        self._errors += 1
        if not self._closed:
            self._outage.trip()

    async def _probe(self) -> None:
        try:
            async with patient_timeout(self._timeout):
                await self._objects.there(path_of("0" * 40))
        except TimeoutError as error:
            raise Away("TimeoutError") from error


def open_archive(url: str, *, limit: int | None = None, now: Callable[[], float] = time.time) -> Archive:
    """The archive at that URL: see `cache.objects.open_objects` and `Archive`.

    Raises:
        NoArchive: there is no such store.
    """
    return Archive(open_objects(url), limit=limit, now=now)

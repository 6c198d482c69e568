"""One synthesis for all who want it: single flight in the process, and over processes through a lease.

A flight has a task of its own, owned by `Flights`; whoever wants its sound has a seat, with a cursor of its
own over the pieces so far. A seat that is left touches no other. With the last one the flight is ended,
unless it has come to its clean end already: then it is stored, whoever left.
"""

import asyncio
import contextvars
import functools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cache.archive import Archive
from cache.asker import asker
from cache.errors import FlightFailed
from cache.failures import Failures, code_of, fresh
from cache.interface import Entry, FlightStatistics
from cache.labels import Label
from cache.leading import Leading
from cache.lease import PIECES_AT_ONCE, Alone, Failed, Follow, Found, Lead, Leases, Standing
from cache.memory import MemoryTier
from cache.passage import Outcome, Passage, Seat
from cache.purges import Mark
from cache.storing import Storing
from cache.tending import tell_of
from cache.value import new_entry

DEFAULT_LIMIT = 32 * 1024 * 1024
_CLOSING_SECONDS = 5.0
# Between two looks at whether anybody elsewhere still follows: a flight that nobody needs ends within 0.5 s.
_LINGER_SECONDS = 0.1
# Behind the first probe of an outage; with the time-out before it no more than may be added to a request.
_AGAIN_SECONDS = 0.045


@dataclass(frozen=True, slots=True)
class Made:
    """What a maker gives at its clean, checked end. `ttl` is in seconds; by its `labels` it can be forgotten."""

    meta: bytes
    payload: bytes
    ttl: float
    labels: tuple[Label, ...] = ()


# make(emit): calls emit(piece) for every final piece of the payload as it appears, and gives the whole at the
# end; raises whatever it likes otherwise. `emit` raises FlightFailed when the bound in bytes is passed.
Make = Callable[[Callable[[bytes], None]], Awaitable[Made]]


class Flights:
    """The flights of this process. Everything that decides is synchronous: one event loop, no locks.

    `archive` is looked into before anything is made, and gets what was made. `limit` bounds one flight's sound in
    bytes. `remember` says for how many seconds (2 at the most) a maker's exception answers those who come later in
    its place; 0: not at all. `storing` does what is to be done with what was made. `clock` is monotonic, `now` is in
    seconds since the epoch, `token` gives a new string at each call.
    """

    def __init__(
        self,
        memory: MemoryTier,
        leases: Leases | None = None,
        *,
        archive: Archive | None = None,
        limit: int = DEFAULT_LIMIT,
        remember: Callable[[Exception], float] = lambda _: 0.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
        storing: Storing | None = None,
    ) -> None:
        self._memory = memory
        self._leases = leases
        self._archive = archive
        self._limit = limit
        self._failures = Failures(remember, clock)
        self._now = now
        self._sleep = sleep
        self._token = token
        self._storing = storing or Storing(memory, leases, archive=archive, now=now)
        self._passages: dict[str, Passage] = {}
        # Those that were begun by who wants it anew, whatever is there.
        self._renewals: dict[str, Passage] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = dict.fromkeys(("led", "followed", "found", "failed", "abandoned"), 0)
        self._closed = False

    @asynccontextmanager
    async def board(self, digest: str, make: Make, *, anew: bool = False) -> AsyncIterator[Seat]:
        """A seat in the flight to this digest; starts it with `make` unless one is under way.

        Leaving gives up the seat. `make` runs in no request's context: it must carry all it needs. `anew`: what is
        there already will not do; what is being made at this moment, here or elsewhere, will. Its `entry` is given
        when it stands in the place of the old.

        Raises:
            FlightFailed: "closed".
        """
        if anew:
            await self._decided(digest)
        seat = self._seat(digest, make, anew=anew)
        try:
            yield seat
        finally:
            self._leave(seat.passage)

    def statistics(self) -> FlightStatistics:
        """How it went so far."""
        under_way = len(self._passages) + len(self._renewals)
        return FlightStatistics(under_way=under_way, refused=self._storing.refused, **self._counts)

    async def settled(self, digests: Collection[str]) -> None:
        """Until what the flights to these that are under way now bring is stored, or never will be."""
        under_way = [
            known[digest]
            for known in (self._passages, self._renewals)
            for digest in digests
            if digest in known
        ]
        for passage in under_way:
            await passage.settled.wait()

    async def aclose(self, seconds: float = _CLOSING_SECONDS) -> None:
        """End everything under way: the seated get FlightFailed("closed"). What is being stored is stored.

        For so many seconds, or a few, it is waited for.
        """
        self._closed = True
        for passage in (*self._passages.values(), *self._renewals.values()):
            self._end(passage, "closed")
        # Bounded: a maker that does not mind its cancellation must not keep the service from ending. Again and
        # again, since a flight that ends starts the task that releases its lease.
        clock = asyncio.get_running_loop().time
        end = clock() + min(seconds, _CLOSING_SECONDS)
        while self._tasks and (left := end - clock()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)

    # What follows up to `_fly` changes state without awaiting.

    def _seat(self, digest: str, make: Make, *, anew: bool) -> Seat:
        if self._closed:
            raise FlightFailed("closed")
        passage = self._under_way(digest, anew=anew)
        starter = passage is None
        if passage is None:
            passage = self._depart(digest, make, anew=anew)
        elif passage.owner != asker():
            passage.owner = None
        passage.seats += 1
        return Seat(passage, starter=starter, anew=anew)

    def _under_way(self, digest: str, *, anew: bool) -> Passage | None:
        """The flight to join. Who wants it anew joins none that may still come to what was there before."""
        passage, renewal = self._passages.get(digest), self._renewals.get(digest)
        if not anew:
            return passage or renewal
        if renewal is not None and not renewal.over:
            return renewal
        return passage if passage is not None and passage.making else None

    def _depart(self, digest: str, make: Make, *, anew: bool) -> Passage:
        passage = Passage(digest, self._limit, asker(), anew=anew)
        # The cache is looked at again: between a caller's look-up and this one another flight may have ended.
        if not anew and (entry := self._memory.peek(digest)) is not None:
            self._count("found")
            passage.land(entry, "hit")
        elif (error := self._failures.recent(digest)) is not None:
            passage.crash(error)
        else:
            self._known(passage)[digest] = passage
            passage.task = self._spawn(self._fly(passage, make))
        return passage

    def _leave(self, passage: Passage) -> None:
        passage.seats -= 1
        if passage.seats or passage.over or passage.lingering:
            return
        if self._leases is not None and passage.outcome == "made":
            passage.lingering = True
            self._spawn(self._linger(self._leases, passage))
        else:
            self._abandon(passage)

    def _abandon(self, passage: Passage) -> None:
        self._count("abandoned")
        self._end(passage, "abandoned")

    def _end(self, passage: Passage, code: str) -> None:
        """Stop a flight. Whoever comes from now on gets a new one, also while this one is still dying."""
        self._forget(passage)
        if passage.task is not None and not passage.over:
            passage.crash(FlightFailed(code))
            passage.task.cancel()

    def _known(self, passage: Passage) -> dict[str, Passage]:
        return self._renewals if passage.anew else self._passages

    def _forget(self, passage: Passage) -> None:
        passage.settled.set()
        if self._known(passage).get(passage.digest) is passage:
            del self._known(passage)[passage.digest]

    def _count(self, what: str) -> None:
        self._counts[what] += 1

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # An empty context: a flight belongs to nobody's request, so it must not carry one's trace.
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_of("a flight"))
        return task

    async def _decided(self, digest: str) -> None:
        """Until it is known of a flight under way whether anything is made: it may find what is there."""
        while (passage := self._passages.get(digest)) is not None and passage.outcome is None:
            # Nothing is awaited between the look and the wait.
            await passage.changed.wait()

    async def _linger(self, leases: Leases, passage: Passage) -> None:
        """Nobody is left here: go on for those who follow at other replicas, as long as there are any."""
        try:
            while await leases.followed(passage.digest, passage.token) and not passage.seats:
                await self._sleep(_LINGER_SECONDS)
        finally:
            passage.lingering = False
        # Nothing is awaited behind the last look: who comes from here on finds the flight ended, or keeps it.
        if not passage.seats and not passage.over:
            self._abandon(passage)

    async def _fly(self, passage: Passage, make: Make) -> None:
        token = passage.token = self._token()
        try:
            leads = await self._find(passage, token)
            if not passage.over:
                await self._fetch(passage, make, token, leads=leads)
        except asyncio.CancelledError:
            # The release is a task of its own: a second cancellation must not skip it. It is sent even if the
            # answer to joining never came, since the lease may be ours all the same.
            self._release(passage, token)
            self._fail(passage, FlightFailed("cancelled"))
            if passage.task is not None and passage.task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - a maker may raise anything; the seats raise it again
            self._release(passage, token, error)
            self._fail(passage, error)

    async def _find(self, passage: Passage, token: str) -> bool:
        """Until it is there (then the passage has landed) or we are to make it: True if with the lease.

        Raises:
            FlightFailed: the leader on another replica failed.
        """
        if self._leases is None:
            return False
        standing = await self._leases.join(passage.digest, token, anew=passage.anew)
        outcome: Outcome = "hit"
        if isinstance(standing, Follow):
            outcome = "joined"
            passage.decide(outcome)
            standing = await self._follow(self._leases, passage, token, standing)
        match standing:
            case Found(entry):
                self._count("found" if outcome == "hit" else "followed")
                self._memory.add(passage.digest, entry, passage.owner)
                self._land(passage, entry, outcome)
            case Failed(code):
                raise FlightFailed(code)
            case Lead() | Alone():
                pass
        return isinstance(standing, Lead)

    @asynccontextmanager
    async def _following(self, leases: Leases, passage: Passage) -> AsyncIterator[None]:
        """Whoever leads is told when nobody is left here, so that it does not go on for us."""
        try:
            yield
        except asyncio.CancelledError:
            self._spawn(leases.leave(passage.digest, passage.token))
            raise

    async def _follow(self, leases: Leases, passage: Passage, token: str, standing: Follow) -> Standing:
        """Hear what another replica makes, piece by piece, until nobody there is at it any more."""
        leader = _hear(passage, standing, "")
        join = functools.partial(leases.join, passage.digest, token, anew=passage.anew)
        async with self._following(leases, passage), leases.ear(passage.digest) as ear:
            while True:
                # Listen first, then look: what happens in between is seen by the look, what happens after it is
                # heard. And what is not heard is seen when the lease has run out.
                await ear.listen()
                had = len(passage.take.pieces)
                heard = await join(leader=leader, had=had)
                if isinstance(heard, Alone):
                    # One lost reply is no reason to make it a second time: most often Redis is back at once.
                    await self._sleep(_AGAIN_SECONDS)
                    heard = await join(leader=leader, had=had)
                if not isinstance(heard, Follow):
                    return heard
                leader = _hear(passage, heard, leader)
                if len(heard.pieces) < PIECES_AT_ONCE:
                    await ear.wait(heard.left + 0.005)

    async def _fetch(self, passage: Passage, make: Make, token: str, *, leads: bool) -> None:
        """Have it from the archive or make it, keeping the lease meanwhile: a slow archive takes longer than that."""
        leading, renewal = None, None
        if self._leases is not None:
            # Without the lease too: when Redis comes back in the middle, others need not make it once more.
            leading = Leading(self._leases, passage, token, self._sleep)
            renewal = self._spawn(leading.renew())
        try:
            await self._recall(passage, leads=leads)
            if not passage.over:
                await self._make(passage, make, leading, leads=leads)
        finally:
            if renewal is not None:
                renewal.cancel()

    async def _recall(self, passage: Passage, *, leads: bool) -> None:
        """Look into the archive. What is there lands, and is stored as if made: that is how other replicas get it."""
        if self._archive is None or passage.anew:
            return
        mark = self._storing.mark
        (entry,) = await self._archive.get_many([passage.digest])
        if entry is None:
            return
        self._count("found")
        self._memory.add(passage.digest, entry, passage.owner)
        passage.land(entry, "hit")
        self._spawn(self._store(passage, entry, leads=leads, mark=mark))

    async def _make(self, passage: Passage, make: Make, leading: Leading | None, *, leads: bool) -> None:
        passage.decide("made")
        passage.retake()  # what was heard of another replica's is not ours
        if leading is not None:
            self._spawn(leading.publish())  # ends with the passage
        made = await make(passage.emit)
        if passage.over:  # ended meanwhile, and the maker did not mind its cancellation: nothing is stored
            raise asyncio.CancelledError
        passage.complete(made.payload)
        entry = new_entry(made.meta, made.payload, made_at=self._now(), ttl=made.ttl)
        self._count("led")
        # In this order: from the next step of the loop on, newcomers find it in memory.
        self._memory.add(passage.digest, entry, passage.owner)
        passage.land(entry, "made")
        # Storing is another task: the seats need not wait for it, and leaving cannot cancel it. Until it is
        # done the flight stays known, for entries that memory does not hold.
        self._spawn(self._store(passage, entry, made.labels, leads=leads, made=True))

    async def _store(
        self,
        passage: Passage,
        entry: Entry,
        labels: tuple[Label, ...] = (),
        *,
        leads: bool,
        made: bool = False,
        mark: Mark | None = None,
    ) -> None:
        try:
            await self._storing.store(passage, entry, labels, leads=leads, made=made, mark=mark)
        finally:
            self._forget(passage)

    def _release(self, passage: Passage, token: str, error: Exception | None = None) -> None:
        if self._leases is None:
            return
        code, seconds = ("", 0.0) if error is None else (code_of(error), self._failures.seconds(error))
        self._spawn(self._leases.fail(passage.digest, token, code, seconds))

    def _land(self, passage: Passage, entry: Entry, outcome: Outcome) -> None:
        passage.land(entry, outcome)
        self._forget(passage)

    def _fail(self, passage: Passage, error: Exception) -> None:
        """For the seated and, for a moment, for those who come: a crowd must not call again one by one."""
        self._forget(passage)
        if passage.over:
            return
        self._count("failed")
        self._failures.add(passage.digest, error)
        passage.crash(fresh(error))


def _hear(passage: Passage, standing: Follow, leader: str) -> str:
    """Take in what the leader has sent since; gives whose sound the passage holds now."""
    if standing.leader != leader:
        passage.retake()
    for piece in standing.pieces:
        passage.emit(piece)
    return standing.leader

"""Values that are being made, told line by line to whoever follows, in this process and in others.

The maker of a value writes a draft: a head, pieces of its first part as they come, since that may be all there is for
long, and a line for each part as soon as it can be had. In its own process
followers read it where it is; for other processes a task of the draft's own writes it to Redis, in order and behind
the maker, who never waits for it. There it lives for some seconds unless it is renewed: of a maker that was killed
the followers learn when it has run out.

What is deleted while it is made is withdrawn: see `cache.withdrawals`. In Redis its token alone stays of the draft.

Two may make the same value at once, and differently. A draft has its maker's token at its head; the first one stands
as long as its maker goes on, and a follower who finds another's in its place is cut.

A maker can ask whether anybody follows: here they are counted, elsewhere they are noted in Redis as they read.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from cache.draft import CUT, WHOLE, Draft, DraftCut, Piece, told
from cache.errors import Away
from cache.leading import batch
from cache.link import Answer, RedisLink
from cache.notices import Ear, Notices
from cache.tending import tell_of
from cache.withdrawals import Withdrawals

LIFETIME: Final = 4.0
"""Seconds that a draft in Redis outlives its maker; renewed every third of it. So of a maker that was
killed followers learn after 6 seconds at the latest."""
NOTED: Final = 6.0
"""Seconds for which a follower elsewhere counts as one, unless it says that it leaves; renewed every third of it, also
while its listener takes nothing. So of a process that was killed its followers are made for no longer."""
_AT_ONCE: Final = 1_000
"""Lines that are read in one trip."""
_BYTES_AT_ONCE: Final = 2**18
_GATHERING_SECONDS = 0.05
"""For which pieces are gathered before they are told: a trip for each of a hundred would be most of all trips."""
_REMEMBERED: Final = 256
_LINGER_SECONDS = 0.1
"""Between two looks whether anybody elsewhere follows still, or has read all."""
_FIRST_PAUSE_SECONDS = 0.02
"""Between the first two of the latter, since who only stores what he follows takes no time for it."""
_CLOSING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Following:
    """A follower's side: `lines` come as they are written, and end only where the value is whole.

    To be closed. Raises `DraftCut` where they end otherwise.
    """

    head: bytes
    lines: AsyncGenerator[bytes | Piece]


@dataclass(frozen=True, slots=True)
class _Heed:
    """How many follow in other processes, and how many of them have read all that there is."""

    followers: int = 0
    waiting: int = 0


@dataclass(slots=True)
class _Reader:
    """One that follows a draft in Redis; the next element that it asks for is number `at`."""

    token: str
    at: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A draft in Redis: whose it is, its last element, and those that were asked for."""

    token: bytes
    last: bytes
    elements: list[bytes]


class Drafts:
    """All drafts of this process, and the way to those of others. Never raises for Redis' troubles.

    `lifetime` is in seconds, `token` gives a new string at each call.
    """

    def __init__(
        self,
        link: RedisLink | None = None,
        notices: Notices | None = None,
        *,
        lifetime: float = LIFETIME,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._link = link
        self._notices = notices
        self._lifetime = lifetime
        self._token = token
        self.withdrawals = Withdrawals()
        self._open: dict[str, list[Draft]] = {}
        # The last of ours that were cut: the others are told in a moment, here it is known at once.
        self._cut: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()
        if link is not None:
            self._draft = link.script("draft")
            self._drafted = link.script("drafted")
            self._heeded = link.script("heeded")
            self._leave = link.script("leave")
            self._withdraw = link.script("withdraw")

    @contextmanager
    def open(self, digest: str, head: bytes, parts: Collection[str] = ()) -> Iterator[Draft]:
        """A draft of the value of this name; cut where the block ends before it was ended.

        `parts`: what may be stored for it, by digest: if it is withdrawn, they are forgotten behind its end.
        """
        draft = Draft(head, self._token(), told=self._link is not None)
        drafts = self._open.setdefault(digest, [])
        drafts.append(draft)
        self.withdrawals.begin(draft, parts)
        telling = None
        if self._link is not None:
            telling = self._spawn(self._tell(self._link, digest, draft), "telling of a draft")
        try:
            yield draft
        finally:
            draft.end(whole=False)
            if draft.elements[-1] == CUT:
                self._cut.append(draft.token.encode())
            if telling is not None and drafts[0] is not draft and not draft.is_told:
                telling.cancel()  # it has told nobody anything, and waits for its turn
            drafts.remove(draft)
            if not drafts:
                del self._open[digest]
            stored = draft.elements[-1] == WHOLE
            settling = self.withdrawals.settle(digest, draft, telling, stored=stored)
            self._spawn(settling, "forgetting what was withdrawn")

    async def withdraw(self, digest: str) -> None:
        """Break off all drafts of this name, here and, if Redis answers, elsewhere. After its value was deleted.

        Raises:
            Away: Redis does not answer.
        """
        for draft in self._open.get(digest, []):
            self.withdrawals.withdraw(draft)
        if (link := self._link) is not None:
            keys, channel = [link.keys.of("draft", digest)], link.keys.of("drafted", digest)
            await link.call(lambda: self._withdraw(keys, [channel]))

    async def so_far(self, digest: str) -> list[bytes] | None:
        """Head and lines of a draft as it stands; None: nobody makes this."""
        if (alive := self._alive(digest)) is not None:
            return [element[1:] for element in alive.elements[1:] if element[:1] == b"+"]
        elements: list[bytes] = []
        while True:
            found = await self._read(digest, 1 + len(elements))
            if found is None or found.last in {WHOLE, CUT}:
                return None
            elements += found.elements
            if not found.elements:
                return [element[1:] for element in elements if element[:1] == b"+"]

    def _alive(self, digest: str) -> Draft | None:
        """The first of this process that has not been cut, or withdrawn."""
        drafts = self._open.get(digest, [])
        return next((draft for draft in drafts if draft.elements[-1] != CUT), None)

    async def follow(self, digest: str) -> Following | None:
        """The value of this name from its beginning, while somebody is making it: at most one round trip."""
        drafts = self._open.get(digest, [])
        if (alive := self._alive(digest)) is not None:
            return Following(alive.elements[1][1:], alive.read())
        # Who comes when it has been cut already is told that there is none, and hears nothing of it.
        cut = {draft.token.encode() for draft in drafts}
        found = await self._read(digest, 1)
        if found is None or found.last in {WHOLE, CUT} or found.token in cut or found.token in self._cut:
            return None
        return Following(found.elements[0][1:], self._lines(digest, found.token))

    async def is_followed(self, digest: str, draft: Draft) -> bool:
        """Whether anybody follows it, here or in another process; while Redis is away, nobody there can."""
        # Looked at again: somebody may have come while others were asked.
        if draft.followers > 0:
            return True
        heed = await self._heed(digest, draft)
        return draft.followers + heed.followers > 0

    async def deserted(self, digest: str, draft: Draft) -> None:
        """Until nobody follows it any more."""
        while await self.is_followed(digest, draft):
            if not draft.followers:
                await asyncio.sleep(_LINGER_SECONDS)
            while draft.followers:
                await draft.stirred.wait()

    async def wanted(self, digest: str, draft: Draft) -> None:
        """Until one who follows it, wherever, has read all that there is; at once if nobody follows."""
        pause = None if self._link is None else _FIRST_PAUSE_SECONDS
        while not draft.waiting:
            # Taken before anything is awaited: who comes, or reads, while we ask is not missed.
            stirred = draft.stirred
            heed = await self._heed(digest, draft)
            if heed.waiting or not draft.followers + heed.followers:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stirred.wait()
            pause = pause and min(2 * pause, _LINGER_SECONDS)

    async def _heed(self, digest: str, draft: Draft) -> _Heed:
        link = self._link
        if link is None:
            return _Heed()
        keys = [link.keys.of(thing, digest) for thing in ("draft", "followers", "reached")]
        arguments: list[str | bytes | int] = [draft.token, len(draft.elements)]
        try:
            return _Heed(*await link.call(lambda: self._heeded(keys, arguments)))
        except Away:
            return _Heed()

    async def aclose(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Cut what is open, and tell the followers, within so many seconds or a moment. Idempotent."""
        for drafts in self._open.values():
            for draft in drafts:
                draft.end(whole=False)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=min(seconds, _CLOSING_SECONDS))
        for task in self._tasks:
            task.cancel()

    def _spawn(self, work: Coroutine[None, None, None], what: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_of(what))
        return task

    async def _tell(self, link: RedisLink, digest: str, draft: Draft) -> None:
        try:
            await self.withdrawals.note(draft)
            if await self._turn(digest, draft):
                draft.is_told = True
                await self._tell_all(link, digest, draft)
        finally:
            draft.announcing.set()  # cancelled too: its maker waits for this before the first sound leaves

    async def _turn(self, digest: str, draft: Draft) -> bool:
        """Until nobody else of this process tells of the same; False: this one has ended before.

        Of fifty who ask at once for what nobody has said yet, one tells Redis.
        """
        while not draft.over:
            # Not one that was withdrawn: its maker may go on for long.
            first = next((one for one in self._open.get(digest, []) if not one.over), draft)
            if first is draft:
                return True
            if not draft.announcing.is_set():
                await first.announcing.wait()
                draft.announcing.set()
            elif not first.over:
                await first.ended.wait()
            else:
                await asyncio.sleep(0)
        return False

    async def _tell_all(self, link: RedisLink, digest: str, draft: Draft) -> None:
        """Write it to Redis as it grows, at most one trip a line, and renew it where it does not."""
        there = 0
        while True:
            changed, over = draft.changed, draft.over
            # The beginning alone, since somebody else's may stand there.
            elements = batch(draft.elements, there) if there else draft.elements[:2]
            answer = await self._written(link, digest, draft, there, elements)
            draft.announcing.set()
            if answer == b"kept":
                there += len(elements)
            elif answer == b"withdrawn":
                self.withdrawals.withdraw(draft)
                return
            elif answer == b"lost" and there:
                there = 0
                continue
            else:  # somebody else's stands there, or Redis is away: perhaps not any more at the next line
                there = 0
            if over and (there == 0 or there == len(draft.elements)):
                return
            # Nothing was awaited since `answer` but what `changed` would tell.
            if there < len(draft.elements) and answer == b"kept":
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lifetime / 3):
                    await changed.wait()
            if draft.gathers:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GATHERING_SECONDS):
                        await draft.ended.wait()

    async def _written(
        self, link: RedisLink, digest: str, draft: Draft, there: int, elements: list[bytes]
    ) -> Answer:
        keys = [link.keys.of("draft", digest)]
        channel = link.keys.of("drafted", digest)
        milliseconds = int(self._lifetime * 1000)
        arguments: list[bytes | str | int] = [draft.elements[0], milliseconds, channel, there, *elements]
        try:
            return await link.call(lambda: self._draft(keys, arguments))
        except Away:
            return None

    async def _read(
        self, digest: str, position: int, follower: str = "", most: int = _AT_ONCE
    ) -> _Found | None:
        """The elements from a position on, not all where they are many; None: no draft, or Redis is away.

        `follower` is noted as one, if it is somebody, and with it the position.
        """
        link = self._link
        if link is None:
            return None
        keys = [link.keys.of(thing, digest) for thing in ("draft", "followers", "reached")]
        arguments: list[str | bytes | int] = [position, most, _BYTES_AT_ONCE, follower, int(NOTED * 1000)]
        try:
            answer = await link.call(lambda: self._drafted(keys, arguments))
        except Away:
            return None
        match answer:
            case [bytes(token), bytes(last), *elements] if last != token:  # else it was withdrawn
                return _Found(token, last, elements)
            case _:
                return None

    async def _lines(self, digest: str, token: bytes) -> AsyncGenerator[bytes | Piece]:
        assert self._link is not None
        reader = _Reader(secrets.token_hex(8), 2)
        async with self._following(self._link, digest, reader), self._ear(digest) as ear:
            while True:
                # Listen first, then look: what is written in between is seen, what is written after it is heard.
                await ear.listen()
                found = await self._read(digest, reader.at, reader.token)
                if found is None or found.token != token:  # it has run out, was replaced, or Redis is away
                    raise DraftCut
                for element in found.elements:
                    line = told(element)
                    if line is None:
                        return
                    yield line
                reader.at += len(found.elements)  # behind the last of them: until then it has not taken them
                if not found.elements:
                    await ear.wait(self._lifetime / 2)

    def _ear(self, digest: str) -> AbstractAsyncContextManager[Ear]:
        assert self._link is not None
        assert self._notices is not None
        return self._notices.ear(self._link.keys.of("drafted", digest))

    @asynccontextmanager
    async def _following(self, link: RedisLink, digest: str, reader: _Reader) -> AsyncIterator[None]:
        """Whoever makes it is told when this follower leaves, so that it does not go on for it."""
        staying = asyncio.create_task(self._stay(digest, reader), name="following a draft")
        staying.add_done_callback(tell_of("following a draft"))
        try:
            yield
        finally:
            staying.cancel()
            # A task of its own: who leaves may have been cancelled, and waits for nothing.
            self._spawn(self._say_goodbye(link, digest, reader.token), "leaving a draft")

    async def _stay(self, digest: str, reader: _Reader) -> None:
        """Stay noted while nothing is read, since the listener takes nothing."""
        while True:
            await asyncio.sleep(NOTED / 3)
            await self._read(digest, reader.at, reader.token, most=0)

    async def _say_goodbye(self, link: RedisLink, digest: str, follower: str) -> None:
        keys = [link.keys.of(thing, digest) for thing in ("followers", "reached")]
        with suppress(Away):  # then it lapses by itself
            await link.call(lambda: self._leave(keys, [follower]))

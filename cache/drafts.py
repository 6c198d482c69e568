"""Values that are being made, told line by line to whoever follows, in this process and in others.

The maker of a value writes a draft: a head, and a line for each part as soon as it can be had. In its own process
followers read it where it is; for other processes a task of the draft's own writes it to Redis, in order and behind
the maker, who never waits for it. There it lives for some seconds unless it is renewed: of a maker that was killed
the followers learn when it has run out.

What is deleted while it is made is withdrawn: see `cache.withdrawals`. In Redis its token alone stays of the draft.

Two may make the same value at once, and differently. A draft has its maker's token at its head; the first one stands
as long as its maker goes on, and a follower who finds another's in its place is cut.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from cache.errors import Away
from cache.link import Answer, RedisLink
from cache.notices import Notices
from cache.tending import tell_of
from cache.withdrawals import Withdrawals

LIFETIME: Final = 4.0
"""Seconds that a draft in Redis outlives its maker; renewed every third of it. So of a maker that was
killed followers learn after 6 seconds at the latest."""
_WHOLE, _CUT = b".", b"!"
_AT_ONCE: Final = 1_000
"""Lines that are read in one trip, and written."""
_CLOSING_SECONDS = 1.0


class DraftCut(Exception):
    """What was followed will not be completed, or is not known to be."""


class Draft:
    """The maker's side. Nothing here waits but `announced`."""

    def __init__(self, head: bytes, token: str = "", *, told: bool = False) -> None:
        """`told`: others are to be told by somebody, who sets `announcing` when they can find it."""
        self.elements = [token.encode(), b"+" + head]
        self.changed = asyncio.Event()
        self.announcing = asyncio.Event()
        if not told:
            self.announcing.set()

    @property
    def over(self) -> bool:
        """Whether there will be no more lines."""
        return self.elements[-1] in {_WHOLE, _CUT}

    def add(self, line: bytes) -> None:
        """One more part can be had."""
        if not self.over:
            self._append(b"+" + line)

    def end(self, *, whole: bool) -> None:
        """All parts can be had, or no more will come. The first end counts."""
        if not self.over:
            self._append(_WHOLE if whole else _CUT)

    async def announced(self) -> None:
        """Until it can be followed from everywhere, or nobody can be told: a round trip after its beginning."""
        await self.announcing.wait()

    def _append(self, element: bytes) -> None:
        self.elements.append(element)
        # All who wait are woken; those who wait from now on do so for the next change.
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True, slots=True)
class Following:
    """A follower's side: `lines` come as they are written, and end only where the value is whole.

    To be closed. Raises `DraftCut` where they end otherwise.
    """

    head: bytes
    lines: AsyncGenerator[bytes]


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
        self._tasks: set[asyncio.Task[None]] = set()
        if link is not None:
            self._draft = link.script("draft")
            self._drafted = link.script("drafted")
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
            drafts.remove(draft)
            if not drafts:
                del self._open[digest]
            stored = draft.elements[-1] == _WHOLE
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
            if found is None or found.last in {_WHOLE, _CUT}:
                return None
            elements += found.elements
            if not found.elements:
                return [element[1:] for element in elements if element[:1] == b"+"]

    def _alive(self, digest: str) -> Draft | None:
        """The first of this process that has not been cut, or withdrawn."""
        drafts = self._open.get(digest, [])
        return next((draft for draft in drafts if draft.elements[-1] != _CUT), None)

    async def follow(self, digest: str) -> Following | None:
        """The value of this name from its beginning, while somebody is making it: at most one round trip."""
        if (alive := self._alive(digest)) is not None:
            return Following(alive.elements[1][1:], _lines(alive))
        found = await self._read(digest, 1)
        if found is None or found.last in {_WHOLE, _CUT}:
            return None
        head, *lines = found.elements
        return Following(head[1:], self._lines(digest, found.token, lines))

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
            changed = first.changed
            if not draft.announcing.is_set():
                await first.announcing.wait()
                draft.announcing.set()
            elif not first.over:
                await changed.wait()
            else:
                await asyncio.sleep(0)
        return False

    async def _tell_all(self, link: RedisLink, digest: str, draft: Draft) -> None:
        """Write it to Redis as it grows, at most one trip a line, and renew it where it does not."""
        there = 0
        while True:
            changed, over = draft.changed, draft.over
            # The beginning alone, since somebody else's may stand there.
            elements = draft.elements[there : there + _AT_ONCE if there else 2]
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

    async def _read(self, digest: str, position: int) -> "_Found | None":
        """The elements from a position on, not all where they are many; None: no draft, or Redis is away."""
        link = self._link
        if link is None:
            return None
        keys = [link.keys.of("draft", digest)]
        try:
            answer = await link.call(lambda: self._drafted(keys, [position, position + _AT_ONCE - 1]))
        except Away:
            return None
        match answer:
            case [bytes(token), bytes(last), *elements] if last != token:  # else it was withdrawn
                return _Found(token, last, elements)
            case _:
                return None

    async def _lines(self, digest: str, token: bytes, elements: list[bytes]) -> AsyncGenerator[bytes]:
        assert self._link is not None
        assert self._notices is not None
        at = 2
        async with self._notices.ear(self._link.keys.of("drafted", digest)) as ear:
            while True:
                for element in elements:
                    if element == _WHOLE:
                        return
                    if element == _CUT:
                        raise DraftCut
                    at += 1
                    yield element[1:]
                # Listen first, then look: what is written in between is seen, what is written after it is heard.
                await ear.listen()
                found = await self._read(digest, at)
                if found is None or found.token != token:  # it has run out, was replaced, or Redis is away
                    raise DraftCut
                elements = found.elements
                if not elements:
                    await ear.wait(self._lifetime / 2)


async def _lines(draft: Draft) -> AsyncGenerator[bytes]:
    at = 2
    while True:
        while at < len(draft.elements):
            element = draft.elements[at]
            if element == _WHOLE:
                return
            if element == _CUT:
                raise DraftCut
            at += 1
            yield element[1:]
        # Nothing is awaited between the look and the wait, so no line can be missed.
        await draft.changed.wait()

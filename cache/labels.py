"""What entries are called besides their digests, so that they can be forgotten together: an index in Redis.

For each label one sorted set of the digests that have it, scored by when they expire. Nothing is looked up here
when sound is served, and nobody who listens waits for the writing.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from cache.digest import digest as name_of
from cache.errors import Away
from cache.link import Answer, RedisLink
from cache.tending import tell

BATCH = 500
"""Digests in one command or pipeline: more would hold up everybody else's at the server."""
_SLACK = 3600.0
"""Seconds that a digest stays in an index after its entry has expired: the clocks of replicas differ."""
_CLOSING_SECONDS = 2.0
_WAITING = 1_000
"""Batches that are kept while Redis is away, for when it is back."""
_PAUSE = 0.5
"""Seconds between two tries."""

Members = dict[bytes, float]


class Label(NamedTuple):
    """One thing that entries can have in common, such as `("voice", "narrator")`."""

    kind: str
    name: str


class Labels:
    """The index of one Redis. `now` gives seconds since the epoch."""

    def __init__(
        self,
        link: RedisLink,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._link = link
        self._sleep = sleep
        self._now = now
        self._waiting: deque[dict[str, Members]] = deque(maxlen=_WAITING)
        self._writer: asyncio.Task[None] | None = None

    def add_soon(self, labels: Iterable[Label], until: Mapping[str, float]) -> None:
        """Have these digests labelled, each until it expires (seconds since the epoch), by a task of the index' own.

        What is labelled already stays so. While Redis is away it waits, the oldest of very much being lost.
        """
        self._waiting.extend(self._sets(labels, until))
        # No await between looking and setting: there is one writer at most, and nothing waits without one.
        if self._writer is None and self._waiting:
            self._writer = asyncio.create_task(self._write(), name="label-writer")

    async def add(self, labels: Iterable[Label], until: Mapping[str, float]) -> None:
        """As `add_soon`, and it is done when this returns.

        Raises:
            Away: Redis does not answer.
        """
        for sets in self._sets(labels, until):
            await self._store(sets)

    async def walk(self, labels: Sequence[Label]) -> AsyncGenerator[list[str]]:
        """The digests that have all of these labels (one at least), in batches, expired ones among them.

        Those that are labelled meanwhile may or may not be there.

        Raises:
            Away: Redis does not answer.
        """
        first, *others = map(self._key, labels)
        client, call = self._link.client, self._link.call
        cursor = 0
        while True:
            found: Answer
            cursor, found = await call(partial(client.zscan, first, cursor, count=BATCH))
            members = [member for member, _ in found]
            for other in others:
                scores = await call(partial(client.zmscore, other, members)) if members else []
                members = [one for one, score in zip(members, scores, strict=True) if score is not None]
            if members:
                yield [member.hex() for member in members]
            if not cursor:
                return

    async def drop(self, labels: Sequence[Label], digests: Sequence[str]) -> None:
        """Take these digests, a batch at most, out of these labels' sets.

        Raises:
            Away: Redis does not answer.
        """
        pipe = self._link.client.pipeline(transaction=False)
        for label in labels:
            pipe.zrem(self._key(label), *map(bytes.fromhex, digests))
        await self._link.call(pipe.execute)

    async def aclose(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Write what waits, within so many seconds or a few. Idempotent."""
        if self._writer is not None:
            _, late = await asyncio.wait([self._writer], timeout=min(seconds, _CLOSING_SECONDS))
            for task in late:
                task.cancel()
                await asyncio.wait([task])

    async def _write(self) -> None:
        try:
            while self._waiting:
                sets = self._together()
                try:
                    await self._store(sets)
                except Away:
                    # The value may have been stored a moment before: no purge would ever find it.
                    if len(self._waiting) < _WAITING:
                        self._waiting.appendleft(sets)
                    await self._sleep(_PAUSE)
                except Exception as error:  # noqa: BLE001 - what waits behind these would wait for the next label
                    tell("labelling", error)
        finally:
            self._writer = None

    def _sets(self, labels: Iterable[Label], until: Mapping[str, float]) -> Iterator[dict[str, Members]]:
        """What is to be added, a batch at a time."""
        keys = [self._key(label) for label in labels]
        members = [(bytes.fromhex(digest), expires) for digest, expires in until.items()]
        for start in range(0, len(members), BATCH):
            some = dict(members[start : start + BATCH])
            yield dict.fromkeys(keys, some)

    def _together(self) -> dict[str, Members]:
        """What waits, up to about a batch."""
        sets: dict[str, Members] = defaultdict(dict)
        size = 0
        while self._waiting and size < BATCH:
            for key, members in self._waiting.popleft().items():
                sets[key].update(members)
                size += len(members)
        return sets

    async def _store(self, sets: Mapping[str, Members]) -> None:
        """Add, have the sets live as long as their members, and take out some of those that have expired."""
        now = self._now()
        pipe = self._link.client.pipeline(transaction=False)
        for key, members in sets.items():
            left = int(max(members.values()) - now + _SLACK)
            pipe.zadd(key, members, gt=True)
            pipe.expire(key, left, nx=True)  # GT alone leaves a new set without an end
            pipe.expire(key, left, gt=True)
            # A bounded number: a set that slept for a month could have a million to be taken out.
            pipe.zrangebyscore(key, "-inf", now - _SLACK, start=0, num=BATCH)
        answers = await self._link.call(pipe.execute)
        expired = {key: gone for key, gone in zip(sets, answers[3::4], strict=True) if gone}
        if expired:
            pipe = self._link.client.pipeline(transaction=False)
            for key, gone in expired.items():
                pipe.zrem(key, *gone)
            await self._link.call(pipe.execute)

    def _key(self, label: Label) -> str:
        # By a hash: names of keys are seen by many, and tags are their users' own words.
        return self._link.keys.of("label", name_of("label", label))

"""A speech while it is being made: clips made ahead in parallel, given out in order."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from app.errors import DeadlineExceeded
from app.speech.chain import Chain
from app.speech.clips import Clip
from app.speech.plan import Candidate, Plan
from providers.deadline import Deadline, speaking_until
from providers.interface import ProviderVoice

AHEAD_BEFORE_SOUND = 2
"""Chunks under way until the first sound: more would only compete with it for a local engine's cores."""
AHEAD = 6
"""Chunks under way after that, the one being given out among them."""


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """The clean end of a chunk, after its bytes."""

    clip: Clip


Item = bytes | ChunkEnd


class Rehearsal:
    """The chunks of a plan on their way, each in a task of its own. `opens_known`: the first was found, not made."""

    def __init__(self, plan: Plan, known: dict[int, Clip], chain: Chain, deadline: float) -> None:
        """`known`: clips found already, by position; each is taken out when its turn comes.

        `deadline`: seconds to wait for the next sound.
        """
        self._plan = plan
        self._known = known
        self.opens_known = 0 in known
        self._chain = chain
        self._deadline = deadline
        self._channels: list[asyncio.Queue[Item | Exception]] = [asyncio.Queue() for _ in plan.chunks]
        self._tasks: list[asyncio.Task[None]] = []
        # What is made ahead has none until its listener comes to it: it may wait for its own siblings' turns.
        self._deadlines: list[Deadline] = []
        self._at = 0
        self._voice: asyncio.Future[ProviderVoice] = asyncio.get_running_loop().create_future()

    async def items(self) -> AsyncGenerator[Item]:
        """Each chunk's clip bytes and its end, in order; whoever reads on later goes on where it was left.

        The first chunk's bytes come while it is being made, later chunks whole.

        Raises:
            RefrainError: a chunk cannot be spoken by anybody, or the deadline passed.
            ProviderError: the first chunk's provider failed after some of its sound came.
        """
        self._start(AHEAD_BEFORE_SOUND)
        while self._at < len(self._channels):
            item = await self._next(self._at)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, ChunkEnd):
                self._at += 1
            yield item
            self._start(self._at + AHEAD)

    async def aclose(self) -> None:
        """End what is still under way and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _next(self, position: int) -> Item | Exception:
        now = asyncio.get_running_loop().time()
        until = now + self._deadline
        self._deadlines[position].begin(now, until)
        try:
            async with asyncio.timeout_at(until):
                return await self._channels[position].get()
        except TimeoutError:
            message = (
                f"No sound within {self._deadline:g} s. Try again, or ask the operator about the providers."
            )
            raise DeadlineExceeded(message) from None

    def _start(self, upto: int) -> None:
        for position in range(len(self._tasks), min(upto, len(self._channels))):
            self._deadlines.append(Deadline())
            self._tasks.append(asyncio.create_task(self._run(position), name=f"chunk {position}"))

    async def _run(self, position: int) -> None:
        channel = self._channels[position]
        hear = channel.put_nowait if position == 0 else None
        speaking_until.set(self._deadlines[position])
        try:
            candidates = await self._candidates(position)
            clip = self._known.pop(position, None)
            if clip is None or clip.digest not in {candidate.digest for candidate in candidates}:
                clip = await self._chain.get(candidates, self._plan.request, hear)
            elif hear:
                hear(clip.entry.payload)
            if position == 0:
                self._voice.set_result(_voice(candidates, clip))
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader must have it, or would wait for ever
            channel.put_nowait(error)
            return
        if not hear:
            channel.put_nowait(clip.entry.payload)
        channel.put_nowait(ChunkEnd(clip))

    async def _candidates(self, position: int) -> Sequence[Candidate]:
        """Who may speak that chunk: of a speech in one voice, who spoke the first, and nobody else."""
        candidates = self._plan.chunks[position].candidates
        if position == 0 or not self._plan.request.voice.same_voice:
            return candidates
        voice = await asyncio.shield(self._voice)
        return [candidate for candidate in candidates if candidate.utterance.voice == voice]


def _voice(candidates: Sequence[Candidate], clip: Clip) -> ProviderVoice:
    return next(one.utterance.voice for one in candidates if one.digest == clip.digest)

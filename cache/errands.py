"""Scripts that ride to Redis with whatever is going there anyway: a look-up is one trip, and stays one.

What is asked for in one turn of the event loop goes together. If a look-up at the same server is begun in that turn,
too, all of it leaves in the look-up's own pipeline.
"""

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError

from cache.errors import Away
from cache.link import Answer, RedisLink, Script
from cache.tending import tell_of


@dataclass(frozen=True, slots=True)
class Errand:
    """One script to be run, and what it came to."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[str | bytes | int]
    answer: "asyncio.Future[Answer | Away]"

    def queue(self, pipe: Pipeline) -> None:
        """Into a pipeline that is about to leave."""
        self.script.queue(pipe, self.keys, self.arguments)

    def settle(self, answer: "Answer | Away") -> None:
        """Tell who waits, if he still does."""
        if not self.answer.done():
            self.answer.set_result(answer)


class Errands:
    """Of one Redis. To be used within one running event loop."""

    def __init__(self, link: RedisLink) -> None:
        self.link = link
        self._waiting: list[Errand] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_looking = False
        self._is_closed = False

    def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]
    ) -> "asyncio.Future[Answer | Away]":
        """What the script answers, or `Away` (as a value: who has lost interest need not look at it).

        All keys belong to one slot. It may have run although the answer is `Away`.
        """
        loop = asyncio.get_running_loop()
        errand = Errand(script, keys, arguments, loop.create_future())
        if self.link.outage.open or self._is_closed:
            errand.settle(Away("closed" if self._is_closed else "circuit open"))
            return errand.answer
        self._waiting.append(errand)
        if not self._is_looking:
            self._is_looking = True
            # Two turns later: the reader of a look-up that was begun in this turn has begun in the next, and taken it.
            loop.call_soon(loop.call_soon, self._send_what_is_left)
        return errand.answer

    def take(self) -> list[Errand]:
        """All that wait, to be taken along; each is then to be given to `bring`."""
        taken, self._waiting = self._waiting, []
        return taken

    def bring(self, errands: Sequence[Errand], answers: "Sequence[Answer] | Away") -> None:
        """What they came to, in order; those that the server did not know are sent whole."""
        if isinstance(answers, Away):
            for errand in errands:
                errand.settle(answers)
            return
        for errand, answer in zip(errands, answers, strict=True):
            if isinstance(answer, NoScriptError):
                self._spawn(self._send_whole(errand))
            elif isinstance(answer, Exception):
                self.link.errors += 1
                errand.settle(Away(type(answer).__name__))
            else:
                errand.settle(answer)

    async def aclose(self) -> None:
        """Until all that was asked for has been answered. From then on nothing is asked. Idempotent."""
        while self._waiting or self._tasks:
            # Also what is asked for meanwhile: sent later, it would open a connection that nobody closes.
            self._send_what_is_left()
            await asyncio.wait(self._tasks)
        self._is_closed = True

    def _send_what_is_left(self) -> None:
        self._is_looking = False
        if errands := self.take():
            self._spawn(self._send(errands))

    async def _send(self, errands: list[Errand]) -> None:
        async def send() -> list[Answer]:
            pipe = self.link.client.pipeline(transaction=False)
            for errand in errands:
                errand.queue(pipe)
            return await pipe.execute(raise_on_error=False)

        came: Sequence[Answer] | Away = Away("cancelled")
        try:
            came = await self.link.call(send)
        except Away as error:
            came = error
        finally:  # also when cancelled: nobody is left waiting
            self.bring(errands, came)

    async def _send_whole(self, errand: Errand) -> None:
        came: Answer | Away = Away("cancelled")
        try:
            came = await self.link.call(lambda: errand.script(errand.keys, errand.arguments))
        except Away as error:
            came = error
        finally:
            errand.settle(came)

    def _spawn(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        # An empty context: it goes for many, and is nobody's request.
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_of("errands"))
        return task

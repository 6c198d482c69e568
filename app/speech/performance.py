"""The block in which a speech is heard."""

from collections.abc import Awaitable, Callable

from app.speech.making import Live
from app.speech.ready import Ready


class Performance:
    """`async with`: see `Studio.perform`. No generator, as each hit is one."""

    __slots__ = ("_begin", "_end", "_live")

    def __init__(
        self, begin: Callable[[], Awaitable[Ready | Live]], end: Callable[[Live], Awaitable[None]]
    ) -> None:
        self._begin = begin
        self._end = end
        self._live: Live | None = None

    async def __aenter__(self) -> Ready | Live:
        speech = await self._begin()
        # No await between its beginning and this: what has begun is ended.
        if isinstance(speech, Live):
            self._live = speech
        return speech

    async def __aexit__(self, *_: object) -> None:
        if self._live is not None:
            await self._end(self._live)

"""Plans of requests: made once for all who ask, off the event loop where they are long, and remembered."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from app.speech.plan import Plan, Planner, SpeechRequest
from app.text.origin import Origin

T = TypeVar("T")

INLINE_CHARACTERS: Final = 4_000
"""Longer texts are planned in a thread. Prose of this length takes about 1.5 ms of the event loop (`make bench`,
planning)."""
INLINE_LINES: Final = 100
"""So are texts of more lines: each may be a chunk, and takes about 24 µs whatever its length."""
SHORT_CHARACTERS: Final = 10_000
"""Texts up to here are never kept waiting by longer ones, which may take seconds if they are made to."""
REMEMBERED_BYTES: Final = 8 * 2**20
"""Bound on the plans that are remembered: a text asked for again is not cut and hashed again."""
PLAN_BYTES: Final = 1_000
"""What a plan takes besides its clips and texts, its request and what is found out of it once: 3,000 plans of one
short chunk took 2.0 kB each."""
CANDIDATE_BYTES: Final = 1_000
"""What a plan takes for each clip that would do: of 400 sentences 1.0 kB each, without their text."""
SSML_BYTES: Final = 48
"""What a plan of SSML takes for each character of its source, at worst: 22,000 references took 6.2 MB."""


class Lanes:
    """One thread for short texts and one for long ones, which start when they are needed.

    More threads would only compete with the event loop for the interpreter, and hold all their trees in memory.
    """

    def __init__(self) -> None:
        self._short = ThreadPoolExecutor(1, "plan-short")
        self._long = ThreadPoolExecutor(1, "plan-long")
        self._waiting: set[asyncio.Future[Any]] = set()

    async def run(self, characters: int, work: Callable[[], T]) -> T:
        """What `work` on a text of so many characters returns, or raises."""
        lane = self._short if characters <= SHORT_CHARACTERS else self._long
        done = asyncio.get_running_loop().run_in_executor(lane, work)
        self._waiting.add(done)
        done.add_done_callback(self._waiting.discard)
        return await done

    async def aclose(self) -> None:
        """Cancel all that is waited for, and wait for the text that a thread is in the middle of. Idempotent."""
        for done in list(self._waiting):
            done.cancel()
        for lane in (self._short, self._long):
            await asyncio.to_thread(lane.shutdown, cancel_futures=True)


class Plans:
    """Plans by request, made by one planner."""

    def __init__(self, planner: Planner, lanes: Lanes) -> None:
        """What is under way ends with `lanes` at the latest, which others may use, too."""
        self._planner = planner
        self._lanes = lanes
        self._remembered: OrderedDict[SpeechRequest, Plan] = OrderedDict()
        self._bytes = 0
        self._under_way: dict[SpeechRequest, asyncio.Task[Plan]] = {}

    async def get(self, request: SpeechRequest) -> Plan:
        """The request cut into chunks, with their digests. Who asks for one that is being made waits for that.

        Raises:
            InvalidInput, InvalidSsml, InputTooLong: as `Planner.plan`.
        """
        if plan := self._remembered.get(request):
            self._remembered.move_to_end(request)
            return plan
        if _is_inline(request):
            plan = self._planner.plan(request)
            self._remember(request, plan)
            return plan
        # No await between looking and setting: two who ask at once cannot both begin.
        task = self._under_way.get(request)
        if task is None:
            task = asyncio.create_task(self._make(request), name="plan")
            self._under_way[request] = task
            task.add_done_callback(_looked_at)
        # Shielded: an asker who leaves must not take the plan away from the others.
        return await asyncio.shield(task)

    async def origin(self, plan: Plan) -> Origin:
        """Where the plan's text came from in what was sent; of a long page it takes a while."""
        return await self._lanes.run(len(plan.request.text), plan.document.origin)

    async def _make(self, request: SpeechRequest) -> Plan:
        try:
            plan = await self._lanes.run(len(request.text), lambda: self._planner.plan(request))
            self._remember(request, plan)
            return plan
        finally:
            del self._under_way[request]

    def _remember(self, request: SpeechRequest, plan: Plan) -> None:
        weight = _weight(plan)
        if request in self._remembered or weight > REMEMBERED_BYTES:
            return
        self._remembered[request] = plan
        self._bytes += weight
        while self._bytes > REMEMBERED_BYTES:
            _, forgotten = self._remembered.popitem(last=False)
            self._bytes -= _weight(forgotten)


def _is_inline(request: SpeechRequest) -> bool:
    text = request.text
    plain = request.input_type == "text"
    return plain and len(text) <= INLINE_CHARACTERS and text.count("\n") <= INLINE_LINES


def _weight(plan: Plan) -> int:
    """About how many bytes it takes: not the text's length alone, or many short texts would take far more."""
    request = plan.request
    each = SSML_BYTES if request.input_type == "ssml" else 2
    texts = 2 * len(plan.document.text) + each * len(request.text) + len(request.instructions or "")
    return PLAN_BYTES + texts + CANDIDATE_BYTES * sum(len(planned.candidates) for planned in plan.chunks)


def _looked_at(task: asyncio.Task[Plan]) -> None:
    """Where all askers have left, nobody else would look at what went wrong."""
    if not task.cancelled():
        task.exception()

"""What tasks of our own did not foresee: told to the log, and no reason to stop for those that go on for ever.

The message of an exception may carry a value or an address, and asyncio's own report of a task that has died comes
whenever the task is collected, message and all. So each task that nobody awaits is tended here.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Any

log = getLogger("refrain")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0  # seconds


def tell(what: str, error: BaseException) -> None:
    """One line: what failed, the type and the place."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    log.error("defect in %s: %s%s", what, type(error).__name__, where)


def tell_of(what: str) -> Callable[[asyncio.Task[Any]], None]:
    """For `Task.add_done_callback`: its exception, if it ended by one."""

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            tell(what, error)

    return ended


def own_task() -> asyncio.Task[None]:
    """The task that this is called in, for one that takes itself out of the set of its owner's."""
    task = asyncio.current_task()
    assert task is not None
    return task


async def keep_on(
    what: str,
    work: Callable[[], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Carry out `work` until it comes to its end, beginning it again, later each time, when it fails."""
    pause = _FIRST_PAUSE
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else would do the work
            tell(what, error)
        else:
            return
        await sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)

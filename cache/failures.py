"""Failures of makers: remembered for a moment, and raised anew for each who waited."""

import copy
from collections.abc import Callable

_LONGEST_SECONDS = 2.0
_MOST = 1024


class Failures:
    """What failed a moment ago, by digest. `remember` gives seconds, of which 2 count at the most."""

    def __init__(self, remember: Callable[[Exception], float], clock: Callable[[], float]) -> None:
        self._remember = remember
        self._clock = clock
        self._until: dict[str, tuple[float, Exception]] = {}

    def seconds(self, error: Exception) -> float:
        """How long this one is remembered."""
        return min(self._remember(error), _LONGEST_SECONDS)

    def add(self, digest: str, error: Exception) -> None:
        """Remember, if it is to be."""
        seconds = self.seconds(error)
        if seconds <= 0:
            return
        if len(self._until) >= _MOST:
            self._sweep()
        self._until[digest] = (self._clock() + seconds, fresh(error))

    def recent(self, digest: str) -> Exception | None:
        """The failure to answer with, if there is one."""
        until, error = self._until.get(digest, (0.0, None))
        if error is None or self._clock() < until:
            return error
        del self._until[digest]
        return None

    def _sweep(self) -> None:
        """Drop what is past; if that is not enough (a flood of failures), the oldest half."""
        now = self._clock()
        live = [(digest, kept) for digest, kept in self._until.items() if now < kept[0]]
        self._until = dict(live[-_MOST // 2 :])


def fresh(error: Exception) -> Exception:
    """The same exception, to be raised once more: its own traceback, so that none grows with the waiters.

    The cause goes along. An exception that cannot be copied is given as it is, without its traceback.
    """
    try:
        again = copy.copy(error)
    except Exception:  # noqa: BLE001 - a foreign exception's constructor may want what `args` do not hold
        return error.with_traceback(None)
    again.__cause__ = error.__cause__
    again.__suppress_context__ = True
    return again


def code_of(error: Exception) -> str:
    """The word for a failure that other replicas get: the exception's own `code`, else its type's name."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__name__

"""What was just looked for in vain."""

from collections import OrderedDict
from collections.abc import Callable


class Absent:
    """Digests that are not there, for a moment: `seconds` by `clock`, which is monotonic. At most so many (`most`)."""

    def __init__(self, clock: Callable[[], float], seconds: float = 5.0, most: int = 10_000) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, digest: str) -> None:
        """It is not there."""
        self._until[digest] = self._clock() + self._seconds
        self._until.move_to_end(digest)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def forget(self, digest: str) -> None:
        """It may be there."""
        self._until.pop(digest, None)

    def __contains__(self, digest: str) -> bool:
        return self._until.get(digest, 0.0) > self._clock()

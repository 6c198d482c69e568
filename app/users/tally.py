"""What one request has had made, noted where it is made and charged where the request ends."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Counting = Literal["made", "all", "nothing"]
"""Which characters of a request count: what was made for it, what was found as well, or none. Money always does."""


class Line(NamedTuple):
    """What there was of one voice by one provider. Characters as they were sent, money in the prices' currency.

    `charged` were spoken anew, `saved` were not; `hits` of the `chunks` were found, or somebody else's making.
    """

    charged: int = 0
    saved: int = 0
    spend: float = 0.0
    spared: float = 0.0
    chunks: int = 0
    hits: int = 0

    def plus(self, other: "Line") -> "Line":
        """Both together."""
        return Line(
            self.charged + other.charged,
            self.saved + other.saved,
            self.spend + other.spend,
            self.spared + other.spared,
            self.chunks + other.chunks,
            self.hits + other.hits,
        )

    @property
    def taken_back(self) -> "Line":
        """What makes up for it."""
        return Line(-self.charged, -self.saved, -self.spend, -self.spared, -self.chunks, -self.hits)

    @property
    def with_hits_charged(self) -> "Line":
        """The same where characters that were not spoken anew are charged, too."""
        return self._replace(charged=self.charged + self.saved, saved=0)

    @property
    def charged_before(self) -> "Line":
        """The same where all characters have been charged to another request; the money has not."""
        return self._replace(charged=0, saved=self.charged + self.saved)

    @property
    def made_only(self) -> "Line":
        """The same without what was found."""
        return self._replace(saved=0, spared=0.0, chunks=self.chunks - self.hits, hits=0)


Afford = Callable[[int, float], Awaitable[None]]


async def anything(_characters: int, _cost: float) -> None:
    """Nobody counts."""


@dataclass(slots=True)
class Tally:
    """Lines by voice and provider, and the bill for them.

    Within `places()` each chunk of its user's is made, as many at once as he may have. `afford` sets aside what was not
    foreseen when the request began, in characters and money, or raises that it may not be.
    """

    places: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
    afford: Afford = anything
    counting: Counting = "made"
    late: Callable[[str, str, Line], None] | None = None
    lines: dict[tuple[str, str], Line] = field(default_factory=dict)
    _under_way: int = 0
    _waits: Callable[[], None] | None = None

    @contextmanager
    def making(self) -> Iterator[None]:
        """Within it something is being made for the request, whether or not it is still there."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way and self._waits is not None:
                call, self._waits = self._waits, None
                call()

    def once_made(self, call: Callable[[], None]) -> None:
        """Have it called as soon as nothing is being made: now, or later."""
        if self._under_way:
            self._waits = call
        else:
            call()

    def add(self, voice: str, provider: str, line: Line) -> None:
        """One clip more; behind the bill, to who writes another."""
        if self.late is not None:
            self.late(voice, provider, line)
            return
        place = (voice, provider)
        before = self.lines.get(place)
        self.lines[place] = line if before is None else before.plus(line)

    def look_again(self) -> None:
        """What was found is to be looked for once more, and then noted once more."""
        made = {place: line.made_only for place, line in self.lines.items()}
        self.lines = {place: line for place, line in made.items() if line.chunks or line.spend}

    @property
    def made(self) -> Line:
        """What was spoken anew, and paid."""
        return _total(line.made_only for line in self.lines.values())

    @property
    def bill(self) -> Mapping[tuple[str, str], Line]:
        """Lines as they are charged."""
        match self.counting:
            case "made":
                return self.lines
            case "all":
                return {place: line.with_hits_charged for place, line in self.lines.items()}
            case "nothing":
                return {place: line.charged_before for place, line in self.lines.items()}

    @property
    def charge(self) -> int:
        """Characters on the bill."""
        return sum(line.charged for line in self.bill.values())

    @property
    def sum(self) -> Line:
        """Of the whole bill."""
        return _total(self.bill.values())


def _total(lines: Iterable[Line]) -> Line:
    total = Line()
    for line in lines:
        total = total.plus(line)
    return total


_tally: ContextVar[Tally | None] = ContextVar("tally", default=None)


def tally() -> Tally | None:
    """Of the request that this task works for; None: for none."""
    return _tally.get()


def begin(own: Tally) -> Token[Tally | None]:
    """From here on, and in tasks begun from here, what is made is noted in `own`; until `end`."""
    return _tally.set(own)


def end(token: Token[Tally | None]) -> None:
    """As it was before."""
    _tally.reset(token)


@contextmanager
def tallying(own: Tally | None) -> Iterator[None]:
    """Within it, and in tasks begun there, what is made is noted in `own`; None: nowhere."""
    token = _tally.set(own)
    try:
        yield
    finally:
        _tally.reset(token)

"""What one request has had made, noted where it is made and charged where the request ends."""

import asyncio
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import NamedTuple


class Line(NamedTuple):
    """What there was of one voice by one provider. Characters as they were sent, money in the prices' currency."""

    charged: int = 0
    saved: int = 0
    spend: float = 0.0
    spared: float = 0.0

    def plus(self, other: "Line") -> "Line":
        """Both together."""
        return Line(
            self.charged + other.charged,
            self.saved + other.saved,
            self.spend + other.spend,
            self.spared + other.spared,
        )


@dataclass(slots=True)
class Tally:
    """Lines by voice and provider. `places` bounds how much of its user's is made at once; None: nothing does."""

    places: asyncio.Semaphore | None = None
    lines: dict[tuple[str, str], Line] = field(default_factory=dict)

    def add(self, voice: str, provider: str, line: Line) -> None:
        """One clip more."""
        place = (voice, provider)
        before = self.lines.get(place)
        self.lines[place] = line if before is None else before.plus(line)

    @property
    def sum(self) -> Line:
        """Of all."""
        total = Line()
        for line in self.lines.values():
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

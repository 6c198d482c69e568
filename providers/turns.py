"""Who is next: those who wait in this process, by turns of those for whom they wait."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Owner:
    """`present`: how many of his wait, or are at the head."""

    turns: deque[asyncio.Future[None]] = field(default_factory=deque)
    present: int = 0


class Turns:
    """One is at the head at a time. Whoever has two hundred waiting has one turn in the round, like everybody else."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str | None, _Owner] = OrderedDict()
        self._head: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> int:
        """How many wait, the head among them."""
        return sum(owner.present for owner in self._owners.values())

    @asynccontextmanager
    async def head(self, owner: str | None) -> AsyncGenerator[None]:
        """Entering waits until it is this one's turn; leaving makes it the next one's."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        his = self._owners.setdefault(owner, _Owner())
        his.turns.append(turn)
        his.present += 1
        self._advance()
        try:
            await turn
            yield
        finally:
            # Cancelled while it waited, or in the moment in which its turn came: either way the others go on.
            if self._head is turn:
                self._head = None
                self._owners.move_to_end(owner)  # everybody who has come meanwhile comes first
            else:
                his.turns.remove(turn)
            his.present -= 1
            if not his.present:
                del self._owners[owner]
            self._advance()

    def _advance(self) -> None:
        if self._head is not None:
            return
        for his in self._owners.values():
            # Who was cancelled a moment ago, and has not come to leave yet, is passed over.
            turn = next((turn for turn in his.turns if not turn.done()), None)
            if turn is not None:
                his.turns.remove(turn)
                self._head = turn
                turn.set_result(None)
                return

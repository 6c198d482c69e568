"""What a leader does beside making: keep the lease, and let other replicas hear what there is."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from cache.lease import Alone, Lead, Leases
from cache.passage import Passage

_BATCH_BYTES = 256 * 1024
_BATCH_PIECES = 256


class Leading:
    """One claim to one flight. `token` is no other's; `sleep` takes seconds."""

    def __init__(
        self, leases: Leases, passage: Passage, token: str, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._leases = leases
        self._passage = passage
        self._token = token
        self._sleep = sleep

    async def renew(self) -> None:
        """Keep the lease, until cancelled.

        One that is lost, or was never had since Redis was away, is taken if nobody has it; else it is let be.
        """
        digest = self._passage.digest
        while True:
            await self._sleep(self._leases.length / 3)
            if await self._leases.renew(digest, self._token):
                continue
            standing = await self._leases.join(digest, self._token, anew=self._passage.anew)
            if not isinstance(standing, Lead | Alone):
                return

    async def publish(self) -> None:
        """Send the pieces after one another as they come, until the flight is over; many at once where Redis lags.

        Nobody here waits for it: the maker and its own listeners go on at their pace. What cannot be sent is tried
        again a little later; what is not sent before the end goes with the whole.
        """
        passage, pieces, sent = self._passage, self._passage.take.pieces, 0
        while not passage.over:
            # Taken before anything is awaited: what changes while we send is not missed.
            changed = passage.changed
            pause = None
            if sent < len(pieces):
                there = await self._leases.publish(passage.digest, self._token, sent, batch(pieces, sent))
                if there is not None:
                    sent = there
                    continue
                pause = self._leases.length / 3
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await changed.wait()


def batch(pieces: Sequence[bytes], start: int) -> list[bytes]:
    """Pieces from `start` on, one at least, for one command: a long one would hold up everybody else's."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces[start : start + _BATCH_PIECES]:
        size += len(piece)
        if batch and size > _BATCH_BYTES:
            break
        batch.append(piece)
    return batch

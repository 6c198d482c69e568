"""A queue of entries in which nobody's drive out others': who has more than his share leaves first."""

from collections import OrderedDict
from dataclasses import dataclass, field

from cache.interface import Entry


@dataclass(slots=True, eq=False)
class Place:
    """An entry that is kept. `owner` asked for it first; None: several did, or nobody in particular.

    `size` is in bytes, `until` in seconds since the epoch, `uses` since it was last looked at for its use.
    """

    entry: Entry
    size: int
    until: float
    owner: str | None = field(repr=False)
    uses: int = 0


@dataclass(slots=True, eq=False)
class _Holding:
    """What one owner has in the queue, the oldest first."""

    digests: OrderedDict[str, None] = field(default_factory=OrderedDict)
    bytes: int = 0


class FairQueue:
    """Places by digest, the oldest first. Every step takes the same time, however many places and owners there are.

    `share` is how many bytes an owner may have here before his are the first to leave. It binds nobody while there is
    room: who is alone may have all. An owner who has nothing here is not known.
    """

    def __init__(self, share: float) -> None:
        self.bytes = 0
        self._share = share
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._holdings: dict[str, _Holding] = {}
        self._over: dict[str, _Holding] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, digest: str) -> bool:
        return digest in self._places

    def append(self, digest: str, place: Place) -> None:
        """As the newest; it is not there."""
        self._places[digest] = place
        self.bytes += place.size
        owner = place.owner
        if owner is None:
            return
        holding = self._holdings.get(owner)
        if holding is None:
            holding = self._holdings[owner] = _Holding()
        holding.digests[digest] = None
        holding.bytes += place.size
        self._weigh(owner, holding)

    def remove(self, digest: str) -> Place | None:
        """Out of the queue, if it is in it."""
        place = self._places.pop(digest, None)
        if place is not None:
            self.bytes -= place.size
            self._release(digest, place)
        return place

    def pop(self) -> tuple[str, Place]:
        """The oldest of somebody who has more than his share; where nobody has, the oldest of all.

        Raises:
            KeyError: it is empty.
        """
        for holding in self._over.values():
            digest = next(iter(holding.digests))
            place = self._places.pop(digest)
            break
        else:
            digest, place = self._places.popitem(last=False)
        self.bytes -= place.size
        self._release(digest, place)
        return digest, place

    def share(self, digest: str) -> None:
        """Another asks for what is one owner's: from now on it is everybody's, and counts for nobody."""
        place = self._places[digest]
        self._release(digest, place)
        place.owner = None

    def clear(self) -> None:
        """Forget everything."""
        for table in (self._places, self._holdings, self._over):
            table.clear()
        self.bytes = 0

    def _release(self, digest: str, place: Place) -> None:
        owner = place.owner
        if owner is None:
            return
        holding = self._holdings[owner]
        del holding.digests[digest]
        holding.bytes -= place.size
        if not holding.digests:
            del self._holdings[owner]
        self._weigh(owner, holding)

    def _weigh(self, owner: str, holding: _Holding) -> None:
        # One entry is everybody's right: the longest clips, the dearest ones, would never be kept.
        if holding.bytes > self._share and len(holding.digests) > 1:
            self._over[owner] = holding
        else:
            self._over.pop(owner, None)

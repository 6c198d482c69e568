"""What a process has of the Redis that all share."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cache.cluster import Cluster
from cache.errands import Errands
from cache.labels import Labels
from cache.late import Late
from cache.lease import Leases
from cache.ledger import BRIEF, Ledger
from cache.link import Keys, RedisLink
from cache.notices import Notices
from cache.purges import Purges
from cache.redis import RedisTier


@dataclass(frozen=True, slots=True)
class Shared:
    """What a process has of one Redis."""

    link: RedisLink
    errands: Errands
    tier: RedisTier
    notices: Notices
    leases: Leases
    labels: Labels
    purges: Purges
    late: Late
    ledger: Ledger


def share(
    url: str,
    *,
    keys: Keys | None = None,
    lease: float = 1.0,
    timeout: float = 0.1,
    owner_budget: float = math.inf,
    brief: float = BRIEF,
    now: Callable[[], float] = time.time,
) -> Shared:
    """One Redis by its URL (see `cache.address`); connects at first use. Times are in seconds."""
    link = RedisLink(url, keys=keys, timeout=timeout)
    errands = Errands(link)
    # In a cluster each command goes to the node of its key: nothing is taken along.
    tier = RedisTier(link, None if isinstance(link.servers, Cluster) else errands, now=now)
    notices = Notices(link)
    leases = Leases(link, tier, notices, length=lease)
    ledger = Ledger(link, owner_budget, brief=brief, now=now)
    purges = Purges(link)
    return Shared(link, errands, tier, notices, leases, Labels(link, now=now), purges, Late(purges), ledger)

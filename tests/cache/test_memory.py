"""The tier in the process keeps its bound and its order."""

import tracemalloc

from cache.interface import Entry
from cache.memory import OVERHEAD_BYTES, MemoryTier
from cache.value import new_entry


class Clock:
    """Seconds since the epoch, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time the test has set."""
        return self.now


def entry(size: int, made_at: float = 1000.0, ttl: float = 10.0) -> Entry:
    """An entry whose cost to the tier is known."""
    return new_entry(b"", bytes(size), made_at=made_at, ttl=ttl)


def test_the_least_recently_used_goes_first():
    """What is heard often must stay in memory."""
    tier = MemoryTier(3 * (OVERHEAD_BYTES + 100), now=Clock())
    for name in "abc":
        tier.add(name, entry(100))
    assert tier.get("a")
    tier.add("d", entry(100))
    assert [name for name in "abcd" if tier.peek(name)] == ["a", "c", "d"]


def test_the_bound_in_bytes_holds():
    """A process with a bound of 64 MiB must not grow to gigabytes."""
    tier = MemoryTier(50_000, now=Clock())
    for number in range(1000):
        tier.add(str(number), entry(number))
        assert (tier.statistics().bytes or 0) <= 50_000
    assert (tier.statistics().entries or 0) > 10


def test_replacing_and_forgetting_give_the_bytes_back():
    """A counter that drifts would empty the tier, or let it grow."""
    tier = MemoryTier(10_000, now=Clock())
    tier.add("a", entry(5000))
    tier.add("a", entry(10))
    assert tier.statistics().bytes == OVERHEAD_BYTES + 10
    assert tier.discard("a")
    assert not tier.discard("a")
    assert tier.statistics().bytes == 0


def test_what_is_larger_than_the_tier_drives_nothing_out():
    """One long clip must not empty the tier and then not even fit."""
    tier = MemoryTier(10_000, now=Clock())
    tier.add("a", entry(100))
    tier.add("b", entry(20_000))
    assert tier.get("a")
    assert tier.get("b") is None


def test_an_entry_ends_with_its_lifetime():
    """Sound past its hard lifetime must not be served."""
    clock = Clock()
    tier = MemoryTier(10_000, now=clock)
    tier.add("a", entry(1))
    clock.now += 9.9
    assert tier.get("a")
    clock.now += 0.2
    assert tier.get("a") is None
    assert tier.statistics().bytes == 0


def test_a_maker_whose_clock_runs_ahead_lengthens_no_life():
    """Made "in the future" by another machine, an entry would live for as long as that clock is wrong."""
    assert entry(1, made_at=99_999.0).left(1000.0) == 10.0


def test_the_overhead_is_what_python_really_takes():
    """Small entries would otherwise take several times the configured memory."""
    tier = MemoryTier(1 << 40, now=Clock())
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(5000):
        tier.add(f"{number:040x}", entry(100))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.5 < taken / (tier.statistics().bytes or 1) < 1.05

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


ROOM = 20
"""Entries that fit into the small tiers here."""


def small() -> MemoryTier:
    """A tier that holds `ROOM` entries of 100 bytes."""
    return MemoryTier(ROOM * (OVERHEAD_BYTES + 100), now=Clock())


def ask(tier: MemoryTier, name: str) -> bool:
    """As the service does: look, and make what is not there. Whether it was there."""
    found = tier.get(name) is not None
    if not found:
        tier.add(name, entry(100))
    return found


def test_a_flood_of_what_is_asked_once_drives_out_nothing_that_is_in_use():
    """One user who has a million texts spoken would leave all others without memory."""
    tier = small()
    often = [f"often-{number}" for number in range(ROOM // 2)]
    for name in often * 4:
        ask(tier, name)
    for number in range(1000 * ROOM):
        assert not ask(tier, f"flood-{number}")
    assert all(ask(tier, name) for name in often)


def test_a_flood_that_replays_each_text_drives_out_nothing_that_is_in_use():
    """Whoever has a text spoken plays it again, once: that does not make it popular."""
    tier = small()
    often = [f"often-{number}" for number in range(ROOM // 2)]
    for name in often * 4:
        ask(tier, name)
    for number in range(1000 * ROOM):
        ask(tier, f"flood-{number}")
        assert ask(tier, f"flood-{number}")
    assert all(ask(tier, name) for name in often)


def test_what_is_in_use_stays_while_a_flood_comes_in_between():
    """What a crowd asks for right now must not have been popular before the flood to survive it."""
    tier = small()
    often = [f"often-{number}" for number in range(ROOM // 4)]
    asked = found = 0
    for number in range(1000 * ROOM):
        ask(tier, f"flood-{number}")
        asked += 1
        found += ask(tier, often[number % len(often)])
    assert found / asked > 0.99


def ask_as(tier: MemoryTier, owner: str, name: str) -> bool:
    """As `ask`, on somebody's behalf."""
    found = tier.get(name, owner) is not None
    if not found:
        tier.add(name, entry(100), owner)
    return found


def shared_out(owner_share: float = 0.5) -> MemoryTier:
    """As `small`, with a part of it for each owner."""
    return MemoryTier(ROOM * (OVERHEAD_BYTES + 100), owner_share=owner_share, now=Clock())


def test_who_asks_three_times_for_everything_drives_out_his_own_alone():
    """Popular by one user's asking, a million texts would leave all others without memory."""
    tier = shared_out()
    often = [f"often-{number}" for number in range(ROOM // 4)]
    for name in often * 4:
        ask_as(tier, "others", name)
    for number in range(100 * ROOM):
        for _ in range(3):
            ask_as(tier, "flooder", f"flood-{number}")
    assert all(ask_as(tier, "others", name) for name in often)


def test_what_two_ask_for_counts_for_neither():
    """Who happened to ask first for what everybody hears would have his own driven out for it."""
    tier = shared_out(0.3)
    common = [f"common-{number}" for number in range(ROOM // 4)]
    for name in common * 4:
        ask_as(tier, "first", name)
        ask_as(tier, "second", name)
    own = [f"own-{number}" for number in range(ROOM // 4)]
    for name in own * 4:
        ask_as(tier, "first", name)
    for number in range(100 * ROOM):
        for _ in range(3):
            ask_as(tier, "flooder", f"flood-{number}")
    assert all(tier.peek(name) for name in common + own)


def test_new_popularity_replaces_old():
    """What everybody asked for last week must make room in the end."""
    tier = small()
    for name in [f"old-{number}" for number in range(ROOM)] * 10:
        ask(tier, name)
    new = [f"new-{number}" for number in range(ROOM // 2)]
    for name in new * 20:
        ask(tier, name)
    assert all(ask(tier, name) for name in new)


def test_a_second_look_is_no_reason_to_keep_an_entry():
    """A flight looks once more at what its caller has just asked for: every text would seem popular."""
    tier = small()
    for number in range(2 * ROOM):
        tier.add(str(number), entry(100))
        for _ in range(5):
            tier.peek(str(number))
    assert [number for number in range(2 * ROOM) if tier.peek(str(number))] == list(range(ROOM, 2 * ROOM))


def test_a_long_clip_gets_in_though_it_is_longer_than_the_queue_of_newcomers():
    """The longest clips, the dearest ones, would never be kept."""
    tier = small()
    for name in [str(number) for number in range(ROOM)] * 5:
        ask(tier, name)
    tier.add("long", entry(5 * (OVERHEAD_BYTES + 100)))
    assert tier.get("long")


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


def test_a_flood_takes_no_memory_beyond_the_bound():
    """The names of what has gone are remembered, too: of a million they would be hundreds of megabytes."""
    tier = MemoryTier(1000 * (OVERHEAD_BYTES + 100), now=Clock())
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(20_000):
        tier.add(f"{number:040x}", entry(100))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < 1000 * (OVERHEAD_BYTES + 100)

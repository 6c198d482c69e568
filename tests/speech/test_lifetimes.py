"""How long clips live, and when they are old."""

import random

import pytest

from app.speech.lifetimes import Lifetimes
from cache.value import new_entry

DAY = 86_400.0
NOW = 1_800_000_000.0


def aged(days: float):
    """A clip made so long ago."""
    return new_entry(b"{}", b"sound", made_at=NOW - days * DAY, ttl=30 * DAY)


def digests(count: int) -> list[str]:
    """As content gives them: evenly spread."""
    chance = random.Random(7)
    return [f"{chance.getrandbits(160):040x}" for _ in range(count)]


@pytest.mark.parametrize(("chance", "days"), [(0.0, 30.0), (0.5, 28.5), (1.0, 27.0)])
def test_what_was_warmed_together_does_not_expire_together(chance: float, days: float):
    """A month after `refrain warm` every text of a site would be cold in the same minute."""
    lifetimes = Lifetimes(30 * DAY, 3600.0, chance=lambda: chance)
    assert lifetimes.hard(first_choice=True) == pytest.approx(days * DAY)
    assert lifetimes.hard(first_choice=False) == pytest.approx(3600.0 * days / 30)


def test_what_was_made_together_is_not_made_anew_together():
    """A week after `refrain warm` a vendor would be asked for all of it at once."""
    lifetimes = Lifetimes(30 * DAY, 3600.0, 7 * DAY)
    names = digests(2_000)

    def stale(days: float) -> float:
        return sum(lifetimes.is_stale(name, aged(days), NOW) for name in names) / len(names)

    assert stale(6.29) == 0.0
    assert stale(6.65) == pytest.approx(0.5, abs=0.1)
    assert stale(7.01) == 1.0


def test_replicas_agree_on_what_is_old():
    """One would refresh what the other holds for fresh, and the listener would hear now one, now the other."""
    one, two = (Lifetimes(30 * DAY, 3600.0, 7 * DAY) for _ in range(2))
    names = digests(500)
    assert [one.is_stale(name, aged(6.65), NOW) for name in names] == [
        two.is_stale(name, aged(6.65), NOW) for name in names
    ]


def test_never_is_never():
    """An operator who pays for each character would pay again for what he has."""
    assert not Lifetimes(30 * DAY, 3600.0, None).is_stale("f" * 40, aged(29), NOW)


def test_a_clock_that_runs_ahead_makes_nothing_old():
    """What a replica with a wrong clock made would be made anew with every hit elsewhere."""
    assert not Lifetimes(30 * DAY, 3600.0, 7 * DAY).is_stale("f" * 40, aged(-10), NOW)

import itertools
import random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text.matching import beside, matched
from tests.growth import is_linear

ITEMS = st.lists(st.integers(0, 6), max_size=30)


@given(ITEMS, ITEMS)
def test_pairs_are_equal_and_never_cross(these: list[int], those: list[int]):
    """A crossing would send a caption back and forth over the page."""
    pairs = matched(these, those)
    assert all(these[at] == those[other] for at, other in pairs)
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(pairs))


@given(ITEMS)
def test_a_sequence_matches_itself(items: list[int]):
    """Plain text must be mapped without a gap."""
    assert matched(items, items) == [(at, at) for at in range(len(items))]


def test_what_was_moved_costs_itself_only():
    """A headline from the foot of a page must not take the captions of all that it jumps over."""
    moved = [*range(50, 60), *range(50), *range(60, 100)]
    assert [other for _, other in matched(moved, range(100))] == [*range(50), *range(60, 100)]


@pytest.mark.parametrize(
    ("these", "those", "pairs"),
    [
        ([1, 2, 1, 2, 9, 2, 1], [1, 9, 1], [(0, 0), (4, 1), (6, 2)]),
        ([8, 1, 1, 7], [7, 1, 1, 8], [(1, 1), (2, 2)]),
        ([3, 1, 2, 1, 2, 4], [5, 1, 2, 1, 2, 6], [(1, 1), (2, 2), (3, 3), (4, 4)]),
        ([5, 0, 1, 1, 1, 6], [7, 1, 8], [(2, 1)]),
        ([5, *[0] * 40, 1, 1, 1, 6], [7, 1, 8], []),
        ([5, *[0] * 40, 1, 0, 6], [7, 1, 8], [(41, 1)]),
        ([5, 1, 2, 1, 2, 2, 6], [7, 1, 1, 2, 8, 2, 9], [(1, 1), (3, 2), (4, 3), (5, 5)]),
        ([], [1], []),
    ],
)
def test_pairs_by_hand(these: list[int], those: list[int], pairs: list[tuple[int, int]]):
    """What is unique decides, then what is near; what is far and not unique is left alone."""
    assert matched(these, those) == pairs


@pytest.mark.parametrize("vocabulary", [40, 400])
def test_prose_with_insertions_on_both_sides_is_matched(vocabulary: int):
    """Pages have menus that are not read, and readers say words that are not on the page."""
    dice = random.Random(7)
    words = range(3, vocabulary)
    weights = [1 / rank for rank in words]
    these: list[int] = []
    those: list[int] = []
    true: list[tuple[int, int]] = []
    for _ in range(400):
        these += dice.choices(words, weights, k=dice.choice([0, 0, 1, 3, 30]))
        those += dice.choices(words, weights, k=dice.choice([0, 0, 0, 1, 4]))
        for word in dice.choices(words, weights, k=dice.randint(3, 25)):
            true.append((len(these), len(those)))
            these.append(word)
            those.append(word)
    found = matched(these, those)
    right = set(found) & set(true)
    assert len(right) > 0.95 * len(true)
    assert len(found) - len(right) < 0.05 * len(true)


@pytest.mark.parametrize("names", [1, 2, 3, 50, 10**9])
def test_time_is_linear(names: int):
    """Repeated words are cheap to send."""

    def seconds(count: int) -> float:
        dice = random.Random(3)
        these = [-1, *(dice.randrange(names) for _ in range(count)), -2]
        those = [-3, *(dice.randrange(names) for _ in range(count * 9 // 10)), -4]
        begun = process_time()
        matched(these, those)
        return process_time() - begun

    assert is_linear(seconds, 5_000, 50_000)


def test_equal_items_beside_a_pair_belong_to_it():
    """A sentence would lose its full stop, or one that stands between strangers would be taken for another's."""
    these, those = [8, 1, 9, 2, 9, 7], [8, 1, 9, 5, 9, 6, 9, 2, 7]
    assert beside(these, those, [(1, 1), (3, 7)]) == [(0, 0), (1, 1), (2, 2), (3, 7), (5, 8)]
    assert beside([], [], []) == []

"""Which items of one sequence are which of another, where both have mostly the same ones in the same order."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

# How many items in a row must be found once only, in both, to be taken for the same; the next round is finer and
# looks only between what the rounds before have matched.
_ROUNDS: Final = (4, 2, 1)
_NEAR: Final = 32  # items that are looked through for one that is not unique
_REPEATED: Final = -1

# A stretch of both that has not been matched: begin and end in the one, begin and end in the other.
_Gap = tuple[int, int, int, int]
_Pair = tuple[int, int]


def matched(these: Sequence[int], those: Sequence[int]) -> list[_Pair]:
    """Pairs of positions of equal items, ascending in both.

    Finds all where the sequences are equal, and most where one has stretches that the other has not. Takes
    n log n time for any sequences.
    """
    pairs: list[_Pair] = []
    gaps: list[_Gap] = [(0, len(these), 0, len(those))]
    for length in _ROUNDS:
        finer: list[_Gap] = []
        for gap in gaps:
            inner = _trimmed(these, those, gap, pairs)
            finer += _split(inner, _anchors(these, those, inner, length), pairs)
        gaps = finer
    for gap in gaps:
        pairs += _nearest(these, those, _trimmed(these, those, gap, pairs))
    pairs.sort()
    return pairs


def beside(these: Sequence[int], those: Sequence[int], pairs: list[_Pair]) -> list[_Pair]:
    """The pairs, and with them the equal items that stand next to one in both, or at one end of both.

    `pairs` ascend in both; so does what is returned. Linear.
    """
    found: list[_Pair] = []
    for gap in _split((0, len(these), 0, len(those)), pairs, found):
        _trimmed(these, those, gap, found)
    return sorted(found)


def _trimmed(these: Sequence[int], those: Sequence[int], gap: _Gap, pairs: list[_Pair]) -> _Gap:
    """What is left of a gap when its ends are the same; those are put to the pairs."""
    begin, end, other, other_end = gap
    while begin < end and other < other_end and these[begin] == those[other]:
        pairs.append((begin, other))
        begin, other = begin + 1, other + 1
    while begin < end and other < other_end and these[end - 1] == those[other_end - 1]:
        end, other_end = end - 1, other_end - 1
        pairs.append((end, other_end))
    return begin, end, other, other_end


def _split(gap: _Gap, anchors: list[_Pair], pairs: list[_Pair]) -> Iterator[_Gap]:
    """The gaps between the anchors, where both sides have something; the anchors are put to the pairs."""
    begin, end, other, other_end = gap
    for anchor in [*anchors, (end, other_end)]:
        if begin < anchor[0] and other < anchor[1]:
            yield begin, anchor[0], other, anchor[1]
        begin, other = anchor[0] + 1, anchor[1] + 1
    pairs += anchors


def _anchors(these: Sequence[int], those: Sequence[int], gap: _Gap, length: int) -> list[_Pair]:
    """Where runs of `length` items begin that each side of the gap has once: the longest list without crossings."""
    begin, end, other, other_end = gap
    if end - begin < length or other_end - other < length:
        return []
    once = _once(these, begin, end, length)
    found = _once(those, other, other_end, length)
    pairs = [
        (once[run], at)
        for run, at in found.items()
        if at != _REPEATED
        and once.get(run, _REPEATED) != _REPEATED
        and these[once[run] : once[run] + length] == those[at : at + length]
    ]
    return _ascending(pairs)


def _once(items: Sequence[int], begin: int, end: int, length: int) -> dict[int, int]:
    """Each run, by its hash, and where it begins."""
    found: dict[int, int] = {}
    for at in range(begin, end - length + 1):
        run = hash(tuple(items[at : at + length]))
        found[run] = _REPEATED if run in found else at
    return found


def _ascending(pairs: list[_Pair]) -> list[_Pair]:
    """The longest selection of pairs that ascends on both sides; given are pairs that ascend on the second."""
    last: list[int] = []  # the smallest end of an ascending selection of each length, and which pair that is
    which: list[int] = []
    before: list[int] = []
    for index, (at, _) in enumerate(pairs):
        place = bisect_left(last, at)
        before.append(which[place - 1] if place else -1)
        last[place : place + 1] = [at]
        which[place : place + 1] = [index]
    chosen: list[_Pair] = []
    index = which[-1] if which else -1
    while index >= 0:
        chosen.append(pairs[index])
        index = before[index]
    return chosen[::-1]


def _nearest(these: Sequence[int], those: Sequence[int], gap: _Gap) -> Iterator[_Pair]:
    """Each item of the other side with the next equal one, if it is near."""
    begin, end, other, other_end = gap
    for at in range(other, other_end):
        try:
            found = these.index(those[at], begin, min(begin + _NEAR, end))
        except ValueError:
            continue
        yield found, at
        begin = found + 1

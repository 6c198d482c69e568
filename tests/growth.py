"""Whether work grows with its input as it should, on a machine that others use as well."""

from collections.abc import Callable
from math import inf

_ROUNDS = 6


def is_linear(cost: Callable[[int], float], few: int, many: int, *, slack: float = 0.05) -> bool:
    """Whether `cost(many)` is under three times what `cost(few)` promises, both in seconds, `slack` aside.

    The fastest of up to six rounds counts: noise only ever adds. What grows with the square fails by far where `many`
    is eight times `few` or more.
    """
    small = large = inf
    for _ in range(_ROUNDS):
        large = min(large, cost(many))
        if large < slack:
            return True
        small = min(small, cost(few))
        if large < slack + 3 * many / few * small:
            return True
    return False

"""Where a text may be cut without tearing what a reader sees as one character."""

from typing import Final

import regex

_CLUSTER: Final = regex.compile(r"\X")
_REGIONAL: Final = regex.compile("[\U0001f1e6-\U0001f1ff]+")
_AROUND: Final = 128  # characters in front of a cut that are read; clusters of living languages have under 20


def cut(text: str, start: int, limit: int) -> int:
    r"""The last place in (start, limit] where no grapheme is torn; `limit` where a cluster is longer than that.

    `start` must be such a place itself. Reads a bounded stretch: `\X` over a long run of flags takes quadratic time.
    """
    if limit >= len(text):
        return len(text)
    begin = start if limit - start <= _AROUND else _aligned(text, start, limit - _AROUND)
    last = start
    # A slice, not positions: the engine would count flags from the beginning of the whole text at each of them.
    for cluster in _CLUSTER.finditer(text[begin : limit + _AROUND]):
        if begin + cluster.end() > limit:
            break
        last = begin + cluster.end()
    return last if last > start else limit


def _aligned(text: str, start: int, position: int) -> int:
    """A place near `position` from which clusters can be counted: never between the two halves of a flag."""
    run = position
    while run > start and _REGIONAL.match(text[run]):
        run -= 1
    run += not _REGIONAL.match(text[run])
    return position - max(position - run, 0) % 2

"""Further marks on a document: the operator's pronunciations beside the author's own markup."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from app.text.document import ATOMIC, Document, Mark


def annotated(document: Document, more: Sequence[Mark]) -> Document:
    """The document with these marks as well, as far as its own leave room for them.

    `more` are in order, none empty, none within another. Left out are those that lie in what the author says how to
    speak (`ATOMIC`), and those that an author's tag or break would cut.
    """
    if not more:
        return document
    free = _Free(document.marks)
    kept = [mark for mark in more if free(mark)]
    return replace(document, marks=_merged(document.marks, kept))


class _Free:
    """Whether a stretch is free of edges of marks and not within one that is spoken whole."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._edges = sorted(edge for mark in marks for edge in (mark.start, mark.end))
        self._whole = [mark for mark in marks if mark.element in ATOMIC]
        self._starts = [mark.start for mark in self._whole]

    def __call__(self, mark: Mark) -> bool:
        cut = bisect_right(self._edges, mark.start) < bisect_left(self._edges, mark.end)
        at = bisect_right(self._starts, mark.start) - 1
        return not cut and not (at >= 0 and mark.start < self._whole[at].end)


def _merged(marks: Sequence[Mark], more: Sequence[Mark]) -> tuple[Mark, ...]:
    """In the order in which they open: no mark of `more` has one of `marks` within, so at one place it comes last."""
    return tuple(sorted([*marks, *more], key=lambda mark: mark.start))  # stable

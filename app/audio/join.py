"""Clips, found or made, to the bytes of one response."""

from collections.abc import Sequence

from app.audio.formats import Output
from app.audio.joiners import Bytes


def join(output: Output, clips: Sequence[tuple[Bytes, int]]) -> list[Bytes]:
    """A whole response, from each clip's payload and samples at 24 kHz.

    Raises:
        ValueError: as `Joiner.add`.
    """
    joining = output.joiner()
    head = joining.head(sum(samples for _, samples in clips))
    parts = [head, *(joining.add(payload, last=True) for payload, _ in clips), joining.end()]
    return [part for part in parts if part]


def extents(output: Output, clips: Sequence[tuple[int, int]]) -> list[int]:
    """Bytes of the response's head, of each clip in it, and of its end, from each clip's bytes and samples."""
    joining = output.joiner()
    head = joining.head(sum(samples for _, samples in clips))
    return [len(head), *(joining.skip(payload, samples) for payload, samples in clips), len(joining.end())]

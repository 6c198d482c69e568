"""Clips, found or made, to the bytes of one response."""

from collections.abc import Sequence

from app.audio.formats import Format, refuse_rate
from app.audio.joiners import Bytes, Joiner


def joiner(fmt: Format, sample_rate: int) -> Joiner:
    """A new joiner for one response.

    Raises:
        ValueError: the format does not come at this sample rate (Hz).
    """
    refuse_rate(fmt, sample_rate)
    return fmt.joiner(sample_rate)


def join(fmt: Format, sample_rate: int, clips: Sequence[tuple[Bytes, int]]) -> list[Bytes]:
    """A whole hit's bytes, from each clip's payload and samples at 24 kHz.

    Raises:
        ValueError: as `joiner` and `Joiner.add`.
    """
    joining = joiner(fmt, sample_rate)
    head = joining.head(sum(samples for _, samples in clips))
    parts = [head, *(joining.add(payload, last=True) for payload, _ in clips), joining.end()]
    return [part for part in parts if part]

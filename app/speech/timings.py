"""When words are spoken, from the provider's clock to the clip's."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from app.audio.edges import RATE
from app.audio.recorder import Recorded
from providers.interface import Timing

Placed = tuple[int, int, int, int]
"""First character, the one behind the last, first sample (at 24 kHz), the one behind the last."""

NONE: Final = msgspec.Raw(b"[]")
"""Packed, no timings at all."""


def packed(timings: Sequence[Placed]) -> msgspec.Raw:
    """As it is kept in JSON. Unread until captions are asked for: 100 words take 8 us, which a hit need not spend."""
    return msgspec.Raw(msgspec.json.encode(timings)) if timings else NONE


def unpacked(timings: msgspec.Raw) -> tuple[Placed, ...]:
    """What `packed` was given."""
    return msgspec.json.decode(timings, type=tuple[Placed, ...])


def on_clip(
    timings: Sequence[Timing], recorded: Recorded, *, characters: int, tempo: float
) -> tuple[Placed, ...]:
    """A provider's timings on the clip's own clock: in order, none overlapping, all where there is sound.

    `characters` is the length of the text they are about, `tempo` how much faster the sound was made. What makes
    no sense (beyond the text, out of order, no number) is left out or moved to the nearest time that does: wrong
    captions are not worth a clip.
    """
    placed: list[Placed] = []
    character, sample = 0, recorded.audible[0]
    for timing in timings:
        if not (character <= timing.start < timing.end <= characters):
            continue
        if not (math.isfinite(timing.begins) and math.isfinite(timing.ends)):
            continue
        begins = _within(recorded, sample, timing.begins / tempo)
        sample = _within(recorded, begins, timing.ends / tempo)
        character = timing.end
        placed.append((timing.start, timing.end, begins, sample))
    return tuple(placed)


def _within(recorded: Recorded, earliest: int, seconds: float) -> int:
    """That moment as a sample, not before `earliest`, not behind the last sound."""
    sample = seconds * RATE + recorded.lead  # of any size: to be bounded before it is rounded
    return round(min(max(earliest, sample), recorded.audible[1]))

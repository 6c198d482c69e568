"""A detector of clicks: single steps that do not belong to the sound around them."""

import numpy as np
from numpy.typing import NDArray

_AROUND = 0.004  # seconds of sound on each side that a click is held against
_ITSELF = 0.0005  # seconds on each side that belong to it
_STANDS_OUT = 8


def roughness(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each sample is from the line between its neighbours; a step of n is n or more, twice."""
    return np.abs(np.diff(sound, 2, prepend=sound[0], append=sound[-1]))


def clicks(sound: NDArray[np.float64], rate: int, places: list[tuple[int, int]]) -> list[int]:
    """Samples within `places` (from, to) where something clicks.

    There the sound must be rougher than speech mostly is, and `_STANDS_OUT` times as rough as at its roughest in
    the few milliseconds around: in speech roughness swells and fades, a click stands alone.
    """
    rough = roughness(sound)
    audible = rough[np.abs(sound) > 300]
    usual = float(np.median(audible)) if len(audible) else 0.0
    around, itself = round(_AROUND * rate), round(_ITSELF * rate)
    mask = np.ones(2 * around + 1, bool)
    mask[around - itself : around + itself + 1] = False
    found = []
    for start, end in places:
        padded = np.pad(rough, around)[max(0, start) : min(end, len(rough)) + 2 * around]
        for at in np.flatnonzero(rough[max(0, start) : end] > usual):
            beside = padded[at : at + 2 * around + 1][mask]
            if rough[max(0, start) + at] > _STANDS_OUT * np.max(beside):
                found.append(max(0, start) + int(at))
    return found

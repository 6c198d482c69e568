"""A gain that keeps the true peak below a ceiling: lowered only around what would pass it, never a delay.

Sound goes through in windows of 5 ms, counted from the first sample, so the result does not depend on how it came
in pieces. Each window allows a gain by its own peak, and after a peak the gain comes back within 100 ms. At the
border of two windows it is the lower of theirs, between borders it follows a straight line: it is down before a
peak begins, and no window ever has more than it allows. So one window is held until its neighbour is known.

A player's converter draws a curve through the samples that may pass above all of them. The curve is looked at in
four points per sample, as BS.1770 has it, but only where the samples are high enough for that to matter.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.audio.check import Samples
from app.audio.rate import to_16_bits

_WINDOW: Final = 120
# Samples that a point of the curve depends on, besides the one in front of it.
_BEFORE: Final = 11
_BEHIND: Final = 12
# Where the sample in front of a point and those so far from it are low, so is the point.
_NEAR: Final = (-2, -1, 1, 2, 3)
_LOW: Final = 0.5  # of the ceiling
_RECOVERY: Final = 0.2  # of what is missing, in each window: 95 % after 70 ms
_AS_GOOD_AS_ONE: Final = 0.999
_AT_ONCE: Final = 200 * _WINDOW  # of a long piece: what is worked on stays in the processor's cache
_NOTHING: Final = np.zeros(0, np.int16)
_RAMP: Final = np.arange(_WINDOW, dtype=np.float32) / _WINDOW

Floats = NDArray[np.floating]


def _curve(point: float) -> Floats:
    """The weights of the samples around for a point between two of them: a windowed sinc, true to 10 kHz."""
    distance = np.arange(-_BEFORE, _BEHIND + 1) - point
    curve = np.sinc(distance) * np.i0(4 * np.sqrt(1 - (distance / _BEHIND) ** 2))
    return np.asarray(curve / curve.sum(), np.float32)


_CURVES: Final = np.stack([_curve(point) for point in (0.25, 0.5, 0.75)])
_TAPS: Final = np.arange(_BEFORE + 1 + _BEHIND)


class Limiter:
    """Makes one clip of mono sound at 24 kHz `gain` times as loud, with peaks of at most `ceiling`.

    `ceiling` is a share of full scale. As many samples come out as go in.
    """

    def __init__(self, gain: float, ceiling: float) -> None:
        self._gain = np.float32(gain)
        self._most = 32_768 * ceiling / gain  # of the sound as it comes
        # The last samples of the window before, and what is no window yet.
        self._coming = np.zeros(_BEFORE, np.float32)
        self._held = np.zeros(0, np.float32)  # a window, or none yet
        self._allowed: list[float] = []  # shares of the gain, of what is held
        self._border: float | None = None  # the share at the beginning of what is held

    def push(self, samples: Samples) -> Samples:
        """What is final by now."""
        pieces = range(0, len(samples), _AT_ONCE)
        return np.concatenate((_NOTHING, *(self._push(samples[at : at + _AT_ONCE]) for at in pieces)))

    def finish(self) -> Samples:
        """The rest."""
        missing = (_BEFORE - len(self._coming)) % _WINDOW
        self._coming = np.concatenate((self._coming, np.zeros(missing + _BEHIND, np.float32)))
        self._take((len(self._coming) - _BEFORE) // _WINDOW)
        whole = self._release(len(self._allowed))
        return whole[: len(whole) - missing]

    def _push(self, samples: Samples) -> Samples:
        self._coming = np.concatenate((self._coming, samples.astype(np.float32)))
        self._take((len(self._coming) - _BEFORE - _BEHIND) // _WINDOW)
        return self._release(max(0, len(self._allowed) - 1))

    def _take(self, windows: int) -> None:
        """Learn what the next windows allow, and hold them."""
        if windows <= 0:
            return
        size = windows * _WINDOW
        sound, around = self._coming[_BEFORE : _BEFORE + size], self._coming[: _BEFORE + size + _BEHIND]
        self._held = np.concatenate((self._held, sound))
        self._coming = self._coming[size:]
        height = np.abs(around)
        if height.max() <= self._most * _LOW:
            self._allow([1.0] * windows)
        else:
            self._allow((self._most / np.maximum(_peaks(around, height, self._most), 1.0)).tolist())

    def _allow(self, shares: list[float]) -> None:
        last = self._allowed[-1] if self._allowed else 1.0
        if last == min(shares) == 1.0:
            self._allowed += shares
            return
        for share in shares:
            last += (1.0 - last) * _RECOVERY
            last = min(1.0 if last > _AS_GOOD_AS_ONE else last, share)
            self._allowed.append(last)

    def _release(self, windows: int) -> Samples:
        if not windows:
            return _NOTHING
        sound, self._held = self._held[: windows * _WINDOW], self._held[windows * _WINDOW :]
        allowed = self._allowed
        borders = [allowed[0] if self._border is None else self._border, *map(min, allowed, allowed[1:])]
        borders = [*borders, allowed[-1]][: windows + 1]
        self._border, self._allowed = borders[-1], allowed[windows:]
        if min(borders) == 1.0:
            return to_16_bits(sound * self._gain)
        lines = np.asarray(borders, np.float32)
        gains = lines[:-1, np.newaxis] + np.diff(lines)[:, np.newaxis] * _RAMP
        return to_16_bits(sound * (gains.ravel() * self._gain))


def _peaks(around: Floats, height: Floats, most: float) -> Floats:
    """Of each window; where none comes near `most`, of its samples instead of its curve.

    `around` is the windows with _BEFORE samples in front and _BEHIND after them, `height` its absolute values. By
    einsum, not by `@`: a matrix product adds up in an order that depends on how many points there are, and its
    result with it.
    """
    inner = slice(_BEFORE, len(around) - _BEHIND)
    peaks: Floats = height[inner].reshape(-1, _WINDOW).max(axis=1)
    high = height > most * _LOW
    near = high[inner].copy()
    for by in _NEAR:
        near |= high[inner.start + by : inner.stop + by]
    at = np.flatnonzero(near)
    points = np.einsum("pt,ct->cp", around[at[:, np.newaxis] + _TAPS], _CURVES)
    np.maximum.at(peaks, at // _WINDOW, np.abs(points).max(axis=0))
    return peaks

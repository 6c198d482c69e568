"""How loud a clip is, in LUFS (ITU-R BS.1770-5, EBU R 128), and how it is brought to one loudness with all others.

The gain belongs to the voice, not to the clip: what is whispered stays softer than what is shouted. Only while
nobody knows how loud a voice speaks is a clip brought to the target by itself: by its beginning, as soon as there is
enough of that to tell, and by the whole where there is not. Either way one gain holds for all of the clip.

The weighting (a shelf for the head, a high pass for what the ear does not count) is applied to spectra of 400 ms,
of which the last 300 are kept: what the filters answer has died down by then, to -200 dB. That is exact, and half
the price of libavfilter's `ebur128`.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.audio.check import Samples
from app.audio.edges import RATE
from app.audio.limiter import Limiter

# A change of how loudness is measured or brought about must change this: it is in the clips' digests.
LOUDNESS_VERSION: Final = "loudness2"
FAINT: Final = -50.0
"""LUFS. What is softer is a breath or a noise: it is neither raised nor taken for how a voice speaks."""
MOST_GAIN: Final = 20.0
"""dB, up or down: a voice farther off is broken, and its noise would be raised with it."""
TRUE_PEAK: Final = -1.0
"""dB of full scale: no listener's decoder gives out more."""

LEAD: Final = 2.0
"""Seconds of a clip's beginning that must count before they may stand for the whole. Of 72 sentences by `hibari` and
`espeak` they were 0.15 dB louder on average, 0.5 dB off in the mean square, and 1.6 dB at the most; single sentences
of one voice are as much apart."""
LONGEST_LEAD: Final = 10.0
"""Seconds of a beginning that are looked at; where they do not tell, the rest is waited for."""
MOST_GUESSED: Final = 10.0
"""dB, up or down. A beginning that is farther off may be a breath or music in front of the voice, and does not tell."""

_CEILING: Final = TRUE_PEAK - 1.0  # what goes into a codec: out of it, peaks are up to 1 dB higher
_NOTHING: Final = np.zeros(0, np.int16)
_WINDOW: Final = RATE // 100
_HOP: Final = 10  # windows from block to block: 100 ms
_BLOCK: Final = 4 * _HOP
_SHORT: Final = 5 * _HOP
_KEPT: Final = 3 * _HOP * _WINDOW
_SPECTRUM: Final = _BLOCK * _WINDOW
_ROWS: Final = 64  # spectra at a time
_ABSOLUTE_GATE: Final = -70.0
_RELATIVE_GATE: Final = -10.0
_EXTENT_GATE: Final = -25.0
_FULL_SCALE: Final = 32_768.0
_STEP: Final = RATE // 2

Energies = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """How loud a sound is, in LUFS, and how many seconds of it were loud enough to count."""

    loudness: float
    seconds: float


def measure(sound: Samples) -> Measured | None:
    """The integrated loudness; None where nothing passes the gate.

    Of a word that is hardly longer than a block (400 ms) only the word counts, or the silence around it would make
    it soft and its clip too loud.
    """
    if len(sound) < _WINDOW:
        return None
    windows = _weighted(sound)
    heard = np.flatnonzero(windows > windows.max() * 10 ** (_EXTENT_GATE / 10))
    if not len(heard):
        return None
    extent = windows[heard[0] : heard[-1] + 1]
    blocks = _blocks(windows) if len(extent) >= _SHORT else extent.mean(keepdims=True)
    loud = blocks[blocks > _energy(_ABSOLUTE_GATE)]
    if not len(loud):
        return None
    counted = loud[loud > loud.mean() * 10 ** (_RELATIVE_GATE / 10)]
    seconds = min(len(extent), (len(counted) - 1) * _HOP + _BLOCK) * _WINDOW / RATE
    return Measured(_lufs(float(counted.mean())), seconds)


def mean(measured: list[Measured]) -> float:
    """The loudness of all of them together, in LUFS: by energy, each as much as it is long."""
    seconds = sum(one.seconds for one in measured)
    return _lufs(sum(_energy(one.loudness) * one.seconds for one in measured) / seconds)


@dataclass(frozen=True, slots=True)
class Leveling:
    """How loud clips shall be, and how loud their voice is known to speak (None: unknown), both in LUFS."""

    target: float
    voice: float | None = None

    @property
    def identity(self) -> str:
        """All of it that decides a clip's bytes and is known beforehand, for the content digest."""
        return f"{LOUDNESS_VERSION} {self.target:g} {self.voice}"


class Leveler:
    """Brings one clip of mono sound at 24 kHz to its loudness. As many samples come out as go in."""

    def __init__(self, leveling: Leveling | None) -> None:
        """Without `leveling` the sound passes as it is."""
        self.measured: Measured | None = None
        """How loud the sound came in: known at its end, where it had to be measured."""
        self._leveling = leveling
        self._measures = leveling is not None and leveling.voice is None
        self._came: list[Samples] = []  # all of it, where it is measured
        self._count = 0
        self._looked_at = int(LEAD * RATE) - _STEP  # less cannot count for enough
        self._limiter: Limiter | None = None
        if leveling is not None and leveling.voice is not None:
            self._limiter = _limiter(leveling.target, leveling.voice)

    def push(self, samples: Samples) -> Samples:
        """What is final by now: nothing while the voice's loudness cannot be told."""
        if self._leveling is None:
            return samples
        if self._measures:
            self._came.append(samples)
            self._count += len(samples)
        if self._limiter is not None:
            return self._limiter.push(samples)
        if (guess := self._guess(self._leveling.target)) is None:
            return _NOTHING
        self._limiter = _limiter(self._leveling.target, guess)
        return self._limiter.push(np.concatenate(self._came))

    def _guess(self, target: float) -> float | None:
        """How loud the voice is by its beginning, in LUFS; None: that cannot be told yet.

        By steps from the first sample on, so that it does not matter in what pieces the sound came.
        """
        last = min(self._count, int(LONGEST_LEAD * RATE)) // _STEP * _STEP
        if last <= self._looked_at:
            return None
        sound = np.concatenate(self._came)
        while self._looked_at < last:
            self._looked_at += _STEP
            begun = measure(sound[: self._looked_at])
            if begun and begun.seconds >= LEAD and abs(target - begun.loudness) <= MOST_GUESSED:
                return begun.loudness
        return None

    def finish(self) -> Samples:
        """The rest."""
        if self._leveling is None:
            return _NOTHING
        sound = np.concatenate((_NOTHING, *self._came))
        self._came.clear()
        if self._measures:
            self.measured = measure(sound)
        if self._limiter is not None:
            return self._limiter.finish()
        limiter = _limiter(self._leveling.target, self.measured.loudness if self.measured else FAINT)
        seconds = [limiter.push(sound[start : start + RATE]) for start in range(0, len(sound), RATE)]
        return np.concatenate((*seconds, limiter.finish()))


def _limiter(target: float, loudness: float) -> Limiter:
    decibels = target - loudness if loudness > FAINT else 0.0
    decibels = min(max(decibels, -MOST_GAIN), MOST_GAIN)
    return Limiter(10 ** (decibels / 20), 10 ** (_CEILING / 20))


def _lufs(energy: float) -> float:
    return -0.691 + 10 * math.log10(energy)


def _energy(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _blocks(windows: Energies) -> Energies:
    """Mean energies of the blocks: 400 ms, one every 100 ms."""
    hops = windows[: len(windows) - len(windows) % _HOP].reshape(-1, _HOP).mean(axis=1)
    return np.convolve(hops, np.full(_BLOCK // _HOP, _HOP / _BLOCK), "valid")


def _weighted(sound: Samples) -> Energies:
    """Mean energy of the weighted sound in each whole window of 10 ms, full scale 1."""
    rows = -(-len(sound) // _KEPT)
    # So many at a time: the spectra of ten minutes would take 400 MB.
    parts = [_weighted_rows(sound, first, min(_ROWS, rows - first)) for first in range(0, rows, _ROWS)]
    return np.concatenate(parts)[: len(sound) // _WINDOW]


def _weighted_rows(sound: Samples, first: int, count: int) -> Energies:
    lead = _SPECTRUM - _KEPT
    begin = first * _KEPT - lead
    padded = np.zeros(count * _KEPT + lead, np.float32)
    piece = sound[max(begin, 0) : begin + len(padded)]
    padded[max(-begin, 0) :][: len(piece)] = piece
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, _SPECTRUM)[::_KEPT])
    weighted = np.fft.irfft(spectra * _response(), _SPECTRUM)[:, lead:]
    windows = np.square(weighted).reshape(-1, _WINDOW).mean(axis=1, dtype=np.float64) / _FULL_SCALE**2
    return np.asarray(windows, np.float64)


@cache
def _response() -> NDArray[np.complex64]:
    """Of both filters, at the frequencies of a spectrum.

    BS.1770 gives coefficients for 48 kHz; these are the analogue filters that they were made from, as libebur128
    has them.
    """
    step = np.exp(-2j * np.pi * np.arange(_SPECTRUM // 2 + 1) / _SPECTRUM)
    k, q = math.tan(math.pi * 1_681.974450955533 / RATE), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = np.polyval([high - band * k / q + k * k, 2 * (k * k - high), high + band * k / q + k * k], step)
    shelf /= np.polyval([1 - k / q + k * k, 2 * (k * k - 1), 1 + k / q + k * k], step)
    k, q = math.tan(math.pi * 38.13547087602444 / RATE), 0.5003270373238773
    rumble = np.square(1 - step) / (
        np.polyval([1 - k / q + k * k, 2 * (k * k - 1), 1 + k / q + k * k], step) / (1 + k / q + k * k)
    )
    return np.asarray(shelf * rumble, np.complex64)

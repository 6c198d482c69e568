"""Is a provider's answer the sound of speech? Cheap checks that run while it arrives.

The thresholds were tried on the default voice, from words of one sound to long sentences (autocorrelation 0.85
to 0.99, |mean| under 2, 0.06 to 0.43 seconds per character), and on the same as broken PCM, shifted by one byte
or in the wrong byte order (autocorrelation under 0.2). Autocorrelation alone would refuse a "Shh": a hiss goes
down to -0.7. But hisses are soft (root mean square of what is not quiet: up to 2,650, at three times the level
6,000), and broken PCM is as loud as uniform random numbers are (13,800 to 18,900).

Soft sound passes these two: shifted by a byte it is itself, 256 times as loud, where it stays within 128 steps.
But its low bytes are then the high bytes of a beginning, 0.2 to 2.5 steps off zero on average, at levels from a
hundredth of the default voice's to five times. Those of true sound are as good as random, 49 to 84 off zero.
"""

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

Kind = Literal[
    "empty",  # no sound at all
    "silent",  # nothing above the threshold of hearing
    "odd_length",  # PCM that ends within a sample
    "dc_offset",  # PCM far off zero
    "noise",  # PCM that is not PCM: shifted, compressed, random
    "too_short",  # less sound than anybody can speak the text in
    "too_long",  # more sound than anybody needs for the text
    "pace",  # sound as fast or slow as nobody speaks: at another sample rate, or not of this text
    "not_sound",  # a page, JSON or another container where sound was announced
    "cut",  # a file that ends before it is complete
    "unreadable",  # a file that no decoder takes
]

_LOUDEST_OFFSET: Final = 1_000
_LEAST_AUTOCORRELATION: Final = 0.5
_LEAST_PEAK: Final = 100
_EARLY_AUTOCORRELATION: Final = 0.2
_CLEAR: Final = (
    1_000  # what is softer may be anything: the noise of a quiet room, shifted by a byte, is 256 to 768
)
_CLEAR_ENOUGH: Final = 0.02  # seconds of it, for a first verdict
_LOUDEST_HISS: Final = 10_000
_LONGEST_HISS: Final = 2.0  # seconds
_LEAST_LOW_BYTE: Final = 16  # on average, taken as signed and without its sign
_MOST_LOW_BYTES_ALIKE: Final = 0.95  # more of one value: sound that once had 8 bits
_CLIPPED: Final = 32_000
_MEASURED_TOGETHER: Final = 1.0  # seconds
_SNIFFED: Final = 64
_NOTHING: Final = np.zeros(0, np.int16)
_CONTAINERS: Final = (b"RIFF", b"fLaC", b"OggS", b"ID3\x02", b"ID3\x03", b"ID3\x04", b"\x1aE\xdf\xa3")


class BadSound(Exception):
    """A provider's answer is not sound for this text. The message carries neither the text nor the answer."""

    def __init__(self, kind: Kind, message: str) -> None:
        """`kind` is stable and meant for counters; `message` is for people."""
        super().__init__(message)
        self.kind: Kind = kind


def most_seconds(characters: int) -> float:
    """The longest sound, in seconds, that is believed for a text of so many characters.

    Normal speech takes 0.07 s per character, a long number 0.28; at a quarter of the pace four times that.
    """
    return 20.0 + 1.0 * characters


def least_seconds(characters: int) -> float:
    """The shortest audible sound, in seconds, that is believed for a text of so many characters.

    Normal speech at four times the pace takes 0.017 s per character. The first 40 characters are free: they
    may be markup or symbols that nobody speaks.
    """
    return max(0.03, 0.008 * (characters - 40))


def refuse_text(head: bytes) -> None:
    """Raise if sound begins like a page or JSON. `head`: its first 128 bytes, or all of it.

    One byte proves nothing (PCM may begin with a sample of 60), so 64 of them, all text, are asked for.

    Raises:
        BadSound: `not_sound`.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:_SNIFFED]
    if start.startswith((b"<", b"{", b"[")) and _is_text(start):
        raise BadSound("not_sound", "The provider sent a page or JSON where sound was announced.")


def refuse_container(head: bytes) -> None:
    """Raise if raw PCM begins like a file.

    Raises:
        BadSound: `not_sound`.
    """
    if head.startswith(_CONTAINERS) or head[4:8] == b"ftyp":
        raise BadSound("not_sound", "The provider sent a file where raw PCM was announced.")


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)  # noqa: PLR2004 - 32 is the space


def dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The sum of products, in this thread.

    Not `@`: over 10,000 values it wakes a thread per core, and they burn more time waiting than is saved.
    """
    return float(np.einsum("i,i->", one, other))


def _noise() -> BadSound:
    return BadSound("noise", "The provider's sound is noise: shifted, compressed or random bytes.")


def _is_shifted(opening: Samples) -> bool:
    """Whether the low bytes of a beginning are those of no sound, but the high bytes of one."""
    low = opening[~_at_least(_CLIPPED, opening)].astype(np.int8).astype(np.int16)
    if not len(low):
        return False
    alike = np.count_nonzero(low == low[0]) > _MOST_LOW_BYTES_ALIKE * len(low)
    return not alike and float(np.abs(low).mean()) < _LEAST_LOW_BYTE


class Meter:
    """Adds up what the checks need to know of mono sound at the provider's own rate.

    At that rate and not later: resampling up makes noise smooth, and noise would pass. All sums are of
    integers below 2**53 and so exact: the last verdict does not depend on how the sound came in pieces.
    """

    def __init__(self, sample_rate: int, characters: int) -> None:
        """`sample_rate` in Hz; `characters` of the text that is spoken."""
        self._rate = sample_rate
        self._most = most_seconds(characters)
        self._arrived = 0
        self._waiting: list[Samples] = []  # what is not measured yet
        self._count = 0  # of what is, as all below
        self._loud = 0
        self._clear = 0
        self._clear_squares = 0.0
        self._opening = _NOTHING  # what is clear of the beginning
        self._sum = 0.0
        self._squares = 0.0
        self._products = 0.0
        self._peak = 0
        self._last = 0.0
        self.begun = False
        """Whether what was heard so far is good enough to be passed on; very soft sound never is."""

    def push(self, samples: Samples) -> None:
        """Take in more sound. Once it has begun well, it is measured by the second: small pieces cost more.

        Raises:
            BadSound: `too_long`, or `noise` as loud as only broken PCM is.
        """
        self._arrived += len(samples)
        if self._arrived > self._most * self._rate:
            raise BadSound("too_long", f"The provider spoke over {self._most:.0f} s, too long for the text.")
        self._waiting.append(samples)
        together = self._arrived - self._count >= _MEASURED_TOGETHER * self._rate
        if together or (not self.begun and len(samples) and _highest(samples) >= _CLEAR):
            self._measure()

    def finish(self) -> None:
        """Give the verdict on all of it.

        Raises:
            BadSound: `empty`, `silent`, `dc_offset`, `noise`.
        """
        self._measure()
        if not self._count:
            raise BadSound("empty", "The provider sent no sound.")
        if self._peak < _LEAST_PEAK:
            raise BadSound("silent", "The provider sent silence.")
        hiss = self._autocorrelation() < _LEAST_AUTOCORRELATION
        if hiss and (self._too_loud() or self._loud > _LONGEST_HISS * self._rate):
            raise _noise()
        if abs(self._sum / self._count) > _LOUDEST_OFFSET:
            raise BadSound("dc_offset", "The provider's sound is far off zero: it is no PCM of 16 bits.")

    def _measure(self) -> None:
        samples = np.concatenate(self._waiting) if self._waiting else _NOTHING
        self._waiting.clear()
        if not len(samples):
            return
        self._add(samples)
        if self._clear < _CLEAR_ENOUGH * self._rate:
            return
        smoothness = self._autocorrelation()
        if self._too_loud() and smoothness < _EARLY_AUTOCORRELATION:
            raise _noise()
        self.begun = not self._too_loud() or smoothness >= _LEAST_AUTOCORRELATION

    def _add(self, samples: Samples) -> None:
        exact = samples.astype(np.float64)
        self._count += len(samples)
        self._sum += float(exact.sum())
        self._squares += dot(exact, exact)
        self._products += dot(exact[1:], exact[:-1]) + self._last * float(exact[0])
        self._last = float(exact[-1])
        self._peak = max(self._peak, _highest(samples))
        self._loud += int(np.count_nonzero(_at_least(_LEAST_PEAK, samples)))
        clear = _at_least(_CLEAR, samples)
        self._clear += int(np.count_nonzero(clear))
        exact *= clear
        self._clear_squares += dot(exact, exact)
        self._add_opening(samples, clear)

    def _add_opening(self, samples: Samples, clear: NDArray[np.bool_]) -> None:
        """Judged when it is complete, and so the same however the sound comes in pieces."""
        missing = math.ceil(_CLEAR_ENOUGH * self._rate) - len(self._opening)
        if missing <= 0:
            return
        self._opening = np.concatenate((self._opening, samples[np.flatnonzero(clear)[:missing]]))
        if len(self._opening) >= _CLEAR_ENOUGH * self._rate and _is_shifted(self._opening):
            raise _noise()

    def _too_loud(self) -> bool:
        return self._clear_squares > _LOUDEST_HISS**2 * self._clear

    def _autocorrelation(self) -> float:
        """Correlation of neighbouring samples, -1 to 1; 0 for a constant."""
        mean = self._sum / self._count
        spread = self._squares / self._count - mean * mean
        return (self._products / self._count - mean * mean) / spread if spread > 0 else 0.0


def _highest(samples: Samples) -> int:
    # Not np.abs on 16 bits: the absolute value of -32,768 would be negative.
    return max(int(samples.max()), -int(samples.min()))


def _at_least(level: int, samples: Samples) -> NDArray[np.bool_]:
    return (samples >= level) | (samples <= -level)


def refuse_short(seconds: float, characters: int) -> None:
    """Raise if `seconds` of audible sound are too few for the text.

    Raises:
        BadSound: `too_short`.
    """
    if seconds < least_seconds(characters):
        raise BadSound("too_short", f"The provider sent {seconds:.2f} s of sound, too short for the text.")


def refuse_pace(seconds: float, believable: tuple[float, float] | None) -> None:
    """Raise if `seconds` of audible sound are not between these two; None: nobody can tell.

    Raises:
        BadSound: `pace`.
    """
    if believable and not believable[0] <= seconds <= believable[1]:
        how = "fast" if seconds < believable[0] else "slow"
        raise BadSound("pace", f"The provider sent {seconds:.2f} s of sound, too {how} for any voice.")

"""The edit of a clip's edges, while the sound still comes: silence brought to a budget, short fades.

Sound goes through in windows of 10 ms, counted from the first sample, so the result does not depend on how it
came in pieces. Until the first window with sound all is held; from then on, whatever might turn out to be the
end (silence, and the 15 ms before it) is held until more sound comes.

In front stand 24 ms of zeros and up to 10 ms of the provider's own silence (a soft onset), behind up to 168
ms of the provider's own and 72 ms of zeros. Part of the pause between two sentences is the speaker's: 96 ms
in all would be breathless. (The default voice leaves some 300 ms before and 450 ms behind each sentence.)
"""

import warnings
from typing import Final

import numpy as np

from app.audio.check import Samples

with warnings.catch_warnings():
    # pydub looks for an ffmpeg that nothing here needs; some Python versions also dislike its own code.
    warnings.filterwarnings("ignore", message="Couldn't find ffmpeg", category=RuntimeWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    from pydub import AudioSegment
    from pydub.silence import detect_leading_silence

RATE: Final = 24_000
# Zeros before all: 24 ms. More than a whole Opus packet of them, because digital silence alone puts a decoder
# that has just played another clip into the state of a fresh one: with 24 ms of a provider's own near silence
# in their place, clips differed by up to 222 of 32,768 steps behind another one; with 14 ms of zeros by 7.
FRONT: Final = 576
ONSET: Final = 240  # samples of the provider's own silence kept before the first window with sound: 10 ms
BEHIND: Final = 1_728  # of zeros after all: 72 ms, for the codecs' delays and overlaps (mp3: 1,681 samples)
PAUSE: Final = 4_032  # of the provider's own silence before these zeros, at most: 168 ms
# What of the above changes the sound, for the digest: a change here must change this.
EDGES_VERSION: Final = "edges2"

_WINDOW_MS: Final = 10
_WINDOW: Final = 240
_FADE_MS: Final = 5
_FADE: Final = 120
_THRESHOLD: Final = -54.0  # dB of full scale, of one window
# The last window may be filled up with zeros; the fade must then end where the sound ends, before them.
_HOLD: Final = _WINDOW + _FADE
_NOTHING: Final = np.zeros(0, np.int16)


class Edges:
    """Trims, pads and fades one clip of mono sound at 24 kHz."""

    def __init__(self) -> None:
        self._partial = _NOTHING  # less than a window
        self._held = _NOTHING  # whole windows that may still turn out to be an edge
        self._pause: list[Samples] = []  # and the silence that came behind these
        self._quiet = 0  # samples of silence at the end of what is held
        self.audible = 0  # samples from the first to the last window with sound, so far
        self.cut = 0  # samples of silence taken away in front
        self.onset = 0  # samples of silence kept there, behind the zeros

    def push(self, samples: Samples) -> Samples:
        """What is final by now, `samples` included; often empty."""
        joined = np.concatenate((self._partial, samples))
        whole = len(joined) - len(joined) % _WINDOW
        self._partial = joined[whole:]
        return self._windows(joined[:whole])

    def finish(self) -> Samples:
        """The rest: the last sound, faded, and the silence behind it. Empty if there never was a sound."""
        missing = -len(self._partial) % _WINDOW
        released = self.push(np.zeros(missing, np.int16))
        if not self.audible:
            return _NOTHING
        held = np.concatenate((self._held, *self._pause))
        real = held[: len(held) - (max(0, self._quiet - PAUSE) if self._quiet else missing)]
        return np.concatenate((released, _fade_out(real), np.zeros(BEHIND, np.int16)))

    def _windows(self, windows: Samples) -> Samples:
        if not len(windows):
            return _NOTHING
        if not self.audible:
            return self._begin(windows)
        quiet = _leading_silence(windows[::-1])
        if quiet == len(windows):
            self._pause.append(windows)  # joined once: a provider may be silent for minutes
            self._quiet += quiet
            return _NOTHING
        self.audible += self._quiet + len(windows) - quiet
        return self._release(windows, quiet)

    def _begin(self, windows: Samples) -> Samples:
        joined = np.concatenate((self._held, windows))
        before = len(self._held) + _leading_silence(windows)
        cut = max(0, before - ONSET)
        self.cut += cut
        if before == len(joined):
            self._held = joined[cut:]
            return _NOTHING
        self._held = _NOTHING
        self.onset = before - cut
        real = _fade_in(joined[cut:])
        quiet = _leading_silence(joined[before:][::-1])
        self.audible = len(joined) - before - quiet
        return self._release(np.concatenate((np.zeros(FRONT, np.int16), real)), quiet)

    def _release(self, windows: Samples, quiet: int) -> Samples:
        joined = np.concatenate((self._held, *self._pause, windows))
        self._pause.clear()
        final = max(0, len(joined) - quiet - _HOLD)
        self._held, self._quiet = joined[final:], quiet
        return joined[:final]


def _leading_silence(windows: Samples) -> int:
    """Samples of whole silent windows at the front."""
    silent: int = detect_leading_silence(_segment(windows), _THRESHOLD, _WINDOW_MS)
    return silent * _WINDOW // _WINDOW_MS


def _segment(samples: Samples) -> AudioSegment:
    return AudioSegment(samples.tobytes(), sample_width=2, frame_rate=RATE, channels=1)


def _samples(segment: AudioSegment) -> Samples:
    return np.frombuffer(segment.raw_data, np.int16)


def _fade_in(samples: Samples) -> Samples:
    """Against a click where zeros meet sound that begins at once. At least one window long."""
    return np.concatenate((_samples(_segment(samples[:_FADE]).fade_in(_FADE_MS)), samples[_FADE:]))


def _fade_out(samples: Samples) -> Samples:
    if len(samples) < _FADE:
        return samples  # less than 5 ms in all: refused as too short anyway
    return np.concatenate((samples[:-_FADE], _samples(_segment(samples[-_FADE:]).fade_out(_FADE_MS))))

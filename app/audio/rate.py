"""Changes of sample rate and pace, while the sound comes."""

from fractions import Fraction
from itertools import pairwise
from typing import Final

import av
import av.filter
import numpy as np
import soxr
from numpy.typing import NDArray

from app.audio.check import Samples

_NOTHING: Final = np.zeros(0, np.int16)
_SLOWEST: Final = 0.5  # of one atempo


class Resampler:
    """Mono sound from one sample rate (Hz) to another; nothing is done where they are equal.

    soxr's high quality, in single precision: its 16-bit path dithers, which would make equal sound unequal.
    """

    def __init__(self, source: int, target: int) -> None:
        same = source == target
        self._stream = None if same else soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        """What is final by now."""
        return self._run(samples, last=False)

    def finish(self) -> Samples:
        """The rest."""
        return self._run(_NOTHING, last=True)

    def _run(self, samples: Samples, *, last: bool) -> Samples:
        if self._stream is None or not (last or len(samples)):
            return samples
        resampled = self._stream.resample_chunk(samples.astype(np.float32), last=last)
        return to_16_bits(resampled)


class Tempo:
    """Mono sound, `factor` times as fast at the same pitch (libavfilter's atempo); 1.0: untouched."""

    def __init__(self, factor: float, sample_rate: int) -> None:
        """`factor` is between 0.25 and 4."""
        self._rate = sample_rate
        self._graph = None if factor == 1.0 else _graph(factor, sample_rate)
        self._samples = 0

    def push(self, samples: Samples) -> Samples:
        """What is final by now."""
        if self._graph is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = self._rate
        frame.pts = self._samples
        frame.time_base = Fraction(1, self._rate)
        self._samples += len(samples)
        self._graph.push(frame)
        return self._pull()

    def finish(self) -> Samples:
        """The rest."""
        if self._graph is None:
            return _NOTHING
        self._graph.push(None)
        rest = self._pull()
        self.close()
        return rest

    def close(self) -> None:
        """Give back the filter's memory. Idempotent."""
        self._graph = None

    def _pull(self) -> Samples:
        assert self._graph is not None
        parts = [_NOTHING]
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return np.concatenate(parts)
            assert isinstance(frame, av.AudioFrame)
            parts.append(frame.to_ndarray()[0])


def _graph(factor: float, sample_rate: int) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes = [
        graph.add_abuffer(
            sample_rate=sample_rate, format="s16", layout="mono", time_base=Fraction(1, sample_rate)
        )
    ]
    while factor < _SLOWEST:
        nodes.append(graph.add("atempo", str(_SLOWEST)))
        factor /= _SLOWEST
    nodes += [graph.add("atempo", repr(factor)), graph.add("abuffersink")]
    for one, next_one in pairwise(nodes):
        one.link_to(next_one)
    graph.configure()
    return graph


def to_16_bits(samples: NDArray[np.floating]) -> Samples:
    """The nearest steps of 16 bits; what is beyond full scale becomes full scale."""
    # Resampling overshoots at full scale; without the limit that would wrap around to a loud click.
    limited: Samples = np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)
    return limited

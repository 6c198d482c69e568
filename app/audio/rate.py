"""Changes of sample rate and pace, while the sound comes."""

from fractions import Fraction
from typing import Any, Final

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from app.audio.check import Samples

_NOTHING: Final = np.zeros(0, np.int16)
_SLOWEST: Final = 0.5  # of one atempo


class Resampler:
    """Mono sound from one sample rate (Hz) to another; nothing is done where they are equal.

    libswresample's sinc filter, in single precision: its 16-bit path would round twice. What it leaves of aliases
    is below -100 dB, less than 16 bits can tell; and it holds back 1.4 to 4 ms of sound, where soxr, 30 dB better,
    holds back 37 to 75 (it works in blocks): more than all else here together.
    """

    def __init__(self, source: int, target: int) -> None:
        how = f"{target}:filter_size=64:cutoff=0.95:exact_rational=1"
        self._filter = None if source == target else _Filter("flt", source, ("aresample", how))

    def push(self, samples: Samples) -> Samples:
        """What is final by now."""
        if self._filter is None or not len(samples):
            return samples
        return to_16_bits(self._filter.push(samples.astype(np.float32)))

    def finish(self) -> Samples:
        """The rest."""
        return _NOTHING if self._filter is None else to_16_bits(self._filter.finish())


class Tempo:
    """Mono sound, `factor` times as fast at the same pitch (libavfilter's atempo); 1.0: untouched."""

    def __init__(self, factor: float, sample_rate: int) -> None:
        """`factor` is between 0.25 and 4."""
        steps = []
        while factor < _SLOWEST:
            steps.append(("atempo", str(_SLOWEST)))
            factor /= _SLOWEST
        steps.append(("atempo", repr(factor)))
        self._filter = None if factor == 1.0 and len(steps) == 1 else _Filter("s16", sample_rate, *steps)

    def push(self, samples: Samples) -> Samples:
        """What is final by now."""
        if self._filter is None or not len(samples):
            return samples
        return np.asarray(self._filter.push(samples), np.int16)

    def finish(self) -> Samples:
        """The rest."""
        return _NOTHING if self._filter is None else np.asarray(self._filter.finish(), np.int16)

    def close(self) -> None:
        """Give back the filter's memory. Idempotent."""
        self._filter = None


class _Filter:
    """Filters of libavfilter in a row, over mono sound while it comes."""

    def __init__(self, kind: str, sample_rate: int, *steps: tuple[str, str]) -> None:
        """`kind` of the samples (`s16`, `flt`), which the filters keep; `steps` by name and arguments."""
        self._kind = kind
        self._time_base = Fraction(1, sample_rate)
        self._pushed = 0
        graph = av.filter.Graph()
        graph.threads = 1  # left alone it starts one for each core, in every recorder
        source = graph.add_abuffer(
            sample_rate=sample_rate, format=kind, layout="mono", time_base=self._time_base
        )
        keep = ("aformat", f"sample_fmts={kind}:channel_layouts=mono")
        graph.link_nodes(source, *(graph.add(*step) for step in (*steps, keep, ("abuffersink",)))).configure()
        self._graph = graph

    def push(self, samples: NDArray[Any]) -> NDArray[Any]:
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format=self._kind, layout="mono")
        frame.sample_rate = self._time_base.denominator
        frame.pts = self._pushed
        frame.time_base = self._time_base
        self._pushed += len(samples)
        self._graph.push(frame)
        return self._pull()

    def finish(self) -> NDArray[Any]:
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> NDArray[Any]:
        parts: list[NDArray[Any]] = [_NOTHING]
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return np.concatenate(parts)
            assert isinstance(frame, av.AudioFrame)
            parts.append(frame.to_ndarray()[0])


def to_16_bits(samples: NDArray[np.floating]) -> Samples:
    """The nearest steps of 16 bits; what is beyond full scale becomes full scale."""
    # Resampling overshoots at full scale; without the limit that would wrap around to a loud click.
    # Not np.clip: for a short piece it costs more than all the rest.
    rounded = np.rint(samples)
    np.maximum(rounded, -32_768, out=rounded)
    np.minimum(rounded, 32_767, out=rounded)
    steps: Samples = rounded.astype(np.int16)
    return steps

"""One clip's encoder, at codec level."""

from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext

from app.audio.check import Samples
from app.audio.forms import Form

_FORM_RATE: Final = 24_000  # in which a form counts samples
_NOTHING: Final = np.zeros(0, np.int16)


class Encoder:
    """Encodes mono sound of 16 bits, in frames of fixed size whatever the pieces it comes in.

    The codec delays the sound; what it needs to flush is kept only up to the clip's length, so that as many
    samples come out of a decoder as went in, later by the codec's delay. The clip's end must be silent for
    that long: `edges.BEHIND`.
    """

    def __init__(self, form: Form, sample_rate: int) -> None:
        """`sample_rate` in Hz is that of the samples pushed."""
        codec = CodecContext.create(form.encoder, "w")
        assert isinstance(codec, AudioCodecContext)
        codec.sample_rate = sample_rate
        codec.time_base = Fraction(1, sample_rate)
        codec.layout = "mono"
        codec.format = form.sample_format
        codec.thread_count = 1
        if form.bit_rate is not None:
            codec.bit_rate = form.bit_rate
        block = form.block * sample_rate // _FORM_RATE if form.block else 0
        codec.options = dict(form.options) | ({"frame_size": str(block)} if block else {})
        codec.open()
        self._codec: AudioCodecContext | None = codec
        self._rate = sample_rate
        self._format = form.sample_format
        self._frame = codec.frame_size or block  # G.711 takes any: the block is ours alone
        self._partial = _NOTHING
        self._samples = 0  # given to the codec
        self._packets = 0  # got from it

    @property
    def pushed(self) -> int:
        """Samples pushed so far."""
        return self._samples + len(self._partial)

    @property
    def extradata(self) -> bytes:
        """What the codec says of the stream as a whole (FLAC: STREAMINFO)."""
        assert self._codec is not None
        return self._codec.extradata or b""

    def push(self, samples: Samples) -> list[bytes]:
        """Packets that are done by now."""
        joined = np.concatenate((self._partial, samples))
        whole = len(joined) - len(joined) % self._frame
        self._partial = joined[whole:]
        return [
            packet
            for start in range(0, whole, self._frame)
            for packet in self._encode(joined[start : start + self._frame])
        ]

    def finish(self) -> list[bytes]:
        """The remaining packets, no more than the samples pushed fill; frees the codec."""
        packets = self._encode(self._partial) if len(self._partial) else []
        self._partial = _NOTHING
        packets += self._encode(None)
        surplus = self._packets - -(-self._samples // self._frame)
        self.close()
        return packets[: len(packets) - surplus] if surplus > 0 else packets

    def close(self) -> None:
        """Give back the codec's memory. Idempotent."""
        self._codec = None

    def _encode(self, samples: Samples | None) -> list[bytes]:
        assert self._codec is not None
        frame = None if samples is None else self._wrap(samples)
        # The FLAC encoder ends with an empty packet that only carries side data.
        packets = [bytes(packet) for packet in self._codec.encode(frame) if packet.size]
        self._packets += len(packets)
        return packets

    def _wrap(self, samples: Samples) -> av.AudioFrame:
        # Division by a power of two is exact in single precision.
        plane = samples.astype(np.float32) / np.float32(32_768) if self._format == "fltp" else samples
        frame = av.AudioFrame.from_ndarray(plane[np.newaxis], format=self._format, layout="mono")
        frame.sample_rate = self._rate
        frame.pts = self._samples
        frame.time_base = Fraction(1, self._rate)
        self._samples += len(samples)
        return frame

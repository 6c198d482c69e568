"""Listening to what came back: decoded by libraries that know nothing of Refrain, told apart by pitch."""

import io
from dataclasses import dataclass

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext
from numpy.typing import NDArray

from providers import tones

Samples = NDArray[np.float64]

DELAY = {"mp3": 1_105, "aac": 1_024}
"""Samples at 24 kHz by which a codec's decoder is late; Opus' header and the edit list of m4a hide their own."""
TELEPHONY = {"ulaw": "pcm_mulaw", "alaw": "pcm_alaw"}
LOUD = 0.05


@dataclass(frozen=True, slots=True)
class Heard:
    """Mono sound, full scale 1.0, at `rate` Hz."""

    sound: Samples
    rate: int

    @property
    def seconds(self) -> float:
        """All of it, silence among it."""
        return len(self.sound) / self.rate

    def stretch(self, start: float, end: float) -> "Heard":
        """From second `start` to second `end`."""
        return Heard(self.sound[round(start * self.rate) : round(end * self.rate)], self.rate)

    @property
    def audible(self) -> float:
        """Seconds from the first loud sample to the last."""
        loud = np.flatnonzero(np.abs(self.sound) > LOUD)
        return float(loud[-1] - loud[0] + 1) / self.rate if len(loud) else 0.0

    @property
    def pitch(self) -> float:
        """The dominant frequency in Hz."""
        spectrum = np.abs(np.fft.rfft(self.sound * np.hanning(len(self.sound))))
        return float(np.argmax(spectrum)) * self.rate / len(self.sound)


def heard(fmt: str, data: bytes, pcm_rate: int = 24_000) -> Heard:
    """What a player plays."""
    if fmt == "pcm":
        return Heard(np.frombuffer(data, "<i2").astype(np.float64) / 32_768, pcm_rate)
    if fmt in TELEPHONY:
        return Heard(_telephony(TELEPHONY[fmt], data), 8_000)
    with av.open(io.BytesIO(data), "r") as opened:
        frames = list(opened.decode(audio=0))
    sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    scale = 1 if sound.dtype == np.float32 else 32_768
    return Heard(sound.astype(np.float64) / scale, frames[0].sample_rate)


def _telephony(codec: str, data: bytes) -> Samples:
    """G.711 has no head: its decoder is told what it is."""
    decoder = CodecContext.create(codec, "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    parts = [frame.to_ndarray()[0] for frame in decoder.decode(av.Packet(data))]
    return np.concatenate(parts).astype(np.float64) / 32_768


def assert_says(
    said: Heard,
    fmt: str,
    texts: list[str],
    seconds: list[float],
    voice: str = "low",
    *,
    pauses: list[float] | None = None,
) -> None:
    """These chunks, in this order, each where its clip stands and as long as its provider spoke.

    `seconds` of each with the pause behind it, `pauses` these alone (left out: none).
    """
    assert round(said.seconds * 24_000, 6) == sum(round(one * 24_000) for one in seconds)
    start = DELAY.get(fmt, 0) / 24_000
    for text, length, pause in zip(texts, seconds, pauses or [0.0] * len(texts), strict=True):
        clip = said.stretch(start, start + length)
        frequency, duration = tones.tone(text, voice)
        assert abs(clip.pitch - frequency) < 6, f"{clip.pitch} Hz instead of {frequency}"
        assert abs(clip.audible - duration) < 0.03
        # 96 ms of silence around it, and at most one grid of 120 ms to fill up.
        assert 0.08 < length - pause - duration < 0.23
        start += length

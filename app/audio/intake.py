"""A provider's bytes to mono sound of 16 bits at the provider's own rate."""

import io
from collections.abc import Iterator
from typing import Final

import av
import numpy as np

from app.audio.check import BadSound, Samples, most_seconds, refuse_container, refuse_text
from app.audio.walk import container_of, flac_samples, refuse_cut

_NOTHING: Final = np.zeros(0, np.int16)
_SNIFF: Final = 128
# A file of this rate is stereo PCM of 48 kHz with room to spare; nobody sends speech in a larger one.
_MOST_BYTES_PER_SECOND: Final = 400_000


class PcmIntake:
    """Raw PCM as it comes, cut anywhere, also within a sample. Channels are averaged."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._partial = b""
        self._sniffed = False

    def push(self, piece: bytes) -> Samples:
        """Samples that are whole by now; nothing before the first bytes have been judged.

        Raises:
            BadSound: `not_sound`.
        """
        data = self._partial + piece
        if not self._sniffed:
            # The rule must see the same bytes however they were cut.
            if len(data) < _SNIFF:
                self._partial = data
                return _NOTHING
            self._sniff(data)
        return self._split(data)

    def finish(self) -> Samples:
        """The rest.

        Raises:
            BadSound: `not_sound`, `odd_length`.
        """
        if not self._sniffed:
            self._sniff(self._partial)
        samples = self._split(self._partial)
        if self._partial:
            raise BadSound("odd_length", "The provider's PCM ends within a sample.")
        return samples

    def _sniff(self, data: bytes) -> None:
        refuse_text(data[:_SNIFF])
        refuse_container(data[:_SNIFF])
        self._sniffed = True

    def _split(self, data: bytes) -> Samples:
        whole = len(data) - len(data) % (2 * self._channels)
        self._partial = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)
        if self._channels == 1:
            return samples
        # In 32 bits: two loud channels would overflow 16.
        mixed = samples.reshape(-1, self._channels).sum(1, dtype=np.int32) // self._channels
        return np.asarray(mixed, np.int16)


class FileIntake:
    """A whole sound file, kept until it is complete: only then can it be told from a cut one."""

    def __init__(self, characters: int) -> None:
        self._data = bytearray()
        self._seconds = most_seconds(characters)

    def push(self, piece: bytes) -> None:
        """Keep a piece.

        Raises:
            BadSound: `too_long`.
        """
        self._data += piece
        if len(self._data) > self._seconds * _MOST_BYTES_PER_SECOND:
            raise BadSound("too_long", "The provider sent far more bytes than the text needs.")

    def finish(self) -> tuple[int, Iterator[Samples]]:
        """The file's sample rate in Hz, and its sound.

        Raises:
            BadSound: `empty`, `not_sound`, `cut`, `unreadable`; also while the sound is read.
        """
        data = bytes(self._data)
        self.close()
        if not data:
            raise BadSound("empty", "The provider sent no sound.")
        refuse_text(data[:_SNIFF])
        container = container_of(data)
        refuse_cut(container, data)
        sound = _decode(container, data)
        rate = next(sound)
        assert isinstance(rate, int)
        return rate, _only_samples(sound, flac_samples(data) if container == "flac" else 0)

    def close(self) -> None:
        """Give back the memory."""
        self._data = bytearray()


def _only_samples(sound: Iterator[int | Samples], announced: int) -> Iterator[Samples]:
    count = 0
    for samples in sound:
        assert not isinstance(samples, int)
        count += len(samples)
        yield samples
    if count < announced:
        raise BadSound("cut", "The provider sent a file that ends too early.")


def _decode(container: str, data: bytes) -> Iterator[int | Samples]:
    """First the sample rate, then the sound."""
    try:
        with av.open(io.BytesIO(data), "r", format=container) as opened:
            stream = opened.streams.audio[0]
            yield stream.rate
            to_mono = av.AudioResampler(format="s16", layout="mono", rate=stream.rate)
            for frame in opened.decode(stream):
                yield from (one.to_ndarray()[0] for one in to_mono.resample(frame))
            yield from (one.to_ndarray()[0] for one in to_mono.resample(None))
    # No audio stream, a codec that is not known (PyAV then has no `rate`), a rate that changes on the way.
    except (av.error.FFmpegError, IndexError, AttributeError, ValueError) as error:
        raise BadSound(
            "unreadable", f"The provider sent a {container} file that cannot be decoded."
        ) from error

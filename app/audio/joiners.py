"""One joiner per kind of response. Only wav and pcm (decoded) and flac (encoded anew) need a codec."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext

from app.audio.check import Samples
from app.audio.encode import Encoder
from app.audio.forms import FLAC, OPUS
from app.audio.ogg import Stream, frame_size, joined_size

Bytes = bytes | memoryview
_RATE: Final = 24_000
_UNKNOWN: Final = 0xFFFFFFFF
_WAV_HEAD: Final = 44


class Joiner(Protocol):
    """Makes one response's bytes from clips, in order. Whether clips come in pieces or whole changes nothing.

    `head` once, `add` any number of times, `end` once. CPU only; not for several threads at once.
    """

    def head(self, samples: int | None) -> bytes:
        """What stands before the sound. `samples` at 24 kHz of all clips; None while they are not known."""
        ...

    def add(self, piece: Bytes, *, last: bool) -> Bytes:
        """A piece, cut anywhere, of the current clip's payload. `last` ends the clip.

        Where the payload goes out as it is, `piece` itself comes back, uncopied.

        Raises:
            ValueError: the clip's payload ends within a frame or cannot be decoded.
        """
        ...

    def end(self) -> bytes:
        """What stands behind the sound."""
        ...

    def size(self, clips: Sequence[tuple[int, int]]) -> int | None:
        """Bytes of the whole response, from each clip's (bytes of payload, samples at 24 kHz).

        None where only joining tells. Does not change the joiner.
        """
        ...


class Appending:
    """mp3 and aac: frames after frames."""

    def head(self, samples: int | None) -> bytes:  # noqa: ARG002 - constant rate: the length says it
        """Nothing."""
        return b""

    def add(self, piece: Bytes, *, last: bool) -> Bytes:  # noqa: ARG002
        """The piece itself."""
        return piece

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def size(self, clips: Sequence[tuple[int, int]]) -> int | None:
        """The sum."""
        return sum(payload for payload, _ in clips)


class OggJoiner:
    """opus: page headers before page bodies, one stream throughout."""

    def __init__(self) -> None:
        self._stream = Stream()
        self._partial = b""

    def head(self, samples: int | None) -> bytes:  # noqa: ARG002 - Ogg tells the length at its end
        """The stream's first two pages."""
        return self._stream.head()

    def add(self, piece: Bytes, *, last: bool) -> Bytes:
        """The pages that are whole by now."""
        clip = memoryview(self._partial + piece if self._partial else piece)
        pages, used = self._stream.pages(clip)
        self._partial = bytes(clip[used:])
        _refuse_rest(self._partial, last=last)
        return pages

    def end(self) -> bytes:
        """The last page."""
        return self._stream.end()

    def size(self, clips: Sequence[tuple[int, int]]) -> int | None:
        """Page headers and payloads."""
        return frame_size() + sum(joined_size(payload, samples // OPUS.frame) for payload, samples in clips)


class FlacDecoder:
    """A FLAC clip's payload, in pieces, to samples."""

    def __init__(self, sample_rate: int) -> None:
        codec = CodecContext.create("flac", "r")
        assert isinstance(codec, AudioCodecContext)
        codec.thread_count = 1
        codec.sample_rate = sample_rate
        self._codec = codec
        self._partial = b""

    def decode(self, piece: Bytes, *, last: bool) -> Samples:
        """Samples of the frames that are whole by now.

        Raises:
            ValueError: the payload ends within a frame or is damaged.
        """
        data = memoryview(self._partial + piece if self._partial else piece)
        parts, at = [np.zeros(0, np.int16)], 0
        for start, end in _frames(data):
            parts.extend(self._frame(bytes(data[start:end])))
            at = end
        self._partial = bytes(data[at:])
        _refuse_rest(self._partial, last=last)
        return np.concatenate(parts)

    def _frame(self, frame: bytes) -> list[Samples]:
        try:
            return [decoded.to_ndarray()[0] for decoded in self._codec.decode(av.Packet(frame))]
        except av.error.FFmpegError:
            raise ValueError("a cached clip holds a frame that cannot be decoded") from None


class PcmJoiner:
    """pcm: samples, 16 bits, little endian, mono."""

    def __init__(self, sample_rate: int) -> None:
        self._decoder = FlacDecoder(sample_rate)
        self._rate = sample_rate

    def head(self, samples: int | None) -> bytes:  # noqa: ARG002 - PCM has no header
        """Nothing."""
        return b""

    def add(self, piece: Bytes, *, last: bool) -> Bytes:
        """The samples of the frames that are whole by now."""
        return self._decoder.decode(piece, last=last).astype("<i2", copy=False).tobytes()

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def size(self, clips: Sequence[tuple[int, int]]) -> int | None:
        """Two bytes per sample."""
        return 2 * at_rate(sum(samples for _, samples in clips), self._rate)


class WavJoiner(PcmJoiner):
    """wav: PCM behind a header of 44 bytes."""

    def head(self, samples: int | None) -> bytes:
        """The header; both sizes are 0xFFFFFFFF, as usual for streams, while the length is not known."""
        size = _UNKNOWN if samples is None else 2 * at_rate(samples, self._rate)
        whole = _UNKNOWN if samples is None else size + _WAV_HEAD - 8
        form = struct.pack("<IHHIIHH", 16, 1, 1, self._rate, 2 * self._rate, 2, 16)
        return b"RIFF" + struct.pack("<I", whole) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)

    def size(self, clips: Sequence[tuple[int, int]]) -> int | None:
        """The header and two bytes per sample."""
        return _WAV_HEAD + (super().size(clips) or 0)


class FlacJoiner:
    """flac: one stream over all clips; every frame but the last has the same length, as players want it."""

    def __init__(self, sample_rate: int) -> None:
        self._decoder = FlacDecoder(sample_rate)
        self._encoder = Encoder(FLAC, sample_rate)
        self._rate = sample_rate

    def head(self, samples: int | None) -> bytes:
        """The marker and STREAMINFO (RFC 9639, 8.2), with the number of samples where it is known, else 0."""
        info = bytearray(self._encoder.extradata)
        fields = int.from_bytes(info[10:18], "big") & ~((1 << 36) - 1)
        total = 0 if samples is None else at_rate(samples, self._rate)
        info[10:18] = (fields | total).to_bytes(8, "big")
        return b"fLaC\x80" + len(info).to_bytes(3, "big") + bytes(info)

    def add(self, piece: Bytes, *, last: bool) -> Bytes:
        """The frames that are done by now."""
        return b"".join(self._encoder.push(self._decoder.decode(piece, last=last)))

    def end(self) -> bytes:
        """The last frames."""
        return b"".join(self._encoder.finish())

    def size(self, clips: Sequence[tuple[int, int]]) -> int | None:  # noqa: ARG002
        """Not known before."""
        return None


def at_rate(samples: int, sample_rate: int) -> int:
    """A clip's length at 24 kHz, a multiple of 480, as a number of samples at one of the `SAMPLE_RATES`."""
    return samples * sample_rate // _RATE


def _frames(data: memoryview) -> Iterator[tuple[int, int]]:
    at = 0
    while at + 2 <= len(data) and (end := at + 2 + int.from_bytes(data[at : at + 2], "big")) <= len(data):
        yield at + 2, end
        at = end


def _refuse_rest(rest: bytes, *, last: bool) -> None:
    if last and rest:
        raise ValueError("a cached clip ends within a frame")

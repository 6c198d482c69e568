"""What a joiner is, and the simple ones. Only wav and pcm need a codec; `flac` and `mp4` have files of their own."""

import struct
from typing import Final, Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext

from app.audio.check import Samples
from app.audio.forms import OPUS, prefixed_frames
from app.audio.ogg import Stream, joined_size

Bytes = bytes | memoryview
_RATE: Final = 24_000
_UNKNOWN: Final = 0xFFFFFFFF
_WAV_HEAD: Final = 44


class Joiner(Protocol):
    """Makes one response's bytes from clips, in order. Whether clips come in pieces or whole changes nothing.

    `head` once, then for each clip `add` any number of times or `skip` once, then `end` once. CPU only; not for
    several threads at once.
    """

    def head(self, samples: int | None) -> bytes:
        """What stands before the sound. `samples` at 24 kHz of all clips; None while they are not known.

        As long in either case.
        """
        ...

    def add(self, piece: Bytes, *, last: bool) -> Bytes:
        """A piece, cut anywhere, of the current clip's payload. `last` ends the clip.

        Where the payload goes out as it is, `piece` itself comes back, uncopied.

        Raises:
            ValueError: the clip's payload ends within a frame or cannot be decoded.
        """
        ...

    def skip(self, payload: int, samples: int) -> int:
        """Pass over a clip of so many bytes and samples (at 24 kHz); how many bytes of the response it takes.

        What comes behind is then as if the clip had been added.
        """
        ...

    def end(self) -> bytes:
        """What stands behind the sound."""
        ...


class Appending:
    """mp3, aac, ulaw and alaw: frames after frames."""

    def head(self, samples: int | None) -> bytes:  # noqa: ARG002 - constant rate: the length says it
        """Nothing."""
        return b""

    def add(self, piece: Bytes, *, last: bool) -> Bytes:  # noqa: ARG002 - frames go out as they come
        """The piece itself."""
        return piece

    def skip(self, payload: int, samples: int) -> int:  # noqa: ARG002 - nothing in the payload counts frames
        """As long as it is."""
        return payload

    def end(self) -> bytes:
        """Nothing."""
        return b""


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
        refuse_rest(self._partial, last=last)
        return pages

    def skip(self, payload: int, samples: int) -> int:
        """Page headers and payload."""
        packets = samples // OPUS.frame
        self._stream.skip(packets)
        return joined_size(payload, packets)

    def end(self) -> bytes:
        """The last page."""
        return self._stream.end()


class FlacDecoder:
    """FLAC clips' payloads, in pieces, to samples."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._codec: AudioCodecContext | None = None  # opened at the first frame: most joiners only count
        self._partial = b""

    def decode(self, piece: Bytes, *, last: bool) -> Samples:
        """Samples of the frames that are whole by now.

        Raises:
            ValueError: the payload ends within a frame or is damaged.
        """
        data = memoryview(self._partial + piece if self._partial else piece)
        parts, at = [np.zeros(0, np.int16)], 0
        for start, end in prefixed_frames(data):
            parts.extend(self._frame(bytes(data[start:end])))
            at = end
        self._partial = bytes(data[at:])
        refuse_rest(self._partial, last=last)
        return np.concatenate(parts)

    def _frame(self, frame: bytes) -> list[Samples]:
        codec = self._codec or self._open()
        try:
            return [decoded.to_ndarray()[0] for decoded in codec.decode(av.Packet(frame))]
        except av.error.FFmpegError:
            raise ValueError("a cached clip holds a frame that cannot be decoded") from None

    def _open(self) -> AudioCodecContext:
        codec = CodecContext.create("flac", "r")
        assert isinstance(codec, AudioCodecContext)
        codec.thread_count = 1
        codec.sample_rate = self._rate
        self._codec = codec
        return codec


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

    def skip(self, payload: int, samples: int) -> int:  # noqa: ARG002 - what FLAC saved does not count
        """Two bytes per sample."""
        return 2 * at_rate(samples, self._rate)

    def end(self) -> bytes:
        """Nothing."""
        return b""


class WavJoiner(PcmJoiner):
    """wav: PCM behind a header of 44 bytes."""

    def head(self, samples: int | None) -> bytes:
        """The header; both sizes are 0xFFFFFFFF, as usual for streams, while the length is not known."""
        size = _UNKNOWN if samples is None else 2 * at_rate(samples, self._rate)
        whole = _UNKNOWN if samples is None else size + _WAV_HEAD - 8
        form = struct.pack("<IHHIIHH", 16, 1, 1, self._rate, 2 * self._rate, 2, 16)
        return b"RIFF" + struct.pack("<I", whole) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


def at_rate(samples: int, sample_rate: int) -> int:
    """A clip's length at 24 kHz, a multiple of its form's frame, as a number of samples at a rate on offer."""
    return samples * sample_rate // _RATE


def refuse_rest(rest: bytes, *, last: bool) -> None:
    """Raise ValueError if a clip ends with bytes that are no whole frame."""
    if last and rest:
        raise ValueError("a cached clip ends within a frame")

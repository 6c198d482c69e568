"""m4a: AAC frames as fragmented MP4 (ISO 14496-12, 14496-14), one stream over all clips, without a codec.

    ftyp, moov      what the sound is, an edit list that leaves out the codec's delay, the length if it is known
    moof, mdat      a fragment: the frames' sizes, the frames without their ADTS headers
    ...

The first fragments hold one frame each, so that a listener hears the beginning soon; others a second, or what is
left of a clip. A last frame of silence carries the last clip's end over the delay.
"""

import struct
from collections.abc import Iterator
from typing import Final

from app.audio.forms import AAC, ADTS_HEAD, adts_frames
from app.audio.joiners import Bytes, refuse_rest

DELAY: Final = 1_024  # samples that libavcodec's encoder is late
SILENCE: Final = bytes.fromhex("00c80007")
"""A frame of one channel without scale factor bands, so without sound: SCE, gain, long window, end
(ISO 14496-3, 4.4.2)."""
_RATE: Final = 24_000
_SMALL: Final = 10  # so many fragments of one frame each come first
_LARGE: Final = 24
_BIT_RATE: Final = 64_000  # of the descriptor; for players, nothing depends on it
_TRACK: Final = 1
_IDENTITY: Final = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # the matrix
_SYNC: Final = 0x02000000  # flags of a sample that depends on no other
_MOOF: Final = 104  # bytes of a fragment besides its frames and 4 bytes for the size of each


class Mp4Joiner:
    """m4a: fragments in the place of ADTS headers."""

    def __init__(self) -> None:
        self._fragments = 0
        self._frames = 0
        self._partial = b""
        self._waiting: list[bytes] = []  # frames of the fragment under way

    def head(self, samples: int | None) -> bytes:
        """The boxes before the sound. Every length is 0 while it is not known, as usual for streams."""
        return _box(b"ftyp", b"M4A \0\0\0\0", b"M4A isomiso5iso6mp41") + _moov(samples or 0)

    def add(self, piece: Bytes, *, last: bool) -> Bytes:
        """The fragments that are whole by now."""
        data = memoryview(self._partial + piece if self._partial else piece)
        out: list[bytes] = []
        at = 0
        for start, end in adts_frames(data):
            self._waiting.append(bytes(data[start:end]))
            at = end
            if len(self._waiting) == _most(self._fragments):
                out.append(self._fragment())
        self._partial = bytes(data[at:])
        refuse_rest(self._partial, last=last)
        if last and self._waiting:
            out.append(self._fragment())
        return b"".join(out)

    def skip(self, payload: int, samples: int) -> int:
        """Frames without ADTS headers, with sizes, and the fragments around them."""
        frames = samples // AAC.frame
        before = self._fragments
        for _ in _cuts(frames, before):
            self._fragments += 1
        self._frames += frames
        return payload + (4 - ADTS_HEAD) * frames + _MOOF * (self._fragments - before)

    def end(self) -> bytes:
        """A frame of silence, in which the last clip comes to its end."""
        self._waiting.append(SILENCE)
        return self._fragment()

    def _fragment(self) -> bytes:
        frames, self._waiting = self._waiting, []
        self._fragments += 1
        time = self._frames * AAC.frame
        self._frames += len(frames)
        sizes = struct.pack(f">{len(frames)}I", *map(len, frames))
        # default-base-is-moof | default duration | default flags
        header = _full(b"tfhd", 0x020028, struct.pack(">III", _TRACK, AAC.frame, _SYNC))
        decoded = _full(b"tfdt", 0, struct.pack(">Q", time), version=1)
        # data offset | size of each sample
        run = _full(b"trun", 0x201, struct.pack(">Ii", len(frames), _MOOF + len(sizes)), sizes)
        sequence = _full(b"mfhd", 0, struct.pack(">I", self._fragments))
        return b"".join(
            (_box(b"moof", sequence, _box(b"traf", header, decoded, run)), _box(b"mdat", *frames))
        )


def _most(fragments: int) -> int:
    """How many frames the fragment behind so many others holds, if the clip has them."""
    return 1 if fragments < _SMALL else _LARGE


def _cuts(frames: int, fragments: int) -> Iterator[int]:
    """The frames of each fragment that a clip of so many frames becomes, behind so many fragments."""
    while frames > 0:
        count = min(frames, _most(fragments))
        yield count
        frames -= count
        fragments += 1


def _moov(samples: int) -> bytes:
    length = struct.pack(">I", samples)
    moment = bytes(8)  # created and changed: never, so that the same clips give the same bytes
    movie = _full(
        b"mvhd", 0, moment, struct.pack(">I", _RATE), length, b"\0\1\0\0\1\0", bytes(10), _IDENTITY, bytes(24),
        struct.pack(">I", _TRACK + 1),
    )  # fmt: skip
    extends = _box(
        b"mvex",
        _full(b"mehd", 0, length),
        _full(b"trex", 0, struct.pack(">IIIII", _TRACK, 1, AAC.frame, 0, _SYNC)),
    )
    return _box(b"moov", movie, _track(length, moment), extends)


def _track(length: bytes, moment: bytes) -> bytes:
    # Enabled, in the movie, in the preview; full volume.
    header = _full(
        b"tkhd", 7, moment, struct.pack(">I", _TRACK), bytes(4), length, bytes(12), b"\1\0", bytes(2), _IDENTITY,
        bytes(8),
    )  # fmt: skip
    # What is heard begins where the delay ends. With length 0 it goes on to the end of the last fragment.
    edits = _box(b"edts", _full(b"elst", 0, struct.pack(">I", 1), length, struct.pack(">iI", DELAY, 1 << 16)))
    media = _full(
        b"mdhd", 0, moment, struct.pack(">I", _RATE), bytes(4), b"\x55\xc4\0\0"
    )  # undetermined language
    handler = _full(b"hdlr", 0, bytes(4), b"soun", bytes(12), b"Refrain\0")
    return _box(b"trak", header, edits, _box(b"mdia", media, handler, _information()))


def _information() -> bytes:
    reference = _box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1)))
    tables = _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), _entry()),
        _full(b"stts", 0, bytes(4)),
        _full(b"stsc", 0, bytes(4)),
        _full(b"stsz", 0, bytes(8)),
        _full(b"stco", 0, bytes(4)),
    )
    return _box(b"minf", _full(b"smhd", 0, bytes(4)), reference, tables)


def _entry() -> bytes:
    """What a decoder must know: AAC-LC, 24 kHz, one channel."""
    specific = _descriptor(5, (2 << 11 | 6 << 7 | 1 << 3).to_bytes(2, "big"))
    decoder = _descriptor(4, b"\x40\x15", bytes(3), struct.pack(">II", _BIT_RATE, _BIT_RATE), specific)
    stream = _descriptor(3, struct.pack(">HB", _TRACK, 0), decoder, _descriptor(6, b"\2"))
    sound = struct.pack(">6xH8xHHIHH", 1, 1, 16, 0, _RATE, 0)
    return _box(b"mp4a", sound, _full(b"esds", 0, stream))


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, flags: int, *parts: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((tag, len(body))) + body

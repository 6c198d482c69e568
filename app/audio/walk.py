"""Is a sound file whole? Found out from its own structure, because decoders do not mind.

All common decoders play half an MP3 without a word. So frames are walked, and lengths that a file announces
are compared with what is there.
"""

from collections.abc import Callable
from typing import Final, Literal

from app.audio.check import BadSound

Container = Literal["wav", "mp3", "flac", "ogg", "mov", "aac", "matroska"]

_MARKS: Final[tuple[tuple[bytes, int, Container], ...]] = (
    (b"WAVE", 8, "wav"),
    (b"fLaC", 0, "flac"),
    (b"OggS", 0, "ogg"),
    (b"ftyp", 4, "mov"),
    (b"\x1aE\xdf\xa3", 0, "matroska"),
)
_TAG_HEAD: Final = 10
_TAG_V1: Final = 128
_STREAMED_WAV: Final = 0x7FFFF000  # sizes from here on mean "not known"
BIT_RATES_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Of Layer III in kbit/s by index, MPEG 1 (ISO 11172-3)."""
BIT_RATES_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Of MPEG 2 and 2.5 (ISO 13818-3)."""
_SAMPLE_RATES: Final = (44_100, 48_000, 32_000)


def container_of(data: bytes) -> Container:
    """What kind of file this is, by its first bytes; also the name of libavformat's demuxer.

    libavformat is never left to guess: it knows playlists too, which would make it fetch addresses.

    Raises:
        BadSound: `unreadable`, none of those known here.
    """
    for mark, at, container in _MARKS:
        if data.startswith(mark, at):
            return container
    if data.startswith(b"ID3") or _frame_length(data, 0):
        return "mp3"
    if data[:1] == b"\xff" and data[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9"):
        return "aac"
    raise BadSound("unreadable", "The provider sent a file of no kind of sound known here.")


def refuse_cut(container: Container, data: bytes) -> None:
    """Raise if the file ends early, as far as its structure tells.

    Raises:
        BadSound: `cut`, or `unreadable` where the structure breaks.
    """
    if walk := _WALKS.get(container):
        walk(data)


def flac_samples(data: bytes) -> int:
    """Samples that a FLAC file announces (RFC 9639, 8.2); 0: not said."""
    return int.from_bytes(data[18:26], "big") & ((1 << 36) - 1)


def _cut() -> BadSound:
    return BadSound("cut", "The provider sent a file that ends too early.")


def _walk_mp3(data: bytes) -> None:
    at, frames, announced = 0, 0, 0
    while at < len(data):
        if tag := _tag_length(data, at):
            at += tag
            continue
        length = _frame_length(data, at)
        if not length:
            if len(data) - at < 4:  # noqa: PLR2004 - less than a frame's head
                raise _cut()
            if any(data[at:]):  # some encoders fill up with zeros
                raise BadSound(
                    "unreadable", "The provider sent an MP3 file with other bytes between its frames."
                )
            break
        if at + length > len(data):
            raise _cut()
        if frames == 0 and (said := _announced_frames(data[at : at + length])):
            announced, frames = said, -1  # the frame that announces is not counted
        at, frames = at + length, frames + 1
    if frames < max(announced, 1):
        raise _cut()


def _tag_length(data: bytes, at: int) -> int:
    """Bytes of the ID3 tag that stands here; 0: none. Files that were pieced together have them anywhere."""
    if data[at : at + 3] == b"TAG":
        return _TAG_V1
    if data[at : at + 3] != b"ID3" or len(data) < at + _TAG_HEAD:
        return 0
    size = 0
    for byte in data[at + 6 : at + 10]:  # seven bits each
        size = size << 7 | byte & 0x7F
    return _TAG_HEAD + size


def _frame_length(data: bytes, at: int) -> int:
    """Bytes of the Layer III frame that begins here; 0: none does."""
    head = int.from_bytes(data[at : at + 4], "big")
    version, layer = head >> 19 & 3, head >> 17 & 3
    rate, sampling, padding = head >> 12 & 15, head >> 10 & 3, head >> 9 & 1
    if head >> 21 != 0x7FF or version == 1 or layer != 1 or rate in (0, 15) or sampling == 3:  # noqa: PLR2004
        return 0
    if version == 3:  # noqa: PLR2004 - MPEG 1; 2 is MPEG 2, 0 is MPEG 2.5 at half of its rates
        return 144_000 * BIT_RATES_1[rate] // _SAMPLE_RATES[sampling] + padding
    return 72_000 * BIT_RATES_2[rate] // (_SAMPLE_RATES[sampling] // (2 if version else 4)) + padding


def _announced_frames(frame: bytes) -> int:
    """How many frames follow, where the first frame is a Xing, Info or VBRI header; otherwise 0."""
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark, 4, 48)
        if at > 0 and frame[at + 7 : at + 8] and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12], "big")
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big")
    return 0


def _walk_wav(data: bytes) -> None:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            if 0 < size < _STREAMED_WAV and at + 8 + size > len(data):
                raise _cut()
            return
        at += 8 + size + size % 2
    raise _cut()


def _walk_ogg(data: bytes) -> None:
    at, flags = 0, 0
    while at < len(data):
        if data[at : at + 4] != b"OggS" or len(data) < at + 27:
            raise _cut()
        flags = data[at + 5]
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + data[at + 26] + sum(lacing)
    if at > len(data) or not flags & 4:
        raise _cut()


def _walk_mov(data: bytes) -> None:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:  # the length stands behind the type, in 64 bits
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        at = at + max(size, 8) if size else len(data)  # 0: up to the end
    if at > len(data):
        raise _cut()


def _walk_matroska(data: bytes) -> None:
    at = 0
    while at < len(data):
        _, at = _ebml_number(data, at)
        size, at = _ebml_number(data, at)
        at += size or 0
    if at > len(data):
        raise _cut()


def _ebml_number(data: bytes, at: int) -> tuple[int | None, int]:
    """The number that stands here (RFC 8794, 4), and where it ends; None: "not known", its parts follow."""
    length = 9 - data[at : at + 1].ljust(1, b"\0")[0].bit_length()
    end = at + length
    if end > len(data) or length > 8:  # noqa: PLR2004 - bytes, the most there are
        raise _cut()
    bits = (1 << 7 * length) - 1
    number = int.from_bytes(data[at:end], "big") & bits
    return None if number == bits else number, end


_WALKS: Final[dict[Container, Callable[[bytes], None]]] = {
    "mp3": _walk_mp3,
    "wav": _walk_wav,
    "ogg": _walk_ogg,
    "mov": _walk_mov,
    "matroska": _walk_matroska,
}

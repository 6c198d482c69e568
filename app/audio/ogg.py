"""Ogg pages for one Opus stream (RFC 3533, RFC 7845), without a codec.

A clip is kept as page bodies, each a count of lacing values, these values, and the packets: everything of an
Ogg page but the 26 bytes of its header. Joining only puts headers before bodies.
"""

import struct
import zlib
from typing import Final

PRE_SKIP: Final = 312  # samples at 48 kHz: libopus' look-ahead with application "audio" (6.5 ms)
SILENCE: Final = b"\xf8\xff\xfe"
"""A whole packet of digital silence: CELT, 20 ms, mono (RFC 6716, 3.1 and 4.3)."""
# Of a clip's pages the first ten hold 60 ms each, so that a listener hears the beginning soon; others 1 s.
_SMALL_PAGES: Final = 10
_SMALL: Final = 3
_LARGE: Final = 50
_PACKET: Final = 960  # samples at 48 kHz, 20 ms
_SERIAL: Final = 0x52464E31  # constant, so that the same clips give the same bytes
_FIRST: Final = 2
_LAST: Final = 4
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_CHECKSUM_AT: Final = 22


class Pager:
    """Puts one clip's Opus packets, 20 ms each, into page bodies."""

    def __init__(self) -> None:
        self._pages = 0
        self._packets: list[bytes] = []

    def add(self, packet: bytes) -> bytes:
        """The page body that this packet fills, or nothing."""
        self._packets.append(packet)
        full = _SMALL if self._pages < _SMALL_PAGES else _LARGE
        return self.end() if len(self._packets) == full else b""

    def end(self) -> bytes:
        """The last page body of the clip, or nothing."""
        if not self._packets:
            return b""
        body = page_body(self._packets)
        self._pages += 1
        self._packets = []
        return body


def page_body(packets: list[bytes]) -> bytes:
    """One page's body: number of lacing values, lacing values, packets (RFC 3533, section 6)."""
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets)
    return bytes((len(lacing),)) + lacing + b"".join(packets)


def pages_of(packets: int) -> int:
    """How many pages the `Pager` makes of a clip of so many packets."""
    small = -(-packets // _SMALL)
    if small <= _SMALL_PAGES:
        return small
    return _SMALL_PAGES + -(-(packets - _SMALL_PAGES * _SMALL) // _LARGE)


class Stream:
    """One Ogg Opus stream of any number of clips."""

    def __init__(self) -> None:
        self._page = 0
        self._samples = 0  # at 48 kHz, of the packets so far

    def head(self) -> bytes:
        """The two pages before the sound: identification and (empty) comments."""
        identity = struct.pack("<8sBBHIHB", b"OpusHead", 1, 1, PRE_SKIP, 24_000, 0, 0)
        vendor = b"Refrain"
        tags = struct.pack("<8sI", b"OpusTags", len(vendor)) + vendor + bytes(4)
        return self._header(page_body([identity]), _FIRST, 0) + self._header(page_body([tags]), 0, 0)

    def pages(self, clip: memoryview) -> tuple[bytes, int]:
        """Whole pages from the start of `clip`, and how many of its bytes they used up."""
        out: list[bytes] = []
        at = 0
        while (end := _body_end(clip, at)) is not None:
            body = bytes(clip[at:end])
            self._samples += _PACKET * sum(value < 255 for value in body[1 : 1 + body[0]])  # noqa: PLR2004
            out.append(self._header(body, 0, self._samples))
            at = end
        return b"".join(out), at

    def skip(self, packets: int) -> None:
        """Count a clip of so many packets without its bytes."""
        self._page += pages_of(packets)
        self._samples += _PACKET * packets

    def end(self) -> bytes:
        """The last page: silence for the samples that the pre-skip took; its position trims the rest."""
        return self._header(page_body([SILENCE]), _LAST, self._samples + PRE_SKIP)

    def _header(self, body: bytes, flags: int, position: int) -> bytes:
        page = struct.pack("<4sBBqIII", b"OggS", 0, flags, position, _SERIAL, self._page, 0) + body
        self._page += 1
        checksum = struct.pack("<I", crc(page))
        return page[:_CHECKSUM_AT] + checksum + page[_CHECKSUM_AT + 4 :]


def _body_end(clip: memoryview, at: int) -> int | None:
    if at >= len(clip) or (start := at + 1 + clip[at]) > len(clip):
        return None
    end = start + sum(clip[at + 1 : start])
    return end if end <= len(clip) else None


def crc(page: bytes) -> int:
    """Ogg's checksum: polynomial 0x04C11DB7, most significant bit first, start and final value 0.

    zlib has the same polynomial with the bits of all bytes reversed, and start and final value inverted; so
    its checksum of the bit-reversed bytes, bit-reversed, is this one, all in C.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")


def joined_size(payload: int, packets: int) -> int:
    """Bytes that a clip's pages take in the stream: 26 more for each page than its body."""
    return payload + (_CHECKSUM_AT + 4) * pages_of(packets)

"""The forms in which clips are cached: encoded frames that can be joined without a codec."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from app.audio.ogg import Pager

ADTS_HEAD: Final = 7
"""Bytes of the header before each AAC frame."""
PREFIX: Final = 2
"""Bytes of the length before each FLAC frame."""


class Packer(Protocol):
    """Puts the packets of one clip's encoder into the clip's payload."""

    def add(self, packet: bytes) -> bytes:
        """Bytes of the payload that are final with this packet."""
        ...

    def end(self) -> bytes:
        """The payload's last bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """How a clip's sound is encoded.

    `frame` is in samples at 24 kHz: every clip's length is a multiple of it. `encoder`, `sample_format` and
    `options` are libavcodec's; `bit_rate` is in bits per second, None where the sound decides.
    `block` is the codec's own frame in samples at 24 kHz, where it can be chosen: the same time at any rate.
    `layout` changes whenever a payload's bytes are laid out in another way.
    """

    name: str
    encoder: str
    sample_format: str
    frame: int
    packer: Callable[[], Packer]
    bit_rate: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    block: int | None = None
    layout: int = 1


class Plain:
    """Frames one after another, as they are."""

    def add(self, packet: bytes) -> bytes:
        """The frame itself."""
        return packet

    def end(self) -> bytes:
        """Nothing."""
        return b""


class Adts(Plain):
    """AAC frames, each behind an ADTS header (ISO 14496-3, 1.A.2): LC, 24 kHz, mono, no checksum."""

    def add(self, packet: bytes) -> bytes:
        """The frame with its header of 7 bytes."""
        size = len(packet) + ADTS_HEAD
        # sync, MPEG-4, no CRC | LC, rate index 6, one channel | 13 bits of size | variable rate | one frame
        head = 0xFFF1 << 40 | 1 << 38 | 6 << 34 | 1 << 30 | size << 13 | 0x7FF << 2
        return head.to_bytes(ADTS_HEAD, "big") + packet


def adts_frames(data: memoryview) -> Iterator[tuple[int, int]]:
    """Start and end of each AAC frame that is whole, its header left out."""
    at = 0
    while at + ADTS_HEAD <= len(data):
        end = at + (int.from_bytes(data[at + 3 : at + 6], "big") >> 5 & 0x1FFF)
        if end > len(data) or end <= at + ADTS_HEAD:
            return
        yield at + ADTS_HEAD, end
        at = end


class Prefixed(Plain):
    """FLAC frames, each behind its length in two bytes, big endian: decodable as they come."""

    def add(self, packet: bytes) -> bytes:
        """The frame with its length."""
        return struct.pack(">H", len(packet)) + packet


def prefixed_frames(data: memoryview) -> Iterator[tuple[int, int]]:
    """Start and end of each FLAC frame that is whole, its length left out."""
    at = 0
    while at + PREFIX <= len(data):
        end = at + PREFIX + (data[at] << 8 | data[at + 1])
        if end > len(data):
            return
        yield at + PREFIX, end
        at = end


# 64 kbit/s at 24 kHz are exactly 192 bytes per frame, with no padding; so it is at 48 kHz, and with every bit
# rate on offer. Without the bit reservoir no frame needs bytes of the one before.
MP3: Final = Form("mp3", "libmp3lame", "s16p", 576, Plain, 64_000, (("reservoir", "0"),))
OPUS: Final = Form(
    "opus", "libopus", "s16", 480, Pager, 32_000, (("application", "audio"), ("frame_duration", "20"))
)
# Noise substitution (PNS) draws random numbers in the decoder: a clip would sound different behind another
# one, by up to 6,475 of 32,768 steps where measured. The "fast" coder is, at this rate and on speech, the better
# one too: 31 dB of signal to noise against 21 of the default one, at an eighth of its time.
AAC: Final = Form("aac", "aac", "fltp", 1_024, Adts, 64_000, (("aac_coder", "fast"), ("aac_pns", "0")))
# 960 samples at 24 kHz are a whole number of samples at every rate that is offered. Clips are whole frames, all
# of one size, so that a joined stream has frames of a fixed size as players know it; and they are short, 40 ms
# and not the usual 100, so that first sound need not wait for more.
FLAC: Final = Form("flac", "flac", "s16", 960, Prefixed, block=960, layout=2)
ULAW: Final = Form("ulaw", "pcm_mulaw", "s16", 480, Plain, block=480)
ALAW: Final = Form("alaw", "pcm_alaw", "s16", 480, Plain, block=480)

"""The forms in which clips are cached: encoded frames that can be joined without a codec."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from app.audio.ogg import Pager


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
    """

    name: str
    encoder: str
    sample_format: str
    frame: int
    packer: Callable[[], Packer]
    bit_rate: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    block: int | None = None


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
        size = len(packet) + 7
        # sync, MPEG-4, no CRC | LC, rate index 6, one channel | 13 bits of size | variable rate | one frame
        head = 0xFFF1 << 40 | 1 << 38 | 6 << 34 | 1 << 30 | size << 13 | 0x7FF << 2
        return head.to_bytes(7, "big") + packet


class Prefixed(Plain):
    """FLAC frames, each behind its length in two bytes, big endian: decodable as they come."""

    def add(self, packet: bytes) -> bytes:
        """The frame with its length."""
        return struct.pack(">H", len(packet)) + packet


# 64 kbit/s at 24 kHz are exactly 192 bytes per frame, with no padding. Without the bit reservoir no frame
# needs bytes of the one before.
MP3: Final = Form("mp3", "libmp3lame", "s16p", 576, Plain, 64_000, (("reservoir", "0"),))
OPUS: Final = Form(
    "opus", "libopus", "s16", 480, Pager, 32_000, (("application", "audio"), ("frame_duration", "20"))
)
# Noise substitution (PNS) draws random numbers in the decoder: a clip would sound different behind another
# one, by up to 6,475 of 32,768 steps where measured. The "fast" coder is, at this rate and on speech, the better
# one too: 31 dB of signal to noise against 21 of the default one, at an eighth of its time.
AAC: Final = Form("aac", "aac", "fltp", 1_024, Adts, 64_000, (("aac_coder", "fast"), ("aac_pns", "0")))
# 480 samples at 24 kHz are a whole number of samples at every rate that is offered. Frames of 1,152 samples,
# not the usual 100 ms, so that first sound need not wait for more.
FLAC: Final = Form("flac", "flac", "s16", 480, Prefixed, block=1_152)

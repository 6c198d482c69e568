"""The joined FLAC stream, against the letter of RFC 9639."""

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext
from hypothesis import given
from hypothesis import strategies as st

from app.audio.flac import _crc16, _moved
from app.audio.formats import FORMATS, output
from app.audio.offers import SAMPLE_RATES
from tests.audio.sounds import Clip, clip, joined, tone

FLAC = FORMATS["flac"]


def crc(data: bytes, polynomial: int, bits: int) -> int:
    """A checksum bit by bit, most significant first, beginning with 0."""
    register = 0
    for byte in data:
        register ^= byte << (bits - 8)
        for _ in range(8):
            register <<= 1
            if register >> bits:
                register ^= polynomial
    return register


def frames_of(data: bytes, clips: list[Clip]) -> list[bytes]:
    """The stream's frames: their lengths are those of the clips', but for what their numbers take."""
    frames, at = [], 42
    for payload, _ in clips:
        here, local = 0, 0
        while here < len(payload):
            size = int.from_bytes(payload[here : here + 2], "big")
            longer = len(chr_bytes(len(frames))) - len(chr_bytes(local))
            frames.append(data[at : at + size + longer])
            at += size + longer
            here += 2 + size
            local += 1
    assert at == len(data)
    return frames


def chr_bytes(number: int) -> bytes:
    """A frame's number, coded as UTF-8 codes characters."""
    return chr(number).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_every_frame_is_well_formed(rate: int):
    """Strict players would skip frames with a wrong checksum, and seek to wrong places by wrong numbers."""
    wanted = output(FLAC, rate)
    one, other = clip(wanted, tone(0.3)), clip(wanted, tone(3.2, 220))
    clips = [one, other] * 26  # past 2,047, where numbers take three bytes
    data = joined(wanted, clips)
    block = 960 * rate // 24_000
    assert data[:8] == b"fLaC\x80\0\0\x22"
    assert data[8:12] == block.to_bytes(2, "big") * 2
    fields = int.from_bytes(data[18:26], "big")
    assert (fields >> 44, fields >> 41 & 7, fields >> 36 & 31) == (rate, 0, 15)
    assert (fields & (1 << 36) - 1) * 24_000 == rate * sum(samples for _, samples in clips)
    frames = frames_of(data, clips)
    assert len(frames) > 2_100
    for number in (*range(140), *range(2_030, 2_060), len(frames) - 1):
        frame, coded = frames[number], chr_bytes(number)
        head = frame[: 7 + len(coded)]
        assert head[:2] == b"\xff\xf8"
        assert head[4:-3] == coded
        assert head[-3:-1] == (block - 1).to_bytes(2, "big")
        assert head[-1] == crc(head[:-1], 0x107, 8)
        assert int.from_bytes(frame[-2:], "big") == crc(frame[:-2], 0x18005, 16)


def test_a_strict_decoder_takes_every_frame():
    """Other decoders than the one that we test with check what it lets pass unless told."""
    wanted = output(FLAC)
    clips = [clip(wanted, tone(seconds)) for seconds in (0.3, 6.0, 1.1)]
    frames = frames_of(joined(wanted, clips), clips)
    decoder = CodecContext.create("flac", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.sample_rate = 24_000
    decoder.options = {"err_detect": "crccheck+explode"}
    samples = sum(decoded.samples for frame in frames for decoded in decoder.decode(av.Packet(frame)))
    assert samples == sum(samples for _, samples in clips)
    damaged = frames[3][:-1] + bytes((frames[3][-1] ^ 1,))
    with pytest.raises(av.error.InvalidDataError):
        decoder.decode(av.Packet(damaged))


@given(st.integers(0, 0xFFFF), st.integers(0, 70_000))
def test_a_checksum_moves_as_if_zeros_followed(checksum: int, zeros: int):
    """The checksums of frames would be wrong at some lengths and right at others."""
    register = checksum
    for _ in range(zeros % 64):
        register = int(_crc16()[register >> 8]) ^ (register << 8 & 0xFFFF)
    assert _moved(np.array([checksum], np.uint16), np.array([zeros % 64]))[0] == register
    there = _moved(np.array([checksum], np.uint16), np.array([zeros]))
    whole = 32_767 * (zeros // 32_767 + 1)
    assert _moved(there, np.array([whole - zeros]))[0] == checksum


def test_a_frame_that_is_not_ours_is_refused():
    """Frames of another layout would be given headers that do not belong to them."""
    payload, samples = clip(FLAC, tone(1))
    damaged = payload[:3] + bytes((payload[3] ^ 1,)) + payload[4:]
    with pytest.raises(ValueError, match="not as it was made"):
        joined(FLAC, [(damaged, samples)])

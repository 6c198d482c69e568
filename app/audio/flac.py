"""One FLAC stream out of many clips' frames, without a codec: each frame is given its number in the stream.

A frame (RFC 9639, section 9) is a header that holds its number and ends with a CRC-8 of itself, the sound, and
a CRC-16 of all that. The sound stays as it is. The CRC-16 is linear: when the header changes, the sum changes by
the difference of the headers' own sums, moved by as many bytes as follow them. So the sound need not be read.
"""

import struct
from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.audio.forms import FLAC, PREFIX, prefixed_frames
from app.audio.joiners import Bytes, at_rate, refuse_rest

# The header's codes for sample rates (RFC 9639, 9.1.2).
_RATE_CODES: Final = {8_000: 4, 16_000: 5, 22_050: 6, 24_000: 7, 44_100: 9, 48_000: 10}
_SIXTEEN_BITS: Final = 4 << 1  # the third byte's code, for mono
_BLOCK_CODE: Final = 7  # the block's length less one follows in two bytes
_FOOTER: Final = 2
# Frame numbers below these take 1, 2, ... bytes, coded as UTF-8 codes characters.
_LIMITS: Final = (0x80, 0x800, 0x10000, 0x200000, 0x4000000, 0x80000000)
_ZEROS: Final = bytes(3)  # a subframe (RFC 9639, 9.2) of one constant value, 0

Words = NDArray[np.uint16]


class FlacJoiner:
    """flac: one stream over all clips, of frames that all have the same length, as players want it."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._done = 0  # frames of the stream so far
        self._here = 0  # of them, those of the current clip
        self._partial = b""

    def head(self, samples: int | None) -> bytes:
        """The marker and STREAMINFO (RFC 9639, 8.2), with the number of samples where it is known, else 0.

        Frame sizes and MD5 are 0, not known: they would be known only at the end.
        """
        total = 0 if samples is None else at_rate(samples, self._rate)
        block, mono, bits = _block(self._rate), 0, 16 - 1
        fields = self._rate << 44 | mono << 41 | bits << 36 | total
        info = struct.pack(">HH6xQ16x", block, block, fields)
        return b"fLaC\x80" + len(info).to_bytes(3, "big") + info

    def add(self, piece: Bytes, *, last: bool) -> Bytes:
        """The frames that are whole by now."""
        data = memoryview(self._partial + piece if self._partial else piece)
        frames = list(prefixed_frames(data))
        self._partial = bytes(data[frames[-1][1] :] if frames else data)
        refuse_rest(self._partial, last=last)
        out: list[Bytes] = []
        while frames:
            # As many as have numbers of one width, old and new: nearly always all of them.
            count = min(len(frames), _room(self._done), _room(self._here))
            out += self._numbered(data, frames[:count])
            del frames[:count]
            self._done += count
            self._here += count
        if last:
            self._here = 0
        return b"".join(out)

    def skip(self, payload: int, samples: int) -> int:
        """The payload without its prefixes, and what longer numbers take."""
        frames = samples // FLAC.frame
        longer = _widths(self._done + frames) - _widths(self._done) - _widths(frames)
        self._done += frames
        return payload - PREFIX * frames + longer

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def _numbered(self, data: memoryview, frames: list[tuple[int, int]]) -> list[Bytes]:
        """These frames with the numbers that they have in the stream."""
        old, old_sums = _headers(self._rate, self._here, len(frames))
        new, new_sums = _headers(self._rate, self._done, len(frames))
        skip, width = len(old) // len(frames), len(new) // len(frames)
        sums = np.array([data[end - 2] << 8 | data[end - 1] for _, end in frames], np.uint16)
        behind = np.array([end - start for start, end in frames]) - (skip + _FOOTER)
        footers = (sums ^ _moved(old_sums ^ new_sums, behind)).astype(">u2").tobytes()
        out: list[Bytes] = []
        for number, (start, end) in enumerate(frames):
            if data[start : start + skip] != old[number * skip : (number + 1) * skip]:
                raise ValueError("a cached clip holds a frame that is not as it was made")
            out.append(new[number * width : (number + 1) * width])
            out.append(data[start + skip : end - _FOOTER])
            out.append(footers[_FOOTER * number : _FOOTER * (number + 1)])
        return out


def silent_frames(sample_rate: int, count: int) -> Iterator[bytes]:
    """A clip of so many frames of zeros, at most 128, at this rate in Hz: byte for byte what libavcodec makes."""
    headers, sums = _headers(sample_rate, 0, count)
    for _ in _ZEROS:  # the sum goes on over them
        sums = _crc16()[sums >> 8] ^ (sums << 8)
    width = len(headers) // count
    footers = sums.astype(">u2").tobytes()
    for number in range(count):
        header = headers[number * width : (number + 1) * width]
        yield header + _ZEROS + footers[_FOOTER * number : _FOOTER * (number + 1)]


def _headers(sample_rate: int, first: int, count: int) -> tuple[bytes, Words]:
    """The headers of frames with numbers of one width, and the CRC-16 of each."""
    numbers = np.arange(first, first + count, dtype=np.uint32)
    fixed = (0xFF, 0xF8, _BLOCK_CODE << 4 | _RATE_CODES[sample_rate], _SIXTEEN_BITS)
    columns = [np.full(count, byte, np.uint8) for byte in fixed]
    columns += _coded(numbers, _width(first))
    columns += [np.full(count, byte, np.uint8) for byte in (_block(sample_rate) - 1).to_bytes(2, "big")]
    check = np.zeros(count, np.uint8)
    for column in columns:
        check = _crc8()[check ^ column]
    columns.append(check)
    sums = np.zeros(count, np.uint16)
    for column in columns:
        sums = _crc16()[(sums >> 8) ^ column] ^ (sums << 8)
    return np.stack(columns, axis=1).tobytes(), sums


def _block(sample_rate: int) -> int:
    """Samples of a frame."""
    assert FLAC.block is not None
    return at_rate(FLAC.block, sample_rate)


def _width(number: int) -> int:
    """Bytes that a frame's number takes."""
    return 1 + sum(number >= limit for limit in _LIMITS)


def _widths(count: int) -> int:
    """Bytes that the numbers of the first `count` frames take together."""
    return count + sum(max(0, count - limit) for limit in _LIMITS)


def _room(number: int) -> int:
    """How many frames from this one on have numbers of the same width."""
    return next(limit for limit in _LIMITS if number < limit) - number


def _coded(numbers: NDArray[np.uint32], width: int) -> list[NDArray[np.uint8]]:
    """The bytes of numbers that all take `width` of them, first bytes first."""
    if width == 1:
        return [numbers.astype(np.uint8)]
    lead = 0xFF00 >> width & 0xFF
    first = lead | numbers >> 6 * (width - 1)
    others = [0x80 | numbers >> 6 * place & 0x3F for place in reversed(range(width - 1))]
    return [column.astype(np.uint8) for column in (first, *others)]


# The CRC-16's polynomial is (x + 1)(x^15 + x + 1). To move a sum by n bytes is to multiply it by x^8n. Modulo
# x + 1 that changes nothing (what is left there is the parity of the bits); modulo the other factor, which is
# primitive, it is an addition of logarithms.
_FACTOR: Final = 0x8003
_DEGREE: Final = 15
_ORDER: Final = 2**_DEGREE - 1


def _moved(sums: Words, by: NDArray[np.int64]) -> Words:
    """Each CRC-16 as it is when so many zero bytes follow."""
    powers, logarithms, parity = _tables()
    rest = np.where(sums & 0x8000, sums ^ _FACTOR, sums)
    moved = np.where(rest, powers[(logarithms[rest] + 8 * by) % _ORDER], 0).astype(np.uint16)
    # Of the two sums with this rest it is the one with the old parity.
    return np.where(parity[moved] == parity[sums], moved, moved ^ _FACTOR).astype(np.uint16)


@cache
def _tables() -> tuple[Words, NDArray[np.int64], NDArray[np.uint8]]:
    """Powers of x modulo `_FACTOR`, their logarithms, and the parity of 16 bits."""
    powers = np.zeros(_ORDER, np.uint16)
    known, step = _DEGREE, 1
    powers[:known] = 1 << np.arange(known)
    while known < _ORDER:
        # x^15 is x + 1, and so x^15s is x^s + 1 for every s that is a power of two: squares have no mixed terms.
        if known >= 2 * _DEGREE * step:
            step *= 2
        end = min(known + (_DEGREE - 1) * step, _ORDER)
        back = np.arange(known, end) - _DEGREE * step
        powers[known:end] = powers[back + step] ^ powers[back]
        known = end
    logarithms = np.zeros(_ORDER + 1, np.int64)
    logarithms[powers] = np.arange(_ORDER)
    parity = np.arange(2**16, dtype=np.uint16)
    for shift in (8, 4, 2, 1):
        parity ^= parity >> shift
    return powers, logarithms, (parity & 1).astype(np.uint8)


@cache
def _crc8() -> NDArray[np.uint8]:
    """x^8 + x^2 + x + 1, the next byte's table."""
    return _table(0x107, 8).astype(np.uint8)


@cache
def _crc16() -> Words:
    """x^16 + x^15 + x^2 + 1, the next byte's table."""
    return _table(0x18005, 16).astype(np.uint16)


def _table(polynomial: int, bits: int) -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32) << np.uint32(bits - 8)
    for _ in range(8):
        table = np.where(table >> (bits - 1), table << 1 ^ polynomial, table << 1).astype(np.uint32)
    return np.asarray(table, np.uint32)

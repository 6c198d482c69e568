"""The pager, against the letter of RFC 3533."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audio.formats import FORMATS
from app.audio.ogg import Pager, crc, pages_of
from tests.audio.sounds import clip, joined, tone


@given(st.binary(max_size=300))
def test_checksum_is_oggs(data: bytes):
    """Every player would refuse every page."""
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register & 0x80000000 else 0)) & 0xFFFFFFFF
    assert crc(data) == register


def test_pages_are_well_formed():
    """Strict players stop at a wrong sequence, serial number, position or flag."""
    fmt = FORMATS["opus"]
    clips = [clip(fmt, tone(seconds)) for seconds in (0.1, 3.0, 0.8)]
    data, at, pages = joined(fmt, clips), 0, []
    while at < len(data):
        mark, version, flags, position, serial, number, checksum, count = struct.unpack_from(
            "<4sBBqIIIB", data, at
        )
        size = 27 + count + sum(data[at + 27 : at + 27 + count])
        page = data[at : at + size]
        assert (mark, version) == (b"OggS", 0)
        assert crc(page[:22] + bytes(4) + page[26:]) == checksum
        pages.append((flags, position, serial, number))
        at += size
    total = 2 * sum(samples for _, samples in clips)
    assert [flags for flags, *_ in pages] == [2] + [0] * (len(pages) - 2) + [4]
    assert [number for *_, number in pages] == list(range(len(pages)))
    assert len({serial for _, _, serial, _ in pages}) == 1
    assert [position for _, position, *_ in pages] == sorted(position for _, position, *_ in pages)
    assert pages[-1][1] == total + 312, "the last position less the pre-skip is the length"


@pytest.mark.parametrize("packets", [0, 1, 2, 3, 4, 29, 30, 31, 79, 80, 81, 82, 1_000])
def test_number_of_pages_is_known_before(packets: int):
    """The length of a whole hit would be announced wrong."""
    pager = Pager()
    bodies = [pager.add(b"x") for _ in range(packets)] + [pager.end()]
    assert pages_of(packets) == sum(bool(body) for body in bodies)

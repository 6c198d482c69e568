"""Values carry what it takes to know that they are whole."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.digest import LAYOUT
from cache.errors import Damaged
from cache.value import decode, encode, new_entry

ENTRY = new_entry(b'{"samples": 2880}', random.Random(1).randbytes(12_000), made_at=1.7e9, ttl=60.0)


@given(st.binary(), st.binary(), st.floats(0, 1e10), st.floats(0, 1e9))
def test_what_is_written_is_read(meta: bytes, payload: bytes, made_at: float, ttl: float):
    """Sound that comes back changed is somebody else's sound."""
    entry = new_entry(meta, payload, made_at=made_at, ttl=ttl)
    assert decode(encode(entry)) == entry


def test_one_flipped_bit_in_a_thousand_values_is_always_found():
    """A listener would otherwise hear noise, and hear it again at every replay."""
    chance = random.Random(2)
    value = encode(ENTRY)
    found = 0
    for _ in range(1000):
        damaged = bytearray(value)
        damaged[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
        try:
            decode(bytes(damaged))
        except Damaged:
            found += 1
    assert found == 1000


def test_every_bit_of_head_and_meta_counts():
    """A wrong length, lifetime or checksum is as bad as a wrong sound."""
    value = encode(new_entry(b"{}", b"x", made_at=1.0, ttl=2.0))
    for bit in range(8 * len(value)):
        damaged = bytearray(value)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged):
            decode(bytes(damaged))


def test_cut_and_lengthened_values_are_found():
    """A write that was cut off must not be played to its middle."""
    value = encode(ENTRY)
    for damaged in (b"", value[:59], value[:-1], value[:6000], value + b"\0"):
        with pytest.raises(Damaged):
            decode(damaged)


def test_another_layout_is_not_read():
    """Two versions side by side must not misread each other."""
    value = bytearray(encode(ENTRY))
    value[4] = LAYOUT + 1
    with pytest.raises(Damaged, match="layout"):
        decode(bytes(value))


def test_the_checksum_names_the_payload_alone():
    """The ETag of the same bytes is the same, whenever they were made."""
    again = new_entry(b"", ENTRY.payload, made_at=5.0, ttl=1.0)
    assert again.checksum == ENTRY.checksum
    assert len(ENTRY.checksum) == 32

"""Digests name content."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.digest import Field, digest, encode

fields = st.lists(st.none() | st.text() | st.binary() | st.integers() | st.floats(), max_size=6)


def exact(values: list[Field]) -> list[tuple[str, object]]:
    """The list such that equality means sameness of types and bits (1 == 1.0, and nan != nan)."""
    return [(type(v).__name__, struct.pack("<d", v) if isinstance(v, float) else v) for v in values]


@given(fields, fields)
def test_different_fields_encode_differently(one: list[Field], other: list[Field]):
    """Two requests that differ anywhere would otherwise be answered with each other's sound."""
    assert (encode(one) == encode(other)) == (exact(one) == exact(other))


@given(st.text(), st.text(min_size=1))
def test_a_boundary_cannot_be_moved(left: str, right: str):
    """Text that flows from one field into the next must not give the same name."""
    moved = [left + right[0], right[1:]]
    assert encode([left, right]) != encode(moved)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], [1.0]),
        ([1], ["1"]),
        (["a"], [b"a"]),
        ([None], [""]),
        ([], [None]),
        ([0.0], [-0.0]),
        (["ab", "c"], ["a", "bc"]),
        ([255], [-1]),
        ([127, 128], [128, 127]),
        (["\ud800"], ["\udfff"]),
        ([10**5000], [10**5000 + 1]),
        ([math.nan], [math.inf]),
    ],
)
def test_near_misses_differ(one: list[Field], other: list[Field]):
    """The pairs that careless encodings confuse."""
    assert digest("clip", one) != digest("clip", other)


def test_kinds_never_share_a_name():
    """A speech's manifest must never be played as a clip."""
    assert digest("clip", ["a"]) != digest("speech", ["a"])


def test_a_digest_is_forty_hexadecimal_digits_and_stable():
    """A changed digest empties every cache in the field: whoever changes it must raise the layout instead."""
    name = digest("clip", ["Hello.", "voice", 24_000, 1.0, None, b"\x00"])
    assert name == "37038bff64d56d9ef49dcfde2a88b5268b892e0c"


@pytest.mark.parametrize("kind", ["", "fourteen-chars"])
def test_a_kind_that_cannot_be_told_apart_is_refused(kind: str):
    """Kinds are cut by nobody silently."""
    with pytest.raises(ValueError, match="kind"):
        digest(kind, [])

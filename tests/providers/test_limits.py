"""Each unit counts as its vendor does, and no text counts more than `worst` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import limits
from providers.interface import Limit

TEXT = 'Tom & "Jerry" <3 Öl 🎉'
MARKUP = "Tom &amp; <emphasis>Jerry</emphasis> Öl 🎉"

UNITS = {
    "characters": limits.characters(9),
    "utf8_bytes": limits.utf8_bytes(9),
    "escaped_characters": limits.escaped_characters(9),
    "billed_characters": limits.billed_characters(9),
    "tokens": limits.tokens(9),
}


@pytest.mark.parametrize(
    ("unit", "plain", "marked"),
    [
        ("characters", 21, 41),
        ("utf8_bytes", 25, 45),
        ("escaped_characters", 38, 41),
        ("billed_characters", 21, 16),
        ("tokens", 25, 45),
    ],
)
def test_units_count_as_vendors_do(unit: str, plain: int, marked: int):
    """A chunk that is counted too low is refused by the vendor, after the listener has begun to wait."""
    limit = UNITS[unit]
    assert limit.most == 9
    assert limit.count(TEXT, None) == plain
    assert limit.count(TEXT, MARKUP) == marked


@pytest.mark.parametrize("limit", UNITS.values(), ids=UNITS)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_text_counts_more_than_its_worst(limit: Limit, text: str):
    """Where the worst case fits, nothing is counted: a figure too low there is a limit that does not hold."""
    assert limit.count(text, None) <= limit.worst * len(text)
    assert limit.count(text[:-1], None) <= limit.count(text, None)

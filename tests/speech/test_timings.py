"""When words are spoken, on the clip's clock."""

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.audio.recorder import Recorded
from app.speech.clips import ClipMeta
from app.speech.timings import NONE, on_clip, packed, unpacked
from providers.interface import Timing


def recorded(audible: tuple[int, int], lead: int) -> Recorded:
    """A second and a half of anything."""
    return Recorded(b"", 36_000, 1.5, 9_000, 3_000.0, audible, lead)


def test_times_are_moved_with_the_sound():
    """Each word would be marked as much too late as silence was cut in front of it."""
    timings = [Timing(0, 5, 1.0, 1.5), Timing(6, 11, 1.5, 2.0)]
    assert on_clip(timings, recorded((816, 30_000), -23_184), characters=11, tempo=1.0) == (
        (0, 5, 816, 12_816),
        (6, 11, 12_816, 24_816),
    )
    assert on_clip(timings, recorded((576, 30_000), 576), characters=11, tempo=2.0) == (
        (0, 5, 12_576, 18_576),
        (6, 11, 18_576, 24_576),
    )


@given(
    st.lists(
        st.builds(
            Timing,
            st.integers(-3, 40),
            st.integers(-3, 40),
            st.floats() | st.floats(0, 2),
            st.floats() | st.floats(0, 2),
        )
    ),
    st.integers(-50_000, 576),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_whatever_a_vendor_tells_makes_sense(timings: list[Timing], lead: int, tempo: float):
    """A vendor's slip would cost the clip, or make captions that no player takes."""
    placed = on_clip(timings, recorded((576, 30_000), lead), characters=30, tempo=tempo)
    character, sample = 0, 576
    for start, end, begins, ends in placed:
        assert character <= start < end <= 30
        assert sample <= begins <= ends <= 30_000
        character, sample = end, ends
    assert unpacked(packed(placed)) == placed


def test_sane_timings_are_all_kept():
    """Captions would have no words, and nobody would notice."""
    timings = [Timing(at, at + 1, at / 100, (at + 1) / 100) for at in range(30)]
    assert len(on_clip(timings, recorded((576, 30_000), 576), characters=30, tempo=1.0)) == 30
    assert on_clip([Timing(0, 1, math.nan, 1.0)], recorded((576, 30_000), 0), characters=9, tempo=1.0) == ()


def test_clips_of_before_are_read():
    """All sound that was there before words had times would be made anew."""
    old = b'{"samples":24000,"provider":"p","characters":9}'
    meta = msgspec.json.decode(old, type=ClipMeta)
    assert (meta.audible, unpacked(meta.timings)) == (None, ())
    assert meta.timings == NONE
    assert msgspec.json.encode(meta) == old

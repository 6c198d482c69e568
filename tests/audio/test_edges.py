"""The edit of a clip's edges."""

from time import process_time

import numpy as np
import pytest

from app.audio.edges import BEHIND, FRONT, ONSET, PAUSE, Edges
from tests.audio.sounds import Samples, silence, speech, tone
from tests.growth import is_linear

WINDOW = 240


def _edited(sound: Samples, size: int = 1_000) -> Samples:
    edges = Edges()
    parts = [edges.push(sound[at : at + size]) for at in range(0, len(sound), size)]
    return np.concatenate((*parts, edges.finish()))


def test_long_silence_is_cut_to_the_budget():
    """Every provider pauses differently, and a speech by two of them would limp."""
    sound = _edited(np.concatenate((silence(1), tone(0.5), silence(1))))
    assert len(sound) == FRONT + ONSET + 12_000 + PAUSE + BEHIND


def test_missing_silence_is_added():
    """Without silence at a clip's end its last sound stays in the codec."""
    sound = _edited(tone(0.5))
    assert len(sound) == FRONT + 12_000 + BEHIND
    assert not sound[:FRONT].any()
    assert not sound[-BEHIND:].any()


@pytest.mark.parametrize("extra", [0, 1, 100, 239])
def test_sound_that_begins_and_ends_at_once_is_faded(extra: int):
    """A click would be heard at each join."""
    loud = np.full(12_000 + extra, 10_000, np.int16)
    sound = _edited(loud)
    assert len(sound) == FRONT + len(loud) + BEHIND
    assert np.abs(np.diff(sound.astype(int))).max() <= 10_000 / 100
    assert (sound[FRONT + 120 : -BEHIND - 120] == 10_000).all()


def test_pauses_within_stay():
    """A speaker's pauses within a sentence are part of how it is said."""
    spoken = np.concatenate((tone(0.5), silence(1.5), tone(0.5)))
    assert len(_edited(spoken)) == FRONT + len(spoken) + BEHIND


def test_speech_is_not_touched_between_its_edges():
    """Editing must not change what is said."""
    spoken = speech()[2]
    sound = _edited(spoken)
    inner = sound[FRONT + ONSET : -BEHIND - PAUSE]
    start = next(at for at in range(0, len(spoken), WINDOW) if (spoken[at : at + 500] == inner[:500]).all())
    assert (spoken[start : start + len(inner)] == inner).all()


@pytest.mark.parametrize("size", [1, 239, 240, 241, 5_000, 10**6])
def test_edit_does_not_depend_on_pieces(size: int):
    """One digest would name different sounds."""
    spoken = speech()[0]
    assert (_edited(spoken, size) == _edited(spoken)).all()


def test_silence_gives_nothing():
    """The recorder tells silence by it."""
    assert len(_edited(silence(2))) == 0
    assert len(_edited(silence(0))) == 0


def test_a_pause_of_minutes_takes_linear_time():
    """One answer with a long silence in it would keep a thread busy for minutes."""

    def cost(seconds: int) -> float:
        begin = process_time()
        edges = Edges()
        edges.push(tone(0.5))
        for _ in range(100 * seconds):
            edges.push(np.zeros(WINDOW, np.int16))
        assert len(edges.push(tone(0.5))) > seconds * 24_000
        edges.finish()
        return process_time() - begin

    assert is_linear(cost, 10, 100)

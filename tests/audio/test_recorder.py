"""A recorder's life, and what it says of a clip."""

import numpy as np
import pytest

from app.audio.check import BadSound
from app.audio.formats import FORMATS
from tests.audio.sounds import clip, decoded, joined, pieces, record, recorder, silence, tone

PCM = FORMATS["pcm"]


def test_recorded_says_what_is_in_the_clip():
    """Manifests, captions and loudness are made from these figures."""
    payload, recorded = record(PCM, [tone(1).tobytes()])
    sound = decoded(PCM, joined(PCM, [(payload, recorded.samples)]))
    assert len(sound) == recorded.samples
    assert recorded.seconds == recorded.samples / 24_000
    assert recorded.peak == np.abs(sound).max()
    assert recorded.rms == pytest.approx(np.sqrt((sound**2).mean()))


@pytest.mark.parametrize("size", [1_000, 10**6])
@pytest.mark.parametrize(
    ("before", "cut"), [(0.0, 0), (0.004, 0), (0.010, 0), (1.0, 23_760), (1.005, 23_760)]
)
def test_recorded_says_where_the_sound_stands(before: float, cut: int, size: int):
    """Captions would run ahead of the voice by all the silence that was cut."""
    sound = np.concatenate((silence(before), tone(0.5, 2_000)))
    payload, recorded = record(PCM, pieces(sound.tobytes(), size))
    assert recorded.lead == 576 - cut
    start, end = recorded.audible
    loud = np.flatnonzero(np.abs(decoded(PCM, joined(PCM, [(payload, recorded.samples)]))) > 500)
    assert 0 <= loud[0] - start < 240
    assert 0 <= end - loud[-1] <= 240
    assert abs(loud[0] - (before * 24_000 + recorded.lead)) < 24


@pytest.mark.parametrize("tempo", [0.4, 0.8, 1.0, 1.5, 3.0])
def test_a_moment_of_the_sound_is_found_in_the_clip(tempo: float):
    """Words would be shown before or after they are said, by those who hear them faster."""
    sound = np.concatenate((silence(0.7), tone(1, 500), tone(1, 3_000)))
    payload, recorded = record(PCM, [sound.tobytes()], tempo=tempo)
    clip = decoded(PCM, joined(PCM, [(payload, recorded.samples)]))
    change = round(1.7 * 24_000 / tempo) + recorded.lead
    for at, pitch in ((change - 480 - 600, 500), (change + 480, 3_000)):
        spectrum = np.abs(np.fft.rfft(clip[at : at + 600]))
        assert abs(spectrum.argmax() * 40 - pitch) <= 40


@pytest.mark.parametrize("name", FORMATS)
def test_closing_is_possible_at_any_time(name: str):
    """A listener who leaves early would turn into an error in the log."""
    for fed in (b"", tone(0.01).tobytes(), tone(1).tobytes()):
        recording = recorder(FORMATS[name], tempo=1.5)
        recording.feed(fed)
        recording.close()
        recording.close()
    recording = recorder(FORMATS[name])
    recording.feed(tone(1).tobytes())
    recording.finish()
    recording.close()


def test_a_refused_recorder_is_closed():
    """Each refusal would leave an encoder behind."""
    recording = recorder(PCM)
    with pytest.raises(BadSound):
        recording.finish()
    recording.close()


@pytest.mark.parametrize("tempo", [0.25, 0.5, 0.8, 2.0, 4.0])
def test_the_whole_range_of_speed(tempo: float):
    """A speed that the contract allows would fail."""
    _, samples = clip(PCM, tone(2), tempo=tempo)
    assert (samples - 2_304) / 24_000 == pytest.approx(2 / tempo, rel=0.1)


def test_full_scale_does_not_wrap():
    """Resampling overshoots at full scale; wrapped around, it would be a loud click."""
    square = np.where(tone(1, 200, 48_000) > 0, 32_767, -32_768).astype(np.int16)
    sound = decoded(PCM, joined(PCM, [clip(PCM, square, sample_rate=48_000)]))
    inner = sound[2_000:20_000]
    flat = np.abs(inner) > 30_000
    assert flat.mean() > 0.8
    # Wrapped samples would have the other sign than their neighbours on both sides.
    signs = np.sign(inner)
    assert not ((signs[1:-1] != signs[:-2]) & (signs[1:-1] != signs[2:])).any()


def test_silence_within_does_not_hold_back_what_was_said():
    """A listener would wait through a pause for sound that is long there."""
    recording = recorder(PCM)
    first = recording.feed(tone(1).tobytes())
    during = recording.feed(silence(1).tobytes())
    frames = joined(PCM, [(first, 0)])
    assert len(frames) / 2 >= 0.9 * 24_000
    assert during == b""
    recording.close()

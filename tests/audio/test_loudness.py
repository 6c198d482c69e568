"""How loud clips are: measured as the standard has it, brought to one loudness, never above the peak."""

import math
from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
import soxr

from app.audio.formats import FORMATS
from app.audio.limiter import Limiter
from app.audio.loudness import FAINT, MOST_GAIN, Leveler, Leveling, Measured, mean, measure
from providers.hibari import LOUDNESS
from tests.audio.sounds import Samples, clip, decoded, joined, recorder, silence, speech, tone

RATE = 24_000
CEILING = 10 ** (-2 / 20)


def sine(decibels: float, frequency: float = 997.0, seconds: float = 2.0) -> Samples:
    """A sine with its peaks at so many decibels of full scale."""
    return tone(seconds, frequency, level=32_768 * 10 ** (decibels / 20))


def loudness(sound: Samples) -> float:
    """In LUFS, of sound that has any."""
    measured = measure(sound)
    assert measured is not None
    return measured.loudness


def true_peak(sound: Samples) -> float:
    """In dB of full scale, by another interpolation than ours."""
    curve = soxr.resample(sound.astype(np.float64) / 32_768, RATE, 4 * RATE, "VHQ")
    return 20 * math.log10(np.abs(curve).max())


def leveled(sound: Samples, leveling: Leveling | None, size: int = 2_400) -> Samples:
    """Through a leveler in pieces."""
    leveler = Leveler(leveling)
    parts = [leveler.push(sound[at : at + size]) for at in range(0, len(sound), size)]
    return np.concatenate((*parts, leveler.finish()))


def limited(sound: Samples, gain: float, size: int = 2_400) -> Samples:
    """Through a limiter in pieces."""
    limiter = Limiter(gain, CEILING)
    parts = [limiter.push(sound[at : at + size]) for at in range(0, len(sound), size)]
    return np.concatenate((*parts, limiter.finish()))


def by_libavfilter(sound: Samples) -> float:
    """The integrated loudness in LUFS, by `ebur128`."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="s16", layout="mono", time_base=Fraction(1, RATE))
    meter, sink = graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    graph.push(frame)
    graph.push(None)
    said = "nan"
    while True:
        try:
            said = graph.pull().metadata.get("lavfi.r128.I", said)  # type: ignore[union-attr] - frames of sound
        except (BlockingIOError, EOFError):
            return float(said)


@pytest.mark.parametrize("decibels", [-6, -20, -40])
def test_a_sine_is_as_loud_as_the_standard_says(decibels: int):
    """BS.1770: a sine of 997 Hz at full scale in one channel is -3.01 LUFS. All else is relative to it."""
    assert loudness(sine(decibels)) == pytest.approx(decibels - 3.01, abs=0.1)


@pytest.mark.parametrize("frequency", [40, 100, 500, 2_000, 4_000, 9_000])
def test_the_weighting_is_that_of_others(frequency: int):
    """A deep voice and a bright one would not be equally loud to a listener."""
    sound = sine(-20, frequency)
    assert loudness(sound) == pytest.approx(by_libavfilter(sound), abs=0.05)


def test_speech_is_measured_as_others_do():
    """The gate leaves out pauses: a voice with long ones would be taken for soft, and be too loud."""
    for spoken in (*speech()[2:6:2], np.concatenate(speech()), np.concatenate((silence(3), *speech()[8:12]))):
        whole = spoken[: len(spoken) // 2_400 * 2_400]
        assert loudness(whole) == pytest.approx(by_libavfilter(whole), abs=0.05)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4])
def test_a_short_word_is_not_softer_for_the_silence_around_it(seconds: float):
    """A "Yes." would be raised by up to 9 dB, and shout out of the speech."""
    word = np.concatenate((silence(0.5), sine(-20, seconds=seconds), silence(0.5)))
    assert loudness(word) == pytest.approx(-23, abs=1.5)


@pytest.mark.parametrize("sound", [silence(2), silence(0), tone(0.004), sine(-80)], ids=len)
def test_silence_has_no_loudness(sound: Samples):
    """An answer without sound would raise an error that nobody foresaw, or be raised to a roar."""
    assert measure(sound) is None
    assert (leveled(sound, Leveling(-19)) == sound).all()


def test_loudness_of_several_is_that_of_all_together():
    """The level of a voice would depend on how its first texts were cut."""
    first, second = sine(-20, seconds=4), sine(-26, seconds=1)
    measured = [one for one in map(measure, (first, second)) if one]
    assert mean(measured) == pytest.approx(loudness(np.concatenate((first, second))), abs=0.1)


@pytest.mark.parametrize("decibels", [-6, -20, -32])
def test_a_voice_of_unknown_loudness_is_brought_to_the_target(decibels: int):
    """A stand-in would be heard to take over."""
    leveler = Leveler(Leveling(-19))
    assert not len(leveler.push(sine(decibels, seconds=1.9)))
    assert loudness(leveler.finish()) == pytest.approx(-19, abs=0.1)
    assert leveler.measured
    assert leveler.measured.loudness == pytest.approx(decibels - 3, abs=0.1)


@pytest.mark.parametrize("decibels", [-10, -16, -25])
def test_the_beginning_tells_how_loud_an_unknown_voice_is(decibels: int):
    """Of each new voice five sentences would be waited for to their ends."""
    leveler = Leveler(Leveling(-19))
    assert not len(leveler.push(sine(decibels, seconds=1.9)))
    begun = leveler.push(sine(decibels, seconds=0.2))
    assert len(begun) > 1.9 * RATE
    # The rest is as much louder: one gain from the first sample to the last.
    rest = np.concatenate((leveler.push(sine(decibels - 6)), leveler.finish()))
    assert loudness(begun) == pytest.approx(-19, abs=0.1)
    assert loudness(rest[RATE:]) == pytest.approx(-25, abs=0.1)
    # What is learned of the voice is the whole clip's.
    assert leveler.measured
    together = np.concatenate((sine(decibels, seconds=2.1), sine(decibels - 6)))
    assert leveler.measured.loudness == pytest.approx(loudness(together), abs=0.1)


@pytest.mark.parametrize("seconds", [3, 11])
def test_a_beginning_that_is_far_off_does_not_tell(seconds: int):
    """After some seconds of breathing the voice would come as a roar."""
    sound = np.concatenate((sine(-38, seconds=seconds), sine(-16, seconds=9)))
    out = leveled(sound, Leveling(-19))
    assert loudness(out[(seconds + 1) * RATE :]) == pytest.approx(-19, abs=0.5)
    assert len(out) == len(sound)


def test_sentences_of_an_unknown_voice_are_alike():
    """A speech by a voice that is new would be now louder, now softer."""
    long = [sound for sound in speech() if len(sound) > 2.5 * RATE]
    assert len(long) >= 3
    for sound in long:
        assert loudness(leveled(sound, Leveling(-19))) == pytest.approx(-19, abs=2)


def test_the_gain_is_the_voices_and_not_the_clips():
    """A whisper after a shout would be as loud as the shout."""
    shout, whisper = sine(-15), sine(-30)
    known = Leveling(-19, voice=-25)
    distance = loudness(leveled(shout, known)) - loudness(leveled(whisper, known))
    assert distance == pytest.approx(15, abs=0.1)
    assert loudness(leveled(whisper, known)) == pytest.approx(-33 + 6, abs=0.1)


@pytest.mark.parametrize("voice", [None, -45.0])
def test_what_is_far_off_is_brought_nearer_only(voice: float | None):
    """The noise behind a voice that is hardly there would become a storm."""
    sound = sine(-42)
    assert loudness(leveled(sound, Leveling(-19, voice))) == pytest.approx(-45 + MOST_GAIN, abs=0.2)


def test_near_silence_is_left_as_it_is():
    """A breath would become a scream."""
    breath = sine(FAINT)
    assert (leveled(breath, Leveling(-19)) == breath).all()


@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_off_leaves_every_sample_alone(size: int):
    """Who levels elsewhere would have it done twice."""
    sound = (speech()[2] * 2.5).astype(np.int16)
    assert (leveled(sound, None, size) == sound).all()


@pytest.mark.parametrize("gain", [-6.0, 0.0, 7.0, 14.0, 20.0])
@pytest.mark.parametrize("kind", ["speech", "cuts", "hiss", "square", "click"])
def test_the_true_peak_stays_below(gain: float, kind: str):
    """A player's converter would clip, which is heard as a crackle, though no sample is at full scale."""
    sounds = {
        "speech": lambda: np.concatenate(speech()),
        "cuts": lambda: np.concatenate([sound[len(sound) // 3 : len(sound) // 2] for sound in speech()]),
        "hiss": lambda: np.random.default_rng(1).normal(0, 3_000, 48_000).astype(np.int16),
        "square": lambda: np.where(tone(1, 310) > 0, 20_000, -20_000).astype(np.int16),
        "click": lambda: np.concatenate((silence(0.1), np.array([32_767, -32_768], np.int16), silence(0.1))),
    }
    sound = sounds[kind]()
    out = limited(sound, 10 ** (gain / 20))
    assert len(out) == len(sound)
    assert true_peak(out) < -1
    assert int(np.abs(out.astype(int)).max()) <= math.ceil(32_768 * CEILING)


def test_a_curve_that_passes_its_samples_is_seen():
    """A sine of a quarter of the rate, sampled beside its peaks, is 3 dB higher than all of its samples."""
    sound = np.resize(np.array([1, 1, -1, -1], np.int16) * 20_000, RATE)
    assert true_peak(limited(sound, 1.35)[2_400:-2_400]) == pytest.approx(-2, abs=0.2)


def test_what_stays_below_is_only_made_louder():
    """A limiter that works where it need not is heard as pumping."""
    sound = speech()[2]
    expected = np.rint(sound.astype(np.float32) * np.float32(1.5))
    assert (limited(sound, 1.5) == expected).all()


def test_the_limiter_works_around_a_peak_and_nowhere_else():
    """One loud "p" would turn the rest of the sentence down."""
    sound = np.concatenate((sine(-12), sine(0, seconds=0.05), sine(-12)))
    out = limited(sound, 1.5).astype(np.float64)
    plain = np.rint(sound * 1.5)
    assert (out[: 48_000 - 240] == plain[: 48_000 - 240]).all()
    assert np.abs(out - plain)[48_000 + 1_200 + 3_600 :].max() <= 1


def test_the_limiter_is_no_click():
    """A gain that jumps is heard as a tick in the middle of a word."""
    sound = np.concatenate((sine(-12, 60), sine(-1, 60), sine(-12, 60)))
    out = limited(sound, 1.9).astype(np.float64)
    steps = np.abs(np.diff(out, 2))
    inner = np.abs(np.diff(sound * 1.9, 2))
    assert steps[100:-100].max() < 1.5 * inner[100:-100].max()


def test_the_limiter_does_not_follow_the_wave():
    """The pulses of a deep voice would be turned down and what is between them not: it would rattle."""
    times = np.arange(2 * RATE) / RATE
    pulses = sum(np.cos(2 * np.pi * 70 * harmonic * times) for harmonic in range(1, 20)) / 19
    sound = np.asarray(29_000 * pulses, np.int16)
    gains = (
        limited(sound, 1.9)[RATE : -RATE // 2]
        / np.where(np.abs(sound) < 300, np.nan, sound)[RATE : -RATE // 2]
    )
    assert np.nanmin(gains) < 1
    assert 1.9 - np.nanmax(gains) > 0.4 * (1.9 - np.nanmin(gains))


@pytest.mark.parametrize("size", [1, 119, 120, 121, 143, 144, 1_777, 10**6])
@pytest.mark.parametrize("leveling", [Leveling(-14, voice=-27), Leveling(-19)])
def test_loudness_does_not_depend_on_pieces(size: int, leveling: Leveling):
    """One digest would name different sounds."""
    sound = np.concatenate(speech()[2:4])
    assert (leveled(sound, leveling, size) == leveled(sound, leveling)).all()


@pytest.mark.parametrize("samples", [0, 1, 11, 12, 119, 120, 121, 132, 240, 1_000])
def test_length_and_place_stay(samples: int):
    """Cues of captions and joins count samples: sound must come out where it went in."""
    sound = np.arange(1, samples + 1, dtype=np.int16)
    assert (limited(sound, 2.0, 50) == 2 * sound).all()


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "wav", "flac"])
def test_a_known_voice_is_heard_at_once(name: str):
    """A listener would wait for the end of each first sentence: 100 ms of sound must do."""
    sound = tone(1).tobytes()
    recording = recorder(FORMATS[name], leveling=Leveling(-19, voice=-15))
    first = next(at for at in range(0, len(sound), 240) if recording.feed(sound[at : at + 240]))
    recording.close()
    assert first / 2 + 120 <= 0.1 * RATE


def test_a_short_clip_of_an_unknown_voice_is_heard_at_its_end():
    """Sound that has left cannot be made softer any more."""
    recording = recorder(FORMATS["mp3"], leveling=Leveling(-19))
    assert recording.feed(tone(1).tobytes()) == b""
    recorded = recording.finish()
    assert recorded.measured
    assert recorded.measured.loudness == pytest.approx(20 * math.log10(8_000 / 32_768) - 3.7, abs=0.3)


@pytest.mark.parametrize("name", ["wav", "mp3", "opus"])
@pytest.mark.parametrize("voice", [LOUDNESS["heart"], None])
def test_the_default_voice_comes_to_the_target(name: str, voice: float | None):
    """What its provider says of it would be wrong, or what the clips say of themselves."""
    fmt = FORMATS[name]
    long = [sound for sound in speech() if len(sound) > 1.5 * RATE]
    assert len(long) >= 10
    clips = [clip(fmt, sound, leveling=Leveling(-19, voice)) for sound in long]
    sound = decoded(fmt, joined(fmt, clips))
    exact = soxr.resample(sound, 48_000, RATE) if name == "opus" else sound
    together = np.clip(np.rint(exact), -32_768, 32_767).astype(np.int16)
    assert loudness(together) == pytest.approx(-19, abs=1)
    assert true_peak(together) < -1


def test_leveled_clips_join_as_exactly():
    """The gain of one clip must not reach into the next."""
    fmt = FORMATS["wav"]
    clips = [clip(fmt, sound, leveling=Leveling(-14, -27)) for sound in speech()[2:5]]
    alone = np.concatenate([decoded(fmt, joined(fmt, [one])) for one in clips])
    assert (decoded(fmt, joined(fmt, clips)) == alone).all()


def test_measured_seconds_are_those_that_count():
    """A voice would be judged by a clip that is nearly all silence."""
    measured = measure(np.concatenate((silence(2), sine(-20, seconds=1.5), silence(2))))
    assert measured == Measured(pytest.approx(-23, abs=1), pytest.approx(1.5, abs=0.35))

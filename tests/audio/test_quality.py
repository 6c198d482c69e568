"""What is heard where clips meet, over more clips and harsher sound than anybody will send."""

import shutil
import subprocess
import threading
from collections.abc import Iterable

import av
import numpy as np
import psutil
import pytest

from app.audio.formats import FORMATS, SAMPLE_RATE, Format
from app.audio.loudness import Leveling
from app.audio.rate import Resampler
from tests.audio.clicks import clicks
from tests.audio.sounds import (
    SENTENCES,
    Clip,
    Samples,
    clip,
    cut_speech,
    decoded,
    joined,
    pieces,
    recorder,
    speech,
    tone,
)

ERROR = 32  # steps of 32,768
FFMPEG = shutil.which("ffmpeg")
# Said of every ADTS stream, whose length is a guess by its nature, and of every WAV file and bare sound.
BY_NATURE = ("Estimating duration", "Guessed Channel Layout")
# What says nothing of itself, as ffmpeg is told what it is.
RAW = {"pcm": ("s16le", 24_000), "ulaw": ("mulaw", 8_000), "alaw": ("alaw", 8_000)}


def _mixed(frequency: float) -> Samples:
    """A high tone at full scale with a low one: alone, it would be taken for noise."""
    return np.asarray(tone(0.3, frequency, level=5_000) + tone(0.3, 150, level=27_000), np.int16)


def _square(frequency: float) -> Samples:
    return np.asarray(np.sign(tone(0.3, frequency) + 0.5) * 32_767, np.int16)


def _spiked() -> Samples:
    """Full-scale impulses at the very ends."""
    sound = tone(0.3, 300, level=3_000).copy()
    sound[[0, 1, -2, -1]] = [32_767, -32_767, 32_767, -32_767]
    return sound


def _sawtooth() -> Samples:
    return np.asarray(np.arange(7_200) * 217 % 65_535 - 32_767, np.int16)


def worst() -> list[Samples]:
    """Sound that begins and ends at full scale, in every pitch that the checks let pass."""
    sines = [tone(0.3 + 0.01 * place, pitch, level=32_767) for place, pitch in enumerate((60, 97, 200, 997))]
    squares = [_square(pitch) for pitch in (50, 200, 440)]
    return [*sines, *squares, *map(_mixed, (3_000, 6_000, 9_000, 11_500)), _sawtooth(), _spiked()]


def _scale(fmt: Format) -> float:
    """Samples that a player hears for each at 24 kHz."""
    return {"opus": 2.0, "ulaw": 1 / 3, "alaw": 1 / 3}.get(fmt.name, 1.0)


@pytest.fixture(params=FORMATS.values(), ids=FORMATS.keys(), scope="module")
def fmt(request: pytest.FixtureRequest) -> Format:
    """Each format."""
    return request.param


@pytest.fixture(scope="module")
def made(fmt: Format) -> dict[str, list[Clip]]:
    """Clips of natural speech, of speech cut in the middle of a sound, and of the worst there is."""
    sounds = {"speech": speech(), "cut": cut_speech(), "worst": worst()}
    return {name: [clip(fmt, sound, characters=1) for sound in each] for name, each in sounds.items()}


@pytest.mark.parametrize(("before", "behind"), [("worst", "worst"), ("worst", "speech"), ("cut", "worst")])
def test_clips_sound_as_they_do_alone(fmt: Format, made: dict[str, list[Clip]], before: str, behind: str):
    """A loud end would be heard in the soft beginning behind it: codecs carry what was over to what comes."""
    pairs = zip(made[before] * 2, reversed(made[behind]), strict=False)
    clips = [one for pair in pairs for one in pair]
    together, at = decoded(fmt, joined(fmt, clips)), 0
    for one in clips:
        alone = decoded(fmt, joined(fmt, [one]))
        assert np.abs(alone - together[at : at + len(alone)]).max() <= ERROR
        at += len(alone)
    assert at == len(together)


def test_a_hundred_clips_do_not_drift(fmt: Format, made: dict[str, list[Clip]]):
    """Captions would come later and later in a long text."""
    clips = [one for each in made.values() for one in each]
    clips = (clips * 3)[:100]
    expected = sum(samples for _, samples in clips) * _scale(fmt)
    assert len(decoded(fmt, joined(fmt, clips))) == round(expected, 3)


@pytest.mark.parametrize("name", ["speech", "cut"])
def test_nothing_clicks_at_joins(fmt: Format, made: dict[str, list[Clip]], name: str):
    """A listener hears a click where the waveform breaks, however short it is."""
    sound, places, rate = _joins(fmt, made[name])
    assert clicks(sound, rate, places) == []


@pytest.mark.parametrize("name", ["speech", "cut"])
def test_a_planted_click_is_found(fmt: Format, made: dict[str, list[Clip]], name: str):
    """The test before this one would prove nothing."""
    sound, places, rate = _joins(fmt, made[name])
    for start, end in places:
        middle = (2 * start + end) // 3
        sound[middle : middle + rate // 200] += 400
    found = clicks(sound, rate, places)
    assert all(any(start <= at < end for at in found) for start, end in places)


def _joins(fmt: Format, clips: list[Clip]) -> tuple[np.ndarray, list[tuple[int, int]], int]:
    """The decoded sound, where in it clips meet (50 ms before to 100 ms behind), and its rate."""
    rate = round(_scale(fmt) * SAMPLE_RATE)
    ends = np.cumsum([samples for _, samples in clips])[:-1] * _scale(fmt)
    places = [(round(end) - rate // 20, round(end) + rate // 10) for end in ends]
    return decoded(fmt, joined(fmt, clips)), places, rate


def test_decoders_say_nothing(fmt: Format, made: dict[str, list[Clip]]):
    """Strict players would stumble over what lenient ones only warn of."""
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as messages:
            for clips in made.values():
                decoded(fmt, joined(fmt, clips))
                decoded(fmt, joined(fmt, clips[:1]))
    finally:
        av.logging.set_level(None)
    assert _said(text for _, _, text in messages) == []


def _said(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if not any(words in line for words in BY_NATURE)]


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed; nothing else here needs it")
@pytest.mark.parametrize("name", ["speech", "cut", "worst"])
def test_ffmpeg_says_nothing(fmt: Format, made: dict[str, list[Clip]], name: str):
    """Likewise for what most tools are built on."""
    assert FFMPEG
    container, rate = RAW.get(fmt.name, ("", 0))
    kind = ["-f", container, "-ar", str(rate), "-ac", "1"] if container else []
    done = subprocess.run(
        [FFMPEG, "-v", "warning", "-xerror", *kind, "-i", "-", "-f", "s16le", "-"],
        input=joined(fmt, made[name]),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, _said(done.stderr.decode().splitlines())) == (0, [])
    assert len(done.stdout) // 2 == round(sum(samples for _, samples in made[name]) * _scale(fmt), 3)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("what", ["tone", "speech"])
@pytest.mark.parametrize("leveling", [None, Leveling(-19, -23)], ids=["as it comes", "to -19 LUFS"])
def test_first_bytes_leave_within_100_ms_of_sound(
    fmt: Format, what: str, rate: int, leveling: Leveling | None
):
    """Whoever waits for the first sound would wait for the codec, too."""
    sound = tone(2, 220, rate) if what == "tone" else _from_the_first_clear_sound(rate)
    recording, heard = recorder(fmt, sample_rate=rate, leveling=leveling), 0
    for part in pieces(sound.tobytes(), 2 * rate // 100):
        heard += 10
        if recording.feed(part):
            break
    recording.close()
    assert heard <= 100, "milliseconds of the provider's sound"


def _from_the_first_clear_sound(rate: int) -> Samples:
    """A sentence of the default voice at another rate, from where it is loud enough to be judged."""
    said = speech()[SENTENCES.index("Thanks for listening, and have a good night.")]
    to_rate = av.AudioResampler(format="s16", layout="mono", rate=rate)
    frame = av.AudioFrame.from_ndarray(said[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    parts = [one.to_ndarray()[0] for one in (*to_rate.resample(frame), *to_rate.resample(None))]
    sound = np.concatenate(parts)
    return np.asarray(sound[np.flatnonzero(np.abs(sound.astype(np.int32)) >= 2_000)[0] :], np.int16)


@pytest.mark.parametrize(("source", "target"), [(48_000, 24_000), (44_100, 24_000), (24_000, 8_000)])
def test_what_a_rate_cannot_hold_is_not_heard_at_another_pitch(source: int, target: int):
    """Sibilants would come back as whistles, in telephony most of all."""
    for pitch in (0.55 * target, 0.7 * target, 0.49 * source):
        resampler = Resampler(source, target)
        heard = np.concatenate((resampler.push(tone(1, pitch, source, 30_000)), resampler.finish()))
        inner = heard[target // 10 : -target // 10].astype(np.float64)
        assert np.abs(inner).max() <= 1, "steps: less than -90 dB"


@pytest.mark.parametrize(("source", "target"), [(8_000, 24_000), (22_050, 24_000), (24_000, 48_000)])
def test_a_higher_rate_adds_nothing(source: int, target: int):
    """A soft voice would get a metallic second one, an octave up."""
    resampler = Resampler(source, target)
    heard = np.concatenate((resampler.push(tone(2, 3_000, source, 30_000)), resampler.finish()))
    spectrum = np.abs(np.fft.rfft(heard[: 2 * target] * np.blackman(2 * target)[: len(heard)])) ** 2
    hertz = np.fft.rfftfreq(2 * target, 1 / target)
    assert spectrum[np.abs(hertz - 3_000) > 50].sum() < 1e-8 * spectrum.sum()


def test_recorders_start_no_threads(fmt: Format):
    """A thousand listeners would be thousands of threads."""
    process, before = psutil.Process(), threading.active_count()
    threads = process.num_threads()
    recorders = [recorder(fmt, sample_rate=16_000, tempo=1.3) for _ in range(20)]
    for one in recorders:
        one.feed(tone(0.2, rate=16_000).tobytes())
    assert process.num_threads() < threads + len(recorders), "whatever else begins in this process meanwhile"
    assert threading.active_count() == before
    for one in recorders:
        one.close()

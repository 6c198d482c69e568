"""Silence between clips: as long as was asked for, silent, and joined as clips are."""

import hashlib
import itertools

import av
import numpy as np
import pytest

from app.audio.encode import Encoder
from app.audio.formats import FORMATS, SAMPLE_RATE, Format, Output, output
from app.audio.join import extents
from app.audio.offers import SAMPLE_RATES
from app.audio.silence import SILENCE_VERSION, rest_samples, silence
from tests.audio.sounds import SENTENCES, Clip, clip, cut_speech, decoded, joined, speech

PAUSES = (0.6, 0.0, 0.35, 0.2, 2.5, 0.02, 10.0)
# As in the conformance suite.
DELAY = {"mp3": 1_105, "aac": 1_024}
ZERO = {"alaw": 8}  # A-law has no zero: its smallest step is 8 of 32,768


@pytest.fixture(params=FORMATS.values(), ids=FORMATS.keys(), scope="module")
def fmt(request: pytest.FixtureRequest) -> Format:
    """Each format."""
    return request.param


def offered(fmt: Format) -> list[Output]:
    """A format with all its rates."""
    return [output(fmt, rate, bits) for rate in fmt.sample_rates for bits in (fmt.bit_rates or (None,))]


def encoded(wanted: Output, frames: int) -> bytes:
    """A clip of zeros, as the encoder makes it."""
    form = wanted.form
    encoder, packer = Encoder(form, wanted.sample_rate), form.packer()
    zeros = np.zeros(frames * form.frame * wanted.sample_rate // SAMPLE_RATE, np.int16)
    return b"".join(map(packer.add, encoder.push(zeros) + encoder.finish())) + packer.end()


@pytest.fixture(params=["whole", "cut"], scope="module")
def clips(request: pytest.FixtureRequest, fmt: Format) -> list[Clip]:
    """Clips of real speech, and of speech that begins and ends at full strength."""
    sounds = speech() if request.param == "whole" else cut_speech()
    few = list(zip(SENTENCES, sounds, strict=True))[2 : 2 + len(PAUSES)]
    return [clip(fmt, sound, characters=len(text)) for text, sound in few]


def paused(wanted: Output, clips: list[Clip]) -> list[list[Clip]]:
    """Each clip, and the silence behind it."""
    return [
        part
        for one, pause in zip(clips, PAUSES, strict=True)
        for part in ([one], silence(wanted, rest_samples(wanted.format, pause)))
    ]


def player_rate(fmt: Format) -> int:
    """Samples per second as a player decodes it."""
    return 48_000 if fmt.name == "opus" else fmt.usual_rate


def test_a_pause_is_as_long_as_frames_allow(fmt: Format):
    """Pauses would drift from what was asked for, or players' clocks from the sound."""
    for pause in (*PAUSES, 3.7, 61.23):
        asked = rest_samples(fmt, pause)
        assert asked % fmt.form.frame == 0
        assert abs(asked - pause * SAMPLE_RATE) <= fmt.form.frame / 2
        parts = silence(output(fmt), asked)
        assert sum(samples for _, samples in parts) == asked
        if asked > 4 * fmt.form.frame:  # players do not take a file of one frame for MP3
            sound = decoded(fmt, joined(fmt, parts))
            assert len(sound) * SAMPLE_RATE == player_rate(fmt) * asked


def test_what_cannot_be_waited_is_no_pause(fmt: Format):
    """A pause below nothing must not take sound away."""
    assert rest_samples(fmt, -1.0) == 0
    assert silence(output(fmt), 0) == []


def test_pauses_are_silent_and_clips_sound_as_alone(fmt: Format, clips: list[Clip]):
    """A listener would hear clicks or an echo in pauses, or each paragraph would begin otherwise than alone."""
    parts = paused(output(fmt), clips)
    together = decoded(fmt, joined(fmt, [one for part in parts for one in part]))
    late = DELAY.get(fmt.name, 0)
    at = 0
    for number, part in enumerate(parts):
        length = sum(samples for _, samples in part) * player_rate(fmt) // SAMPLE_RATE
        if number % 2:  # a silence: what was before it is still in the decoder, but zeros by then
            within = together[at + late : at + length]
            assert not len(within) or np.abs(within).max() <= ZERO.get(fmt.name, 1)
        else:
            alone = decoded(fmt, joined(fmt, part))
            assert np.abs(alone - together[at : at + length]).max() <= 32
        at += length
    assert at == len(together)


def test_streamed_is_joined(fmt: Format, clips: list[Clip]):
    """A speech streamed while it is made would differ from its replay, and Range would mix the two."""
    all_parts = [one for part in paused(output(fmt), clips) for one in part]
    joining = output(fmt).joiner()
    streamed = joining.head(None)
    for payload, _ in all_parts:
        middle = len(payload) // 2
        streamed += bytes(joining.add(payload[:middle], last=False))
        streamed += bytes(joining.add(payload[middle:], last=True))
    streamed += joining.end()
    replayed = joined(fmt, all_parts)
    head = 0 if fmt.streams_exactly else len(joining.head(None))
    assert len(streamed) == len(replayed)
    assert streamed[head:] == replayed[head:]
    assert sum(extents(output(fmt), [(len(part), samples) for part, samples in all_parts])) == len(replayed)


@pytest.mark.parametrize("rate", SAMPLE_RATES)
@pytest.mark.parametrize("name", ["wav", "pcm"])
def test_pauses_are_exact_at_every_rate(name: str, rate: int):
    """Telephony clients would hear pauses of another length than captions say."""
    wanted = output(FORMATS[name], rate)
    made = [clip(wanted, sound, characters=1) for sound in cut_speech()[: len(PAUSES)]]
    parts = paused(wanted, made)
    sound = decoded(wanted, joined(wanted, [one for part in parts for one in part]))
    at = 0
    for number, part in enumerate(parts):
        length = sum(samples for _, samples in part) * rate // SAMPLE_RATE
        assert bool(np.any(sound[at : at + length])) == (number % 2 == 0)
        at += length
    assert at == len(sound)


def test_at_every_rate_silence_is_silent_and_leaves_no_trace(fmt: Format):
    """Whoever asks for another bit rate would hear clicks at pauses, or a decoder that takes them for damage."""
    for wanted in offered(fmt):
        rate = 48_000 if fmt.name == "opus" else wanted.sample_rate
        made = [clip(wanted, sound, characters=1) for sound in cut_speech()[2:4]]
        parts = [made[:1], silence(wanted, rest_samples(fmt, 1.4)), made[1:]]
        av.logging.set_level(av.logging.WARNING)
        with av.logging.Capture() as messages:
            together = decoded(wanted, joined(wanted, [one for part in parts for one in part]))
        av.logging.set_level(None)
        assert [text for _, _, text in messages if "Estimating duration" not in text] == []
        ends = [sum(samples for _, samples in part) * rate // SAMPLE_RATE for part in parts]
        within = together[ends[0] + DELAY.get(fmt.name, 0) : ends[0] + ends[1]]
        assert np.abs(within).max() <= ZERO.get(fmt.name, 2), wanted  # Opus at 16 kbit/s takes a moment
        for part, sound in ((parts[0], together[: ends[0]]), (parts[2], together[ends[0] + ends[1] :])):
            assert np.abs(decoded(wanted, joined(wanted, part)) - sound).max() <= 32, wanted


@pytest.mark.parametrize("name", ["flac", "ulaw", "alaw"])
def test_silence_is_what_the_encoder_makes(name: str):
    """A frame whose number or sum is wrong would be skipped by some players, and hide a defect of the others."""
    for wanted in offered(FORMATS[name]):
        for frames in (1, 2, SAMPLE_RATE // wanted.form.frame):
            ((payload, samples),) = silence(wanted, frames * wanted.form.frame)
            assert (payload, samples) == (encoded(wanted, frames), frames * wanted.form.frame)


@pytest.mark.parametrize("name", ["mp3", "opus"])
def test_silence_is_as_long_as_the_encoders(name: str):
    """The rate of a constant bit rate would not be constant, and players would show a wrong length."""
    for wanted in offered(FORMATS[name]):
        if wanted.bit_rate == 16_000:  # where Opus' encoder has a longer way to say it
            continue
        ((payload, _),) = silence(wanted, 7 * wanted.form.frame)
        assert len(payload) == len(encoded(wanted, 7))


def test_other_bytes_are_another_version():
    """Silence is not kept: a download that goes on after an upgrade would be put together of two kinds of it."""
    composed = hashlib.blake2b(digest_size=16)
    for wanted in itertools.chain.from_iterable(map(offered, FORMATS.values())):
        for payload, _ in silence(wanted, rest_samples(wanted.format, 1.7)):
            composed.update(payload)
    # If this fails, raise the version, then put the new hash here.
    assert (SILENCE_VERSION, composed.hexdigest()) == ("silence2", "83695726d00044846bed34731fe120e2")


def test_silence_is_composed_once(fmt: Format):
    """Every whole hit with a pause in it would compose it, and keep a copy of its own."""
    first, again = (silence(output(fmt), rest_samples(fmt, 12.3)) for _ in range(2))
    assert all(one[0] is other[0] for one, other in zip(first, again, strict=True))
    assert len(first) > 10

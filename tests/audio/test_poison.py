"""The kinds of poison that providers send, and what comes near them and is none."""

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest

from app.audio.check import BadSound
from app.audio.formats import FORMATS
from providers import tones
from providers.poison import ANSWERS, Answer, poisoned_answer, poisoned_pcm
from tests.audio.sounds import Samples, cut_speech, file, pieces, record, recorder, silence, speech, tone

MP3: Final = FORMATS["mp3"]
BARE: Final = {"write_xing": "0", "id3v2_version": "0"}
FILE: Final = {"encoding": "file", "sample_rate": 0}


def _level(sound: Samples, factor: float) -> Samples:
    return np.clip(sound * factor, -32_768, 32_767).astype(np.int16)


def _sentence() -> Samples:
    return speech()[2]


def _mp3(**options: str) -> bytes:
    return file("mp3", "libmp3lame", _sentence(), **options)


def _even(data: bytes) -> bytes:
    return data[: len(data) // 2 * 2]


def _answer(answer: Answer) -> bytes:
    return poisoned_answer(answer, poisoned_pcm(answer, tones.tone_pcm("Somebody says a thing once.", "low")))


def _wav(data: bytes) -> bytes:
    """A WAV file that announces `data` bytes of sound and has none."""
    whole = file("wav", "pcm_s16le", tone(1))
    return whole[: whole.index(b"data") + 4] + data


@dataclass(frozen=True)
class Poison:
    """What a provider sends, what it says of it, and the kind that it is refused as."""

    data: Callable[[], bytes]
    kind: str
    announced: dict[str, Any]


def _pcm(kind: str, data: Callable[[], bytes]) -> Poison:
    return Poison(data, kind, {})


def _file(kind: str, data: Callable[[], bytes]) -> Poison:
    return Poison(data, kind, FILE)


POISON: Final = {
    "empty": _pcm("empty", bytes),
    "empty file": _file("empty", bytes),
    "silence": _pcm("silent", lambda: silence(2).tobytes()),
    "silent file": _file("silent", lambda: file("mp3", "libmp3lame", silence(2))),
    "page": _pcm("not_sound", lambda: _answer("html")),
    "page for a file": _file("not_sound", lambda: _answer("html")),
    "JSON": _pcm("not_sound", lambda: _answer("json")),
    "JSON for a file": _file("not_sound", lambda: _answer("json")),
    "random bytes": _pcm("noise", lambda: _answer("noise")),
    "random bytes for a file": _file("unreadable", lambda: _answer("noise")),
    "half an MP3": _file("cut", lambda: poisoned_answer("half", _mp3())),
    "half an MP3 of unknown length": _file("cut", lambda: poisoned_answer("half", _mp3(**BARE))),
    "half a WebM": _file("cut", lambda: poisoned_answer("half", file("webm", "libopus", _sentence()))),
    "half a streamed WebM": _file("cut", lambda: _streamed(file("webm", "libopus", _sentence()))[:-500]),
    "MP3 cut within a frame": _file("cut", lambda: _mp3()[:-50]),
    "MP3 of unknown length cut within a frame": _file("cut", lambda: _mp3(**BARE)[:-50]),
    "PCM shifted by a byte": _pcm("noise", lambda: poisoned_answer("shifted", _sentence().tobytes())),
    "tone shifted by a byte": _pcm("noise", lambda: _answer("shifted")),
    "MP3 for PCM": _pcm("not_sound", lambda: _even(_mp3())),
    "MP3 without a tag, for PCM": _pcm("noise", lambda: _even(_mp3(**BARE))),
    "no such rate": Poison(lambda: tone(1).tobytes(), "unreadable", {"sample_rate": 7}),
    "endless": _pcm("too_long", lambda: tone(60).tobytes()),
    "endless silence": _pcm("too_long", lambda: silence(60).tobytes()),
    "endless file": _file("too_long", lambda: file("mp3", "libmp3lame", tone(60))),
    "frames that are heads alone": _file("unreadable", lambda: _answer("hollow")),
    "frames of no length": _file("unreadable", lambda: b"\xff\xf1\x58\x40\x00\x1f\xfc" * 400),
    "MP3 frames of no length": _file("unreadable", lambda: b"\xff\xf3\x04\xc4" * 400),
    "MP3 frames of zeros": _file("silent", lambda: (b"\xff\xf3\x84\xc4" + bytes(188)) * 50),
    "WAV of no length": _file("empty", lambda: _wav(bytes(4))),
    "WAV of another length": _file("cut", lambda: _wav(b"\x00\x10\x00\x00")),
}


def _streamed(webm: bytes) -> bytes:
    """The same with the length of its segment not known, as it is when written to a connection."""
    at = webm.index(b"\x18\x53\x80\x67") + 4
    return webm[:at] + b"\x01" + b"\xff" * 7 + webm[at + 8 :]


@functools.cache
def _sent(name: str) -> bytes:
    return POISON[name].data()


@pytest.mark.parametrize("size", [333, 4_800, 1 << 24])
@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused(name: str, size: int):
    """It would be stored, and replayed to everyone for a month."""
    poison = POISON[name]
    with pytest.raises(BadSound) as refused:
        record(MP3, pieces(_sent(name), size), **poison.announced)
    assert refused.value.kind == poison.kind


@pytest.mark.parametrize("name", [name for name in POISON if name != "endless"])
def test_nothing_of_it_leaves(name: str):
    """A listener would hear it, and the chain could no longer go on to the next provider."""
    poison, left = POISON[name], b""
    with pytest.raises(BadSound):  # noqa: PT012 - which of the calls it is, is not the point
        recording = recorder(MP3, **poison.announced)
        for piece in pieces(_sent(name), 480):
            left += recording.feed(piece)
        recording.finish()
    assert left == b""


def test_every_answer_of_the_scripted_provider_is_refused():
    """A user who tests a client against poison would get sound."""
    for answer in ANSWERS:
        data: Iterable[bytes] = pieces(_answer(answer), 4_800)
        if answer == "endless":
            data = itertools.cycle(data)
        if answer in ("tone", "half"):  # half of PCM is PCM, and nobody can tell
            record(MP3, data)
            continue
        with pytest.raises(BadSound):
            record(MP3, data)


@pytest.mark.parametrize("level", [0.01, 0.03, 0.1, 0.3, 1, 2.5, 5])
@pytest.mark.parametrize("broken", ["shifted", "swapped"])
def test_broken_pcm_is_refused_at_any_level(level: float, broken: str):
    """Soft speech, shifted by a byte, is smooth enough for speech, and loud noise to who listens."""
    for sound in speech():
        soft = _level(sound, level)
        data = (
            soft.byteswap().tobytes() if broken == "swapped" else poisoned_answer("shifted", soft.tobytes())
        )
        with pytest.raises(BadSound):
            record(MP3, [data])


@pytest.mark.parametrize(
    ("level", "bits"),
    [
        pytest.param(
            level, bits, marks=() if (level, bits) in {(0.1, 12), (1, 8), (3, 16)} else pytest.mark.soak
        )
        for level in (0.1, 1, 3)
        for bits in (8, 12, 16)
    ],
)
def test_soft_loud_and_coarse_speech_passes(level: float, bits: int):
    """A voice that is soft, overdriven, or comes from an old exchange would never be heard."""
    step = 1 << 16 - bits
    for sound in (*speech(), *cut_speech()):
        coarse = (_level(sound, level) // step * step).astype(np.int16)
        if np.abs(coarse).max() >= 1_000:
            record(MP3, pieces(coarse.tobytes(), 4_800), characters=1)


@pytest.mark.parametrize("level", [1_000, 5_000, 20_000, 32_767])
@pytest.mark.parametrize("frequency", [50, 200, 440])
def test_square_waves_pass(level: int, frequency: float):
    """All their samples have the same low byte but for the sign: a buzzer is no broken PCM."""
    record(MP3, [(np.sign(tone(1, frequency)) * level).astype(np.int16).tobytes()])


@pytest.mark.parametrize("announced", [8_000, 12_000, 16_000, 22_050, 44_100, 48_000])
def test_a_wrong_rate_survives(announced: int):
    """Speech at a wrong pace is a slow or fast voice as far as anybody can tell; its length must be true at least."""
    sound = speech()[-1]
    _, recorded = record(MP3, [sound.tobytes()], sample_rate=announced, characters=44)
    _, right = record(MP3, [sound.tobytes()], characters=44)
    edges = 0.34  # seconds at most, in front and behind, which stay as they are
    assert recorded.seconds == pytest.approx(
        right.seconds * 24_000 / announced, abs=edges * 24_000 / announced
    )


@pytest.mark.parametrize("announced", [4_000, 8_000, 48_000, 192_000, 7])
@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "mov", "adts", "webm"])
def test_a_files_own_rate_counts(kind: str, announced: int):
    """An adapter that says another rate would make a right file sound wrong, or have it refused."""
    codec = {
        "wav": "pcm_s16le",
        "flac": "flac",
        "mp3": "libmp3lame",
        "ogg": "libopus",
        "webm": "libopus",
    }.get(kind, "aac")
    data, right = _right(kind, codec)
    assert record(MP3, [data], encoding="file", sample_rate=announced, channels=99) == right


@functools.cache
def _right(kind: str, codec: str) -> tuple[bytes, object]:
    """A file, and what comes of it where nothing wrong is said of it."""
    data = file(kind, codec, _sentence())
    return data, record(MP3, [data], encoding="file", sample_rate=0, channels=1)


@pytest.mark.parametrize("tempo", [1.0, 1.5])
def test_a_pace_that_cannot_be_is_refused(tempo: float):
    """Speech at another sample rate would be stored where its text says how long it may be; ours is no fault."""
    sound = _sentence()
    _, recorded = record(MP3, [sound.tobytes()], tempo=tempo)
    seconds = (recorded.audible[1] - recorded.audible[0]) / 24_000 * tempo
    record(MP3, [sound.tobytes()], tempo=tempo, believable=(seconds - 0.05, seconds + 0.05))
    for between in ((0.0, seconds - 0.05), (seconds + 0.05, 99.0)):
        with pytest.raises(BadSound) as refused:
            record(MP3, [sound.tobytes()], tempo=tempo, believable=between)
        assert refused.value.kind == "pace"
    for announced in (8_000, 72_000):
        with pytest.raises(BadSound) as refused:
            record(MP3, [sound.tobytes()], sample_rate=announced, believable=(seconds / 2, seconds * 2))
        assert refused.value.kind == "pace"


def test_a_lost_byte_is_found_behind_good_speech():
    """The listener hears how it goes over to noise; nobody after him must."""
    sound = np.concatenate(speech()[2:6]).tobytes()
    half = len(sound) // 4 * 2
    with pytest.raises(BadSound) as refused:
        record(MP3, pieces(sound[:half] + sound[half + 1 :] + b"\0", 4_800), characters=120)
    assert refused.value.kind == "noise"

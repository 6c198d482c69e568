"""What is opened and abandoned, never closed: memory and threads of two thousand of each."""

import gc
from collections.abc import Callable

import psutil
import pytest

from app.audio.encode import Encoder
from app.audio.formats import FORMATS, output
from app.audio.intake import FileIntake
from tests.audio.sounds import clip, file, recorder, tone

MEGABYTE = 1 << 20
SOUND = tone(0.4)
FORMS = ("mp3", "opus", "aac", "flac", "ulaw")
FILES = {
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "aac": ("adts", "aac"),
    "flac": ("flac", "flac"),
    "wav": ("wav", "pcm_s16le"),
}


def _encoder(name: str) -> Callable[[], object]:
    wanted = output(FORMATS[name])

    def open_one() -> object:
        encoder = Encoder(wanted.form, wanted.sample_rate)
        encoder.push(SOUND)
        return encoder

    return open_one


def _recorder(name: str) -> Callable[[], object]:
    sound = tone(0.3, rate=16_000).tobytes()

    def open_one() -> object:
        recording = recorder(FORMATS[name], sample_rate=16_000, tempo=1.3)
        recording.feed(sound)
        return recording

    return open_one


def _unread(name: str) -> Callable[[], object]:
    whole = file(*FILES[name], SOUND)

    def open_one() -> object:
        intake = FileIntake(20)
        intake.push(whole)
        _, sound = intake.finish()
        next(sound)
        return sound

    return open_one


def _joiner(name: str) -> Callable[[], object]:
    wanted = output(FORMATS[name])
    payload, samples = clip(wanted, SOUND)

    def open_one() -> object:
        joining = wanted.joiner()
        joining.head(samples)
        joining.add(payload[: len(payload) // 2], last=False)
        return joining

    return open_one


KINDS = {
    **{f"encoder of {name}": (_encoder, name) for name in FORMS},
    **{f"recorder of {name}": (_recorder, name) for name in FORMS},
    **{f"decoder of {name}": (_unread, name) for name in FILES},
    **{f"joiner of {name}": (_joiner, name) for name in ("opus", "wav", "m4a")},
}


def _grown(opened: Callable[[], object], first: int, then: int) -> float:
    """Megabytes between the first so many and so many more, each left alone when it is half done."""
    process = psutil.Process()
    resident = []
    for count in (first, then):
        for _ in range(count):
            opened()
        gc.collect()
        resident.append(process.memory_info().rss)
    return (resident[1] - resident[0]) / MEGABYTE


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_abandoned_takes_nothing_along(kind: str):
    """A server whose listeners leave early would grow until it is killed. A hundred: a leak of 50 kB shows."""
    make, name = KINDS[kind]
    threads = psutil.Process().num_threads()
    assert _grown(make(name), 50, 100) < 5
    assert psutil.Process().num_threads() <= threads


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_abandoned_take_nothing_along(kind: str):
    """Likewise, for what leaks a little: 10 kB each would show."""
    make, name = KINDS[kind]
    assert _grown(make(name), 200, 2_000) < 20

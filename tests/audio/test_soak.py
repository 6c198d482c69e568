"""Memory, over many clips."""

import gc

import psutil
import pytest

from app.audio.formats import FORMATS, Format
from tests.audio.sounds import recorder, tone

MEGABYTE = 1 << 20


@pytest.mark.soak
@pytest.mark.parametrize("tempo", [1.0, 1.5])
@pytest.mark.parametrize(
    "fmt", [FORMATS[name] for name in ("mp3", "opus", "aac", "wav")], ids=lambda fmt: fmt.name
)
def test_abandoned_recorders_give_back_their_memory(fmt: Format, tempo: float):
    """A server whose listeners leave early would grow until it is killed."""
    sound = tone(0.4).tobytes()

    def open_and_abandon(count: int) -> int:
        for _ in range(count):
            recording = recorder(fmt, tempo=tempo)
            recording.feed(sound)
            recording.close()
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    before = open_and_abandon(200)
    assert open_and_abandon(2_000) - before < 20 * MEGABYTE

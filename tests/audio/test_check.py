"""Poison that providers were seen to send, and speech that must pass."""

import json
import random

import numpy as np
import pytest

from app.audio.check import BadSound
from app.audio.formats import FORMATS
from tests.audio.sounds import SENTENCES, clip, file, pieces, record, recorder, silence, speech, tone

MP3 = FORMATS["mp3"]
PAGE = (
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body>" * 40
)
ANSWER = json.dumps(
    {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}
).encode()


def _longest() -> np.ndarray:
    return max(speech(), key=len)


def _random_bytes() -> bytes:
    return random.Random(1).randbytes(96_000)


POISON = {
    "nothing": (lambda: b"", "empty"),
    "zeros": (lambda: silence(2).tobytes(), "silent"),
    "next to zeros": (lambda: tone(2, level=40).tobytes(), "silent"),
    "page": (lambda: PAGE, "not_sound"),
    "JSON": (lambda: ANSWER, "not_sound"),
    "JSON after a line": (lambda: b"\r\n" + ANSWER, "not_sound"),
    "half a sample": (lambda: tone(1).tobytes() + b"\x01", "odd_length"),
    "random bytes": (_random_bytes, "noise"),
    "shifted by a byte": (lambda: b"\x00" + _longest().tobytes() + b"\x00", "noise"),
    "wrong byte order": (lambda: _longest().byteswap().tobytes(), "noise"),
    "far off zero": (lambda: (tone(1, level=2_000) + 9_000).astype(np.int16).tobytes(), "dc_offset"),
    "WAV": (lambda: file("wav", "pcm_s16le", tone(1)), "not_sound"),
    "MP3 with a tag": (lambda: file("mp3", "libmp3lame", tone(1)), "not_sound"),
    "MP3 without one": (lambda: clip(MP3, _longest(), characters=60)[0], "noise"),
    "endless": (lambda: tone(50).tobytes(), "too_long"),
    "a click": (lambda: np.concatenate((silence(1), tone(0.01), silence(1))).tobytes(), "too_short"),
}


@pytest.mark.parametrize("size", [331, 1_000_000])
@pytest.mark.parametrize("name", POISON)
def test_poison_as_pcm_is_refused(name: str, size: int):
    """A provider's failure would be stored, and replayed to everyone for a month."""
    poison, kind = POISON[name]
    with pytest.raises(BadSound) as refused:
        record(MP3, pieces(poison(), size) or [b""])
    assert refused.value.kind == kind


@pytest.mark.parametrize("name", ["random bytes", "shifted by a byte", "page", "WAV", "zeros"])
def test_poison_is_refused_before_anything_leaves(name: str):
    """A listener would hear noise first, and the chain could no longer go on to the next provider."""
    poison, _ = POISON[name]
    recording, left = recorder(MP3), b""
    try:
        for piece in pieces(poison(), 480):
            left += recording.feed(piece)
        recording.finish()
    except BadSound:
        assert left == b""
    else:
        pytest.fail("poison passed")


def test_endless_sound_is_refused_early():
    """A provider that never stops would fill the memory."""
    recording, minute = recorder(MP3, characters=5), tone(60).tobytes()
    with pytest.raises(BadSound, match="too long"):
        recording.feed(minute)


def test_endless_files_are_refused_early():
    """Likewise for files, which are kept whole until they end."""
    with pytest.raises(BadSound) as refused:
        record(MP3, (bytes(1_000_000) for _ in range(100)), encoding="file", characters=5)
    assert refused.value.kind == "too_long"


def test_half_a_second_for_a_page_of_text_is_refused():
    """A voice that gives up after a word would pass for the whole text."""
    with pytest.raises(BadSound) as refused:
        record(MP3, [tone(0.5).tobytes()], characters=600)
    assert refused.value.kind == "too_short"


@pytest.mark.parametrize("index", range(len(SENTENCES)), ids=SENTENCES)
def test_speech_passes(index: int):
    """A sentence that is refused could never be spoken, however short it is."""
    _, samples = clip(MP3, speech()[index], characters=len(SENTENCES[index]))
    assert samples > 0


@pytest.mark.parametrize("level", [0.1, 1.0, 2.5])
def test_a_hiss_passes(level: float):
    """A whispering or hissing sound, such as "Shh", looks like noise and is none."""
    sounds = np.concatenate([sound[len(sound) // 3 : len(sound) // 3 + 2_400] for sound in speech()[:4]])
    hiss = np.diff(sounds.astype(np.float64)) * 3 * level
    neighbours = float(hiss[1:] @ hiss[:-1]) / float(hiss @ hiss)
    assert neighbours < 0.9
    clip(MP3, np.clip(hiss, -32_768, 32_767).astype(np.int16), characters=3)


def test_tones_pass():
    """The scripted provider, by which users test their clients, speaks in tones."""
    for frequency in (110, 440, 1_000, 2_000):
        clip(MP3, tone(1, frequency))


def test_pcm_may_begin_like_text():
    """Sound whose first samples happen to be 60 or 123 would be refused for a page or JSON."""
    for first in (0x3C, 0x7B, 0x5B):
        clip(MP3, np.concatenate((np.array([first], np.int16), tone(1))))


def test_announced_nonsense_is_refused():
    """A provider that announces 7 Hz would make the resampler fill the memory."""
    for rate, channels in ((7, 1), (24_000, 0), (10**9, 1), (24_000, 99)):
        with pytest.raises(BadSound) as refused:
            recorder(MP3, sample_rate=rate, channels=channels)
        assert refused.value.kind == "unreadable"


def test_messages_hold_nothing_of_the_answer():
    """A provider's body can carry keys and text, and messages go to logs."""
    for poison, _ in POISON.values():
        with pytest.raises(BadSound) as refused:
            record(MP3, [poison()])
        assert "quota" not in str(refused.value)
        assert "Gateway" not in str(refused.value)

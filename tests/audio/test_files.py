"""Providers' sound in files: whole ones are read, cut ones are found out."""

import random

import numpy as np
import pytest

from app.audio.check import BadSound
from app.audio.formats import FORMATS
from tests.audio.sounds import clip, file, joined, pieces, record, speech, tone

MP3 = FORMATS["mp3"]
KINDS = {
    "wav": ("wav", "pcm_s16le", {}),
    "mp3": ("mp3", "libmp3lame", {}),
    "bare mp3": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "flac": ("flac", "flac", {}),
    "opus": ("ogg", "libopus", {}),
    "aac": ("adts", "aac", {}),
    "m4a": ("ipod", "aac", {}),
    "webm": ("webm", "libopus", {}),
}


def _file(kind: str, sound: np.ndarray) -> bytes:
    container, codec, options = KINDS[kind]
    return file(container, codec, sound, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(kind: str):
    """A provider without raw PCM could not be used."""
    _, recorded = record(MP3, pieces(_file(kind, tone(2)), 999), encoding="file", sample_rate=0, channels=0)
    assert 2.05 <= recorded.seconds <= 2.3
    assert 7_500 <= recorded.peak <= 8_700


@pytest.mark.parametrize("part", [0.5, 0.93, 0.999])
@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "opus", "m4a"])
def test_cut_files_are_refused(kind: str, part: float):
    """Half a sentence would be stored for good: decoders play cut files without a word."""
    whole = _file(kind, speech()[-1])
    with pytest.raises(BadSound) as refused:
        record(MP3, [whole[: int(len(whole) * part)]], encoding="file", characters=40)
    assert refused.value.kind in ("cut", "unreadable")


@pytest.mark.parametrize("cut", [1, 50, 191])
def test_mp3_without_a_header_is_refused_when_cut_within_a_frame(cut: int):
    """Likewise for MP3 that does not announce its length."""
    payload, _ = clip(MP3, tone(2))
    record(MP3, [payload], encoding="file")
    with pytest.raises(BadSound) as refused:
        record(MP3, [payload[:-cut]], encoding="file")
    assert refused.value.kind == "cut"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"<html><body>Too many requests</body></html>", "not_sound"),
        (b'{"detail": "nope"}', "not_sound"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n", "unreadable"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "unreadable"),
        (bytes(range(256)) * 40, "unreadable"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00", "cut"),
        (b"OggS" + bytes(100), "cut"),
        (b"RIFF\xff\xff\xff\xffWAVE", "cut"),
        (b"fLaC" + bytes(60), "unreadable"),
    ],
)
def test_files_without_sound_are_refused(data: bytes, kind: str):
    """An error page would be stored as speech, or a playlist make the server fetch what it names."""
    with pytest.raises(BadSound) as refused:
        record(MP3, [data], encoding="file")
    assert refused.value.kind == kind


def test_streamed_wav_is_read():
    """Providers that stream WAV do not know its length and announce the largest one."""
    payload = clip(FORMATS["wav"], tone(1))
    whole = joined(FORMATS["wav"], [payload])
    streamed = whole[:4] + b"\xff" * 4 + whole[8:40] + b"\xff" * 4 + whole[44:]
    assert record(MP3, [streamed], encoding="file") == record(MP3, [whole], encoding="file")


def test_silence_in_a_file_is_refused():
    """The checks on PCM hold for files too."""
    with pytest.raises(BadSound) as refused:
        record(MP3, [_file("mp3", np.zeros(48_000, np.int16))], encoding="file")
    assert refused.value.kind == "silent"


def test_our_own_answers_can_be_a_provider_s():
    """Refrain behind Refrain: what one serves the other must take."""
    for name in ("mp3", "opus", "aac", "flac", "wav"):
        fmt = FORMATS[name]
        served = joined(fmt, [clip(fmt, sound, characters=40) for sound in speech()[2:4]])
        _, recorded = record(MP3, [served], encoding="file", characters=40)
        assert recorded.seconds > 2


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_give_one_kind_of_error(kind: str):
    """A damaged file would end in a stack trace and a 500 instead of the next provider."""
    whole, chance, survived = _file(kind, tone(0.3)), random.Random(5), 0
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(chance.choice((60, 400, len(whole))))] = chance.randrange(256)
        try:
            record(MP3, [bytes(damaged)], encoding="file")
        except BadSound:
            survived += 1
    assert survived > 0

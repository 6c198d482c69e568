"""What the scripted provider says: a tone that tells which text was spoken with which voice.

Pure functions, so that a test can work out what it should hear.
"""

import hashlib
import io
import re
import wave
from typing import Literal

import numpy as np

SAMPLE_RATE = 24_000
SECONDS_PER_CHARACTER = 0.06
LOUDNESS = -10.0
"""LUFS, about: a high tone is up to 3 dB louder to the ear than a low one of the same height."""

_LOWEST = 300
_STEP = 25
_PITCHES = 80
_AMPLITUDE = 0.4
_FADE = 0.005


def tone(
    text: str, voice: str, *, speed: float = 1.0, seconds_per_character: float = SECONDS_PER_CHARACTER
) -> tuple[float, float]:
    """The frequency in Hz and the duration in seconds of this text in this voice.

    One of 80 pitches, 300 to 2,275 Hz in steps of 25, by a hash of text and voice: far enough apart to be told
    by a Fourier transform after any lossy codec. Two texts share a pitch once in 80; durations tell them apart.
    """
    key = hashlib.sha256(f"{voice}\0{text}".encode(errors="surrogatepass")).digest()
    pitch = _LOWEST + _STEP * (int.from_bytes(key[:4], "big") % _PITCHES)
    return float(pitch), max(1, len(text)) * seconds_per_character / speed


def tone_pcm(
    text: str,
    voice: str,
    *,
    speed: float = 1.0,
    seconds_per_character: float = SECONDS_PER_CHARACTER,
    sample_rate: int = SAMPLE_RATE,
) -> bytes:
    """That tone as mono 16 bit little endian PCM, -8 dBFS at its peaks, with fades of 5 ms at both ends."""
    frequency, seconds = tone(text, voice, speed=speed, seconds_per_character=seconds_per_character)
    moments = np.arange(round(seconds * sample_rate)) / sample_rate
    envelope = np.minimum(1.0, np.minimum(moments, moments[::-1]) / _FADE)
    wavy = np.sin(2 * np.pi * frequency * moments) * envelope * _AMPLITUDE
    return (wavy * 32_767).astype("<i2").tobytes()


def amplified(pcm: bytes, gain: float) -> bytes:
    """The same, so many decibels louder; what is beyond full scale is clipped."""
    if not gain:
        return pcm
    louder = np.frombuffer(pcm, "<i2") * 10 ** (gain / 20)
    return np.clip(louder, -32_768, 32_767).astype("<i2").tobytes()


def word_places(
    text: str, *, speed: float = 1.0, seconds_per_character: float = SECONDS_PER_CHARACTER
) -> list[tuple[int, int, float, float]]:
    """Each word of a text: its first character, the one behind its last, and the seconds from which to which."""
    pace = seconds_per_character / speed
    spans = [word.span() for word in re.finditer(r"\S+", text)]
    return [(start, end, start * pace, end * pace) for start, end in spans]


def word_tones_pcm(
    text: str,
    voice: str,
    *,
    speed: float = 1.0,
    seconds_per_character: float = SECONDS_PER_CHARACTER,
    sample_rate: int = SAMPLE_RATE,
) -> bytes:
    """A tone for each word instead of one for the text, as long in all; silence between them."""
    seconds = tone(text, voice, speed=speed, seconds_per_character=seconds_per_character)[1]
    sound = np.zeros(round(seconds * sample_rate), "<i2")
    for start, end, begins, _ in word_places(text, speed=speed, seconds_per_character=seconds_per_character):
        word = tone_pcm(
            text[start:end],
            voice,
            speed=speed,
            seconds_per_character=seconds_per_character,
            sample_rate=sample_rate,
        )
        at = round(begins * sample_rate)
        here = sound[at : at + len(word) // 2]
        here[:] = np.frombuffer(word, "<i2")[: len(here)]
    return sound.tobytes()


def wav(pcm: bytes, sample_rate: int = SAMPLE_RATE) -> bytes:
    """Mono 16 bit PCM with a WAV header in front."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(pcm)
    return file.getvalue()


def mp3(pcm: bytes, sample_rate: int = SAMPLE_RATE) -> bytes:
    """Mono 16 bit PCM as an MP3 file that says how long it is."""
    import av  # noqa: PLC0415 - loads the codecs: for those only who want such files

    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as writer:
        stream = writer.add_stream("libmp3lame", rate=sample_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = sample_rate
        writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return file.getvalue()


def contained(container: Literal["pcm", "wav", "mp3"], pcm: bytes, sample_rate: int = SAMPLE_RATE) -> bytes:
    """Mono 16 bit PCM as it is, or as a file."""
    return {"pcm": lambda *_: pcm, "wav": wav, "mp3": mp3}[container](pcm, sample_rate)

"""What the tests of sound share: real speech, tones, recording, and decoders that know nothing of Refrain."""

import io
from collections.abc import Iterable
from functools import cache
from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext
from hibari import Hibari
from numpy.typing import NDArray

from app.audio.formats import SAMPLE_RATE, Format, Output, output
from app.audio.join import join
from app.audio.recorder import Recorded, Recorder

Samples = NDArray[np.int16]
Clip = tuple[bytes, int]
RAW = {"ulaw": "pcm_mulaw", "alaw": "pcm_alaw"}

SENTENCES = (
    "Hi.",
    "No!",
    "She sells sea shells by the sea shore.",
    "Yes?",
    "Fishing for fresh fish is fine.",
    "Well, that's that.",
    "Shh.",
    "Six.",
    "Chapter two",
    "A",
    "Pssst, follow me.",
    "Half of the fluffy puffins fled.",
    "My name is Anna, and who are you?",
    "Thanks for listening, and have a good night.",
    'He said: "Stop!"',
    "It was 7:45.",
    "I owe $1,234,567.89.",
    "Oh.",
    "Zip it.",
    "The quick brown fox jumps over the lazy dog.",
)


@cache
def speech() -> tuple[Samples, ...]:
    """`SENTENCES` by the default voice, 24 kHz."""
    voice = Hibari(threads=1)
    spoken = (np.asarray(voice(text, seed=0)).reshape(-1) for text in SENTENCES)
    return tuple(np.clip(np.rint(sound * 32_768), -32_768, 32_767).astype(np.int16) for sound in spoken)


@cache
def cut_speech() -> tuple[Samples, ...]:
    """The middle third of each sentence: it begins and ends at full strength."""
    return tuple(sound[len(sound) // 3 : 2 * len(sound) // 3] for sound in speech())


def tone(seconds: float, frequency: float = 440.0, rate: int = SAMPLE_RATE, level: float = 8_000) -> Samples:
    """A sine."""
    times = np.arange(round(seconds * rate)) / rate
    return np.asarray(level * np.sin(2 * np.pi * frequency * times), np.int16)


def silence(seconds: float, rate: int = SAMPLE_RATE) -> Samples:
    """Zeros."""
    return np.zeros(round(seconds * rate), np.int16)


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` cut into pieces of `size` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def usual(wanted: Format | Output) -> Output:
    """A format with its usual parameters, or what has its own."""
    return wanted if isinstance(wanted, Output) else output(wanted)


def recorder(fmt: Format | Output, **changes: Any) -> Recorder:
    """A recorder for 20 characters of mono PCM at 24 kHz, unless `changes` say otherwise."""
    ordinary: dict[str, Any] = {
        "encoding": "pcm_s16le",
        "sample_rate": SAMPLE_RATE,
        "channels": 1,
        "characters": 20,
    }
    return Recorder(output=usual(fmt), **(ordinary | changes))


def record(fmt: Format | Output, parts: Iterable[bytes], **changes: Any) -> tuple[bytes, Recorded]:
    """A clip's whole payload, from the provider's pieces."""
    recording = recorder(fmt, **changes)
    fed = b"".join([recording.feed(part) for part in parts])
    recorded = recording.finish()
    return fed + recorded.tail, recorded


def clip(fmt: Format | Output, sound: Samples, **changes: Any) -> Clip:
    """A clip as `join` takes it, from PCM."""
    payload, recorded = record(fmt, pieces(sound.tobytes(), 4_096), **changes)
    return payload, recorded.samples


def joined(fmt: Format | Output, clips: Iterable[Clip]) -> bytes:
    """A whole hit."""
    return b"".join(join(usual(fmt), list(clips)))


def decoded(fmt: Format | Output, data: bytes) -> NDArray[np.float64]:
    """What a player hears, in steps of 16 bits, at the player's own rate (Opus: 48 kHz)."""
    name = usual(fmt).format.name
    if name == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float64)
    if name in RAW:
        return _raw(RAW[name], data)
    with av.open(io.BytesIO(data)) as opened:
        parts = [frame.to_ndarray()[0] for frame in opened.decode(audio=0)]
    sound = np.concatenate(parts)
    return sound.astype(np.float64) * (32_768 if sound.dtype == np.float32 else 1)


def _raw(codec: str, data: bytes) -> NDArray[np.float64]:
    """G.711, as its own decoder has it: nothing says what it is but its name."""
    decoder = CodecContext.create(codec, "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.sample_rate = 8_000
    decoder.layout = "mono"
    sound = [frame.to_ndarray()[0] for frame in decoder.decode(av.Packet(data))]
    return np.concatenate(sound).astype(np.float64)


def file(kind: str, codec: str, sound: Samples, **options: str) -> bytes:
    """`sound` (24 kHz) as a file that a provider could send, made by libavformat's muxer."""
    target = io.BytesIO()
    with av.open(target, "w", format=kind, options=options) as opened:
        stream = opened.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return target.getvalue()

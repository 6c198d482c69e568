"""What the checks on a provider's sound cost, for each 15 seconds of it."""

from collections.abc import Iterator

import numpy as np
from hibari import Hibari

from app.audio.check import Meter, Samples, refuse_container, refuse_short, refuse_text
from app.audio.encode import Encoder
from app.audio.formats import FORMATS, SAMPLE_RATE, output
from app.audio.joiners import Bytes
from app.audio.walk import container_of, refuse_cut
from benchmarks import asking, tools
from benchmarks.figures import Figure

_SECONDS = 15
_RUNS = 9
# How sound comes: from sockets, from the scripted provider, and from the local engine (a sentence at once).
_PIECES = (1_024, 2_400, 8_192, _SECONDS * SAMPLE_RATE)


def measure() -> Iterator[Figure]:
    """PCM in pieces of several sizes, as loud as the voice is and very soft; an MP3's frames."""
    sound = _speech()
    for level, name in ((1.0, "speech"), (0.05, "speech so soft that it is held to its end")):
        samples = (sound * level).astype(np.int16)
        for size in _PIECES:
            parts = [samples[at : at + size] for at in range(0, len(samples), size)]
            what = f"{_SECONDS} s of {name}, {len(parts)} pieces: checked, CPU"
            yield Figure(what, "ms", tuple(tools.cpu(lambda each=parts: _checked(each), _RUNS)), "<= 1")
    data = _mp3(sound)
    walked = tools.cpu(lambda: refuse_cut(container_of(data), data), _RUNS)
    yield Figure(f"{_SECONDS} s of MP3: frames walked, CPU", "ms", tuple(walked), "<= 1")


def _checked(parts: list[Samples]) -> None:
    head: Bytes = parts[0][:64].tobytes()
    refuse_text(head)
    refuse_container(head)
    meter = Meter(SAMPLE_RATE, _SECONDS * 16)
    for part in parts:
        meter.push(part)
    meter.finish()
    refuse_short(_SECONDS, _SECONDS * 16)


def _speech() -> Samples:
    """The sample article's beginning, by the default voice."""
    wave = Hibari(threads=1)(asking.ARTICLE.read_text(encoding="utf-8")[:400], seed=0)
    sound = np.clip(np.rint(np.asarray(wave).reshape(-1) * 32_767), -32_768, 32_767).astype(np.int16)
    return np.resize(sound, _SECONDS * SAMPLE_RATE)


def _mp3(sound: Samples) -> bytes:
    encoder = Encoder(output(FORMATS["mp3"]).form, SAMPLE_RATE)
    return b"".join([*encoder.push(sound), *encoder.finish()])

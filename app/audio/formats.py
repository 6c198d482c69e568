"""The formats that clients ask for: one table. How to add one: docs/sound.md."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import av

from app.audio import forms
from app.audio.edges import EDGES_VERSION, RATE
from app.audio.forms import Form
from app.audio.joiners import Appending, FlacJoiner, Joiner, OggJoiner, PcmJoiner, WavJoiner

SAMPLE_RATE: Final = RATE
SAMPLE_RATES: Final = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
# Changes whenever a payload's bytes are laid out in another way.
_LAYOUT: Final = "layout1"


@dataclass(frozen=True, slots=True)
class Format:
    """What a client can ask for.

    `form` is how its clips are cached; formats with the same form share clips. `takes_rate`: the client may
    choose a sample rate out of `SAMPLE_RATES`; otherwise it is 24 kHz. `streams_exactly`: the bytes streamed
    while the speech is made are those replayed later; otherwise they differ in the head's lengths.
    `joiner` takes the sample rate in Hz.
    """

    name: str
    media_type: str
    form: Form
    joiner: Callable[[int], Joiner]
    takes_rate: bool = False
    streams_exactly: bool = True

    @property
    def extension(self) -> str:
        """Of file names, without the dot."""
        return self.name

    @property
    def codec_on_join(self) -> bool:
        """Whether joining decodes (FLAC), and so belongs in a thread; other forms are only copied."""
        return self.form is forms.FLAC


def _appending(_sample_rate: int) -> Joiner:
    return Appending()


def _ogg(_sample_rate: int) -> Joiner:
    return OggJoiner()


FORMATS: Final[dict[str, Format]] = {
    one.name: one
    for one in (
        Format("mp3", "audio/mpeg", forms.MP3, _appending),
        Format("opus", "audio/ogg; codecs=opus", forms.OPUS, _ogg),
        Format("aac", "audio/aac", forms.AAC, _appending),
        Format("flac", "audio/flac", forms.FLAC, FlacJoiner, streams_exactly=False),
        Format("wav", "audio/wav", forms.FLAC, WavJoiner, takes_rate=True, streams_exactly=False),
        Format("pcm", "audio/pcm", forms.FLAC, PcmJoiner, takes_rate=True),
    )
}


def clip_identity(fmt: Format, sample_rate: int) -> str:
    """All that decides a clip's bytes besides the provider's sound, for the content digest.

    `sample_rate` in Hz is the client's. PyAV's version stands for the encoders that its wheel carries
    (LAME, libopus) and libavcodec's does not name.
    """
    form = fmt.form
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    options = ",".join(f"{key}={value}" for key, value in form.options)
    encoder = (
        f"{form.encoder} av{av.__version__} lavc{libavcodec} {form.bit_rate or 0} {form.block or 0} {options}"
    )
    return f"{form.name} {encoder} rate={sample_rate} grid={form.frame} {EDGES_VERSION} {_LAYOUT}"


def refuse_rate(fmt: Format, sample_rate: int) -> None:
    """Raise if `fmt` does not come at `sample_rate` (Hz).

    Raises:
        ValueError: it does not.
    """
    if sample_rate not in (SAMPLE_RATES if fmt.takes_rate else (SAMPLE_RATE,)):
        raise ValueError(f"{fmt.name} does not come at {sample_rate} Hz")

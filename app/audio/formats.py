"""The formats that clients ask for: one table. How to add one: docs/sound.md."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import av

from app.audio import forms
from app.audio.edges import EDGES_VERSION, RATE
from app.audio.flac import FlacJoiner
from app.audio.forms import Form
from app.audio.joiners import Appending, Joiner, OggJoiner, PcmJoiner, WavJoiner
from app.audio.mp4 import Mp4Joiner
from app.audio.offers import AAC_BIT_RATES, MP3_BIT_RATES, OPUS_BIT_RATES, SAMPLE_RATES

SAMPLE_RATE: Final = RATE


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """What a client can ask for; there is one object for each row of the table.

    `form` is how its clips are cached; formats with the same form share clips. `sample_rates` (Hz) and
    `bit_rates` (bits per second; none: the format has no such choice) are on offer. `streams_exactly`: the bytes
    streamed while the speech is made are those replayed later; otherwise they differ in the head's lengths.
    `decodes`: joining decodes, and so belongs in a thread; other formats are put together of cached bytes.
    `joiner` takes the sample rate in Hz.
    """

    name: str
    media_type: str
    form: Form
    joiner: Callable[[int], Joiner]
    sample_rates: tuple[int, ...] = (SAMPLE_RATE,)
    bit_rates: tuple[int, ...] = ()
    streams_exactly: bool = True
    decodes: bool = False

    @property
    def extension(self) -> str:
        """Of file names, without the dot."""
        return self.name

    @property
    def usual_rate(self) -> int:
        """Samples per second where nobody asks for another rate."""
        return SAMPLE_RATE if SAMPLE_RATE in self.sample_rates else self.sample_rates[0]


def _appending(_sample_rate: int) -> Joiner:
    return Appending()


def _ogg(_sample_rate: int) -> Joiner:
    return OggJoiner()


def _mp4(_sample_rate: int) -> Joiner:
    return Mp4Joiner()


FORMATS: Final[dict[str, Format]] = {
    one.name: one
    for one in (
        Format("mp3", "audio/mpeg", forms.MP3, _appending, (24_000, 48_000), MP3_BIT_RATES),
        Format("opus", "audio/ogg; codecs=opus", forms.OPUS, _ogg, bit_rates=OPUS_BIT_RATES),
        Format("aac", "audio/aac", forms.AAC, _appending, bit_rates=AAC_BIT_RATES),
        Format("m4a", "audio/mp4", forms.AAC, _mp4, bit_rates=AAC_BIT_RATES, streams_exactly=False),
        Format("flac", "audio/flac", forms.FLAC, FlacJoiner, SAMPLE_RATES, streams_exactly=False),
        Format("wav", "audio/wav", forms.FLAC, WavJoiner, SAMPLE_RATES, streams_exactly=False, decodes=True),
        Format("pcm", "audio/pcm", forms.FLAC, PcmJoiner, SAMPLE_RATES, decodes=True),
        Format("ulaw", "audio/PCMU;rate=8000", forms.ULAW, _appending, (8_000,)),
        Format("alaw", "audio/PCMA;rate=8000", forms.ALAW, _appending, (8_000,)),
    )
}


@dataclass(frozen=True, slots=True)
class Output:
    """A format with its parameters. Only what the table offers can be made; `output` fills in what is usual.

    `sample_rate` in Hz; `bit_rate` in bits per second, None for formats that have no such choice.
    """

    format: Format
    sample_rate: int
    bit_rate: int | None

    def __post_init__(self) -> None:
        """Refuse what is not on offer.

        Raises:
            ValueError: the format does not come like this.
        """
        name = self.format.name
        if self.sample_rate not in self.format.sample_rates:
            raise ValueError(f"{name} does not come at {self.sample_rate} Hz")
        if self.bit_rate not in (self.format.bit_rates or (None,)):
            raise ValueError(f"{name} does not come at {self.bit_rate} bit/s")

    @property
    def form(self) -> Form:
        """How its clips are cached, bit rate and all."""
        return _form(self.format, self.bit_rate)

    @property
    def identity(self) -> str:
        """All that decides a clip's bytes besides the provider's sound, for the content digest."""
        return _identity(self)

    def joiner(self) -> Joiner:
        """A new joiner for one response."""
        return self.format.joiner(self.sample_rate)


@cache  # bounded: by what the table offers
def output(fmt: Format, sample_rate: int | None = None, bit_rate: int | None = None) -> Output:
    """A format as asked for; what is left out is as usual: 24 kHz (telephony 8), 64 kbit/s (opus 32).

    Raises:
        ValueError: the format does not come like this.
    """
    return Output(fmt, sample_rate or fmt.usual_rate, bit_rate or fmt.form.bit_rate)


@cache
def _form(fmt: Format, bit_rate: int | None) -> Form:
    return replace(fmt.form, bit_rate=bit_rate)


@cache
def _identity(wanted: Output) -> str:
    """PyAV's version stands for the encoders that its wheel carries (LAME, libopus) and libavcodec's does not name."""
    form = wanted.form
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    options = ",".join(f"{key}={value}" for key, value in form.options)
    encoder = (
        f"{form.encoder} av{av.__version__} lavc{libavcodec} {form.bit_rate or 0} {form.block or 0} {options}"
    )
    rate = f"rate={wanted.sample_rate} grid={form.frame}"
    return f"{form.name} {encoder} {rate} {EDGES_VERSION} layout{form.layout}"

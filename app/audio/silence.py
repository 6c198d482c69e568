"""Silence of its own between clips, in the form in which clips are cached.

It is composed of frames that say "nothing", which every codec has a short way to say: no encoder is opened for it,
at no time, so that a hit stays one however long its pauses are, and the same bytes come of every release of the
codecs.
"""

from collections.abc import Callable, Iterable
from functools import cache
from types import MappingProxyType
from typing import Final

from app.audio import forms
from app.audio.edges import RATE
from app.audio.flac import silent_frames
from app.audio.formats import Format, Output
from app.audio.forms import Form
from app.audio.joiners import at_rate
from app.audio.mp4 import SILENCE as SILENT_AAC
from app.audio.ogg import SILENCE as SILENT_OPUS
from app.audio.walk import BIT_RATES_1, BIT_RATES_2

SILENCE_VERSION: Final = "silence2"
"""Changes with any byte of what is composed here: silence is not kept, so the ETag of a speech must name it."""

_LONGEST: Final = RATE  # samples in one piece: with longer ones in pieces of a second, few are ever composed
_MPEG_1: Final = 32_000  # Hz, its lowest sample rate; below it is MPEG 2


def rest_samples(fmt: Format, seconds: float) -> int:
    """A pause's length at 24 kHz, on the grid of the format's form: whole frames, as near as they come."""
    frame = fmt.form.frame
    return round(max(0.0, seconds) * RATE / frame) * frame


def silence(output: Output, samples: int) -> list[tuple[bytes, int]]:
    """So many samples (at 24 kHz, from `rest_samples`) of zeros, as clips for `join`; none where it is 0.

    Composed at its first use in this process (0.1 ms) and kept.
    """
    form = output.form
    most = _LONGEST // form.frame
    whole, rest = divmod(samples // form.frame, most)
    return [_composed(form, output.sample_rate, frames) for frames in [most] * whole + [rest] if frames]


@cache  # bounded by itself: less than a second of frames, for each form and rate of the table
def _composed(form: Form, sample_rate: int, frames: int) -> tuple[bytes, int]:
    packer = form.packer()
    packets = _FRAMES[form.name](form, sample_rate, frames)
    return b"".join(map(packer.add, packets)) + packer.end(), frames * form.frame


def _mp3(form: Form, sample_rate: int, frames: int) -> Iterable[bytes]:
    """Layer III frames (ISO 11172-3, 13818-3) whose side information says that nothing follows: all zeros."""
    assert form.bit_rate is not None
    first = sample_rate >= _MPEG_1
    rate = (BIT_RATES_1 if first else BIT_RATES_2).index(form.bit_rate // 1_000)
    # Both rates on offer, 24 and 48 kHz, have index 1. Behind it: not padded; one channel, an original.
    head = bytes((0xFF, 0xFB if first else 0xF3, rate << 4 | 1 << 2, 0xC4))
    size = form.frame * form.bit_rate // (8 * RATE)
    return [head.ljust(size, b"\0")] * frames


def _opus(_form: Form, _sample_rate: int, frames: int) -> Iterable[bytes]:
    return [SILENT_OPUS] * frames


def _aac(_form: Form, _sample_rate: int, frames: int) -> Iterable[bytes]:
    return [SILENT_AAC] * frames


def _flac(_form: Form, sample_rate: int, frames: int) -> Iterable[bytes]:
    return silent_frames(sample_rate, frames)


def _g711(zero: bytes) -> Callable[[Form, int, int], Iterable[bytes]]:
    return lambda form, sample_rate, frames: [zero * at_rate(form.frame, sample_rate)] * frames


# By the form's name: so many frames of silence, from the form, the sample rate in Hz, and the number of frames.
_FRAMES: Final = MappingProxyType(
    {
        forms.MP3.name: _mp3,
        forms.OPUS.name: _opus,
        forms.AAC.name: _aac,
        forms.FLAC.name: _flac,
        forms.ULAW.name: _g711(b"\xff"),
        forms.ALAW.name: _g711(b"\xd5"),
    }
)

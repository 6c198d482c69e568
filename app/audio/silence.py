"""Silence of its own between clips, in the form in which clips are cached: encoded once, joined as they are."""

from functools import cache
from typing import Final

import numpy as np

from app.audio.edges import RATE
from app.audio.encode import Encoder
from app.audio.formats import Format, Output
from app.audio.forms import Form
from app.audio.joiners import at_rate

_LONGEST: Final = RATE  # samples in one piece: with longer ones in pieces of a second, few are ever encoded


def rest_samples(fmt: Format, seconds: float) -> int:
    """A pause's length at 24 kHz, on the grid of the format's form: whole frames, as near as they come."""
    frame = fmt.form.frame
    return round(max(0.0, seconds) * RATE / frame) * frame


def silence(output: Output, samples: int) -> list[tuple[bytes, int]]:
    """So many samples (at 24 kHz, from `rest_samples`) of zeros, as clips for `join`; none where it is 0.

    Encoded at its first use in this process (1 to 5 ms) and kept.
    """
    form = output.form
    most = _LONGEST // form.frame
    whole, rest = divmod(samples // form.frame, most)
    return [_encoded(form, output.sample_rate, frames) for frames in [most] * whole + [rest] if frames]


@cache  # bounded by itself: less than a second of frames, for each form and rate of the table
def _encoded(form: Form, sample_rate: int, frames: int) -> tuple[bytes, int]:
    samples = frames * form.frame
    encoder, packer = Encoder(form, sample_rate), form.packer()
    packets = encoder.push(np.zeros(at_rate(samples, sample_rate), np.int16)) + encoder.finish()
    return b"".join(map(packer.add, packets)) + packer.end(), samples

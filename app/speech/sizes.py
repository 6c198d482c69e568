"""How much sound a text comes to, before anybody has spoken it."""

from typing import Final

from app.audio.formats import Output
from app.speech.plan import Plan

SECONDS_PER_CHARACTER: Final = 0.060
"""Of English prose at speed 1, for chunks not yet heard; measured on the sample article with the default voice
(`make bench`, "seconds of speech per character")."""
FLAC_SHARE: Final = 0.5
"""Bytes of speech in FLAC, for each byte of it in PCM."""


def bytes_per_second(output: Output) -> float:
    """Of a clip of speech, as it is cached. What is not compressed is half of 16 bits as well: telephony's 8."""
    rate = output.form.bit_rate
    return rate / 8 if rate else 2 * output.sample_rate * FLAC_SHARE


def clips_within(plan: Plan, most: int) -> int:
    """How many of the plan's first clips probably come to no more than `most` bytes; it stops counting there."""
    each = SECONDS_PER_CHARACTER * bytes_per_second(plan.request.output) / plan.request.speed
    size = 0.0
    for position, planned in enumerate(plan.chunks):
        size += each * len(planned.candidates[0].utterance.text)
        if size > most:
            return position
    return len(plan.chunks)

"""Answers that are not the sound that was asked for, as providers were seen to send them; `scripted` sends them."""

import json
import random
from types import MappingProxyType
from typing import Final, Literal

Answer = Literal[
    "tone",  # the sound asked for
    "silence",  # zeros, as long as it
    "noise",  # random bytes, as long as it
    "empty",  # nothing
    "odd",  # the last byte is missing
    "half",  # the first half of the bytes
    "shifted",  # a byte too many in front, one too few behind
    "html",  # a page
    "json",  # an error told in JSON
    "hollow",  # frames of AAC that hold nothing
    "endless",  # the sound again and again
]
ANSWERS: Final[tuple[Answer, ...]] = (
    "tone", "silence", "noise", "empty", "odd", "half", "shifted", "html", "json", "hollow", "endless",
)  # fmt: skip

# One head of an ADTS frame (ISO 13818-7, 6.2): LC, 24 kHz, mono; its length is 7, which is the head alone.
_HOLLOW_FRAME: Final = bytes((0xFF, 0xF1, 0x58, 0x40, 0x00, 0xFF, 0xFC))
_INSTEAD: Final = MappingProxyType(
    {
        "empty": b"",
        "html": b"<html><body><h1>502 Bad Gateway</h1></body></html>",
        "json": json.dumps({"error": {"code": "overloaded", "message": "Try again later."}}).encode(),
        "hollow": _HOLLOW_FRAME * 400,
    }
)


def poisoned_pcm(answer: Answer, pcm: bytes) -> bytes:
    """What stands where `pcm` should: the same, or other sound of its length."""
    if answer == "silence":
        return bytes(len(pcm))
    if answer == "noise":
        return random.Random(len(pcm)).randbytes(len(pcm))  # noqa: S311 - noise, not a secret # nosec B311
    return pcm


def poisoned_answer(answer: Answer, whole: bytes) -> bytes:
    """What is sent where `whole` should be, PCM or a file; of an endless one this is one round."""
    if answer in _INSTEAD:
        return _INSTEAD[answer]
    if answer == "odd":
        return whole[:-1]
    if answer == "half":
        return whole[: len(whole) // 4 * 2]  # whole samples: half a sample would give it away
    if answer == "shifted":
        return b"\x00" + whole[:-1]
    return whole

"""ElevenLabs' sound with timestamps: JSON, a line for each stretch of sound, into sound and the times of words."""

import json
import re
from base64 import b64decode
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import takewhile
from typing import Any, Final

import msgspec

from providers.errors import BadAudio
from providers.interface import Timing
from providers.lines import lines

RULES: Final = 1
"""To be raised with every change here that changes what is told: clips keep what they were told."""

_MORE: Final = 10  # characters may be said for each one that is written ("7:45", "$1m")
# As blanks divide words, and in scripts without them what their points and commas do.
_WORD: Final = re.compile(r"[^\s、，；。！？]+[、，；。！？]*|[、，；。！？]+")  # noqa: RUF001 - these are meant


class _Alignment(msgspec.Struct):
    """In seconds from the beginning of the whole sound, whichever line it is in."""

    characters: list[str]
    character_start_times_seconds: list[float]
    character_end_times_seconds: list[float]


async def spoken(
    raw: AsyncGenerator[bytes], text: str, told: list[Timing], provider: str
) -> AsyncGenerator[bytes]:
    """The sound in these lines; when it has ended, `told` has the times of the words of `text`.

    Raises:
        BadAudio: this is something else, or there is no sound in it.
        ProviderError: as reading `raw` does.
    """
    heard = _Heard(text)
    silent = True
    async with aclosing(lines(raw, provider)) as each:
        async for line in each:
            sound, alignment = _read(line, provider)
            heard.add(alignment)
            if sound:
                silent = False
                yield sound
    if silent:
        raise BadAudio(f"{provider} answered without sound.", provider=provider)
    told += heard.words()


def _read(line: bytes, provider: str) -> tuple[bytes, Any]:
    """Its sound, and its alignment unread: of the text as it was sent."""
    # The standard library's parser: others refuse half an emoji, which a server that counts in UTF-16 may send.
    try:
        said = json.loads(line)
        return b64decode(said.get("audio_base64") or "", validate=True), said.get("alignment")
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadAudio(
            f"{provider} answered with something else than sound and timestamps.", provider=provider
        ) from None


class _Heard:
    """The characters of one utterance with their times, as they come."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._said: list[str] = []  # code points
        self._begins: list[float] = []
        self._ends: list[float] = []

    def add(self, said: Any) -> None:
        """What cannot be read, or is far more than there is text, is passed over: captions are not worth a clip."""
        try:
            alignment = msgspec.convert(said, _Alignment | None)
        except msgspec.ValidationError:
            return
        if alignment is None:
            return
        for character, begins, ends in zip(
            alignment.characters,
            alignment.character_start_times_seconds,
            alignment.character_end_times_seconds,
            strict=False,
        ):
            if len(self._said) + len(character) > _MORE * (len(self._text) + 1):
                return
            self._said += character  # code point by code point
            self._begins += [begins] * len(character)
            self._ends += [ends] * len(character)

    def words(self) -> list[Timing]:
        """The text's words with the times of those that were said for them.

        As many as there are in both go one by one, from either end as far as they are alike otherwise; what is left
        between them is told as one.
        """
        written = list(_WORD.finditer(self._text))
        said = list(_WORD.finditer("".join(self._said)))
        if len(written) == len(said):
            return [self._timing([word], [heard]) for word, heard in zip(written, said, strict=True)]
        front = _alike(written, said)
        back = _alike(written[front:][::-1], said[front:][::-1])
        ahead = zip(written[:front], said[:front], strict=True)
        behind = zip(written[len(written) - back :], said[len(said) - back :], strict=True)
        middle = written[front : len(written) - back], said[front : len(said) - back]
        return [
            *(self._timing([word], [heard]) for word, heard in ahead),
            *([self._timing(*middle)] if all(middle) else []),
            *(self._timing([word], [heard]) for word, heard in behind),
        ]

    def _timing(self, written: Sequence[re.Match[str]], said: Sequence[re.Match[str]]) -> Timing:
        begins, ends = self._begins[said[0].start()], self._ends[said[-1].end() - 1]
        return Timing(written[0].start(), written[-1].end(), begins, ends)


def _alike(written: Sequence[re.Match[str]], said: Sequence[re.Match[str]]) -> int:
    """How many they begin with that are the same."""
    same = (word.group() == heard.group() for word, heard in zip(written, said, strict=False))
    return sum(1 for _ in takewhile(bool, same))

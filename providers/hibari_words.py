"""When the hibari engine speaks each word: pure functions, from the lengths that its network gives its phonemes.

The network works those out but does not give them out. A message in Protocol Buffers may be continued by more of
itself, and so its file, read as bytes, gets one more output at its end.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Protocol

from providers.interface import Timing

RULES: Final = 1
"""To be raised with every change here that changes what is told: clips keep what they were told."""
STEP: Final = 0.025
"""Seconds in one unit of the lengths."""

_LENGTHS: Final = b"/CumSum_output_0"  # where each phoneme ends, in the graph of hibari-tts 0.2
_GRAPH, _OUTPUT, _NAME = 7, 12, 1  # numbers of fields in ModelProto, GraphProto, ValueInfoProto of ONNX

_WORD = re.compile(r"\S+")
_NO_SOUND: Final = ' ;:,.!?—…"“”()'
_ASIDE: Final = 12  # words of either text that may stand for others of the other one; "$1.50" is read as four


class Token(Protocol):
    """The engine's: a word or a part of one as it reads it, and whether a blank comes behind it."""

    text: str
    whitespace: str
    phonemes: str | None


@dataclass(frozen=True, slots=True)
class ReadWord:
    """A word as the engine reads it, and which of the sentence's phonemes it is."""

    text: str = field(repr=False)
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """The same with its time, in seconds."""

    text: str = field(repr=False)
    begins: float
    ends: float


def with_lengths(model: bytes) -> bytes:
    """The model with one more output, the last: where each phoneme ends, in units of `STEP`."""
    return model + _field(_GRAPH, _field(_OUTPUT, _field(_NAME, _LENGTHS)))


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2, len(content))) + content  # all of these are shorter than 128


def read_words(tokens: Iterable[Token]) -> tuple[str, list[ReadWord]]:
    """A sentence's phonemes, as the engine puts them together, and the words they are of."""
    phonemes, text, start = "", "", 0
    words: list[ReadWord] = []
    for token in tokens:
        phonemes += token.phonemes or ""
        text += token.text
        if token.whitespace:
            words.append(ReadWord(text, start, len(phonemes)))
            phonemes += " "
            text, start = "", len(phonemes)
    words.append(ReadWord(text, start, len(phonemes)))
    blanks = len(phonemes) - len(phonemes.lstrip())
    moved = [ReadWord(word.text, max(0, word.start - blanks), max(0, word.end - blanks)) for word in words]
    return phonemes.strip(), moved


def spoken_words(
    phonemes: str, words: Iterable[ReadWord], known: Iterable[str], lengths: Sequence[int], offset: float
) -> Iterator[SpokenWord]:
    """The words with their times. `known` are the phonemes that the network takes; `offset` in seconds.

    None where there are no `lengths`.
    """
    if not lengths:
        return
    taken = frozenset(known)
    # The network is given a pause, the phonemes it knows, and a pause.
    places = list(accumulate((one in taken for one in phonemes), initial=1))
    for word in words:
        heard = phonemes[word.start : word.end].rstrip(_NO_SOUND)
        # A word is heard from the blank before it on: the network's sound is ahead of its lengths by about as much.
        first, behind = places[max(0, word.start - 1)], places[word.start + len(heard)]
        if heard:
            yield SpokenWord(
                word.text, offset + lengths[first - 1] * STEP, offset + lengths[behind - 1] * STEP
            )


def timings(text: str, spoken: Sequence[SpokenWord]) -> list[Timing]:
    """The words of a text with the times of those that were read for them.

    Words that are read otherwise ("7:45") are taken together up to the next ones that are in both. Linear.
    """
    written = list(_WORD.finditer(text))
    keys = [_key(word.group()) for word in written]
    read = [_key(word.text) for word in spoken]
    found: list[Timing] = []
    at = heard = 0
    while at < len(written) and heard < len(spoken):
        until, upto = _next_in_both(keys, read, at, heard)
        found += _told(written[at:until], spoken[heard:upto])
        at, heard = until, upto
    return found


def _next_in_both(keys: Sequence[str], read: Sequence[str], at: int, heard: int) -> tuple[int, int]:
    """Behind the word that both go on with; or up to it, where others come first."""
    for skipped in range(2 * _ASIDE + 1):
        for aside in range(skipped + 1):
            here, there = at + aside, heard + skipped - aside
            if here < len(keys) and there < len(read) and keys[here] == read[there]:
                return (here, there) if skipped else (at + 1, heard + 1)
    return len(keys), len(read)


def _told(written: Sequence[re.Match[str]], spoken: Sequence[SpokenWord]) -> Iterator[Timing]:
    if len(written) == len(spoken):
        for word, said in zip(written, spoken, strict=True):
            yield Timing(word.start(), word.end(), said.begins, said.ends)
    elif written and spoken:
        yield Timing(written[0].start(), written[-1].end(), spoken[0].begins, spoken[-1].ends)


def _key(word: str) -> str:
    return "".join(filter(str.isalnum, word)).casefold() or word

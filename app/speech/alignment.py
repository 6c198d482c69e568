"""When each character is heard, in ElevenLabs' form: from the words of captions, so that both say the same."""

from collections.abc import Iterator, Sequence

from app.speech.captions import Cue
from app.unprinted import Unprinted


class Alignment(Unprinted, frozen=True):
    """What ElevenLabs' answers with timestamps carry as `alignment`: three lists of one length.

    Together the characters (code points) are the text. No time is before the one in front of it, nor an end before
    its start.
    """

    characters: list[str]
    character_start_times_seconds: list[float]
    character_end_times_seconds: list[float]


def alignment(text: str, cues: Sequence[Cue]) -> Alignment:
    """Of a `text` that has the words of its captions in it, in their order: of a speech, or of one clip.

    Characters share the time of their word equally; what stands between two words has the time between them, what
    stands before the first one has all before it, and behind the last one is none. To the millisecond, as captions.
    """
    starts: list[float] = []
    ends: list[float] = []
    for count, begin, end in _stretches(text, cues):
        edges = [(begin + (end - begin) * at // count) / 1_000 for at in range(count + 1)] if count else []
        starts += edges[:-1]
        ends += edges[1:]
    return Alignment([*text], starts, ends)


def _stretches(text: str, cues: Sequence[Cue]) -> Iterator[tuple[int, int, int]]:
    """All of the text in order: how many characters, from when to when, in ms."""
    behind = latest = 0
    for cue in cues:
        for word in cue.words:
            at = text.index(word.text, behind)
            start = max(latest, word.start)
            yield at - behind, latest, start
            behind, latest = at + len(word.text), max(start, word.end)
            yield len(word.text), start, latest
    yield len(text) - behind, latest, latest

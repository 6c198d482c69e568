"""How long a text may take to be said, where its letters tell.

Audio books are read at 150 to 160 words a minute, auctioneers speak 250 to 400, the record is 655: of 4.7 letters,
0.08, 0.05 to 0.03 and 0.02 s for each letter. Languages differ by half (5.2 to 7.8 syllables a second, Pellegrino,
Coupe and Marsico, Language 87, 2011). The default voice takes 0.054 to 0.089 in plain sentences, 0.13 where they
hesitate, 0.22 where it spells. So what is refused here is no voice, but sound at another sample rate, a part of the
text, or far more than it.
"""

from typing import Final

import regex

from providers.interface import Utterance

LETTERS: Final = 40
"""So many there must be: a short text may be a sigh, or three words with a long pause."""
FASTEST, SLOWEST = 0.025, 0.4
"""Seconds for each letter."""

_PAUSE: Final = 1.0  # seconds for each mark, and twice that once: for pauses within the sound
# A word as it is written in a sentence. Not so: figures, letters that are spelled, addresses, abbreviations with
# points inside. Not longer than a word can be, and no "aaaah": how long that lasts is up to the speaker.
_LATIN: Final = r"(?:[\p{Lu}&&\p{Latin}]?[[\p{Ll}&&\p{Latin}]\p{M}]+|[\p{Lu}&&\p{Latin}])"
_WORD: Final = regex.compile(
    rf"(?=.{{1,25}}$)(?!.*(\p{{L}})\1{{3}})[\"'“‘«(¿¡]*{_LATIN}(?:['’-]{_LATIN})*[.,;:!?…)\"'”’»]*|[–—-]",  # noqa: RUF001
    regex.VERSION1,
)
_MARK: Final = regex.compile(r"[.,;:!?…()–—-]")  # noqa: RUF001 - the dashes are meant


def believable(utterance: Utterance) -> tuple[float, float] | None:
    """From how many to how many seconds its sound may be, without silence around it; None: nobody can tell.

    Only plain sentences in Latin letters tell: a voice may pass over scripts that it does not know, or spell them,
    and others have no vowels. Markup, instructions and a voice's settings may ask for any pace. A `speed` may have
    been done or not: providers do not always say what they cannot.
    """
    if utterance.ssml is not None or utterance.instructions is not None or utterance.voice.settings:
        return None
    text = utterance.text
    letters = sum(map(str.islower, text))
    if letters < LETTERS or not all(map(_WORD.fullmatch, text.split())):
        return None
    most = letters * SLOWEST + (2 + len(_MARK.findall(text))) * _PAUSE
    return letters * FASTEST / max(1.0, utterance.speed), most / min(1.0, utterance.speed)

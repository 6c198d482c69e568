"""The elements of SSML 1.1 that are read: what they may hold, and which values their attributes may have."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.text.normalize import speakable, spelled

LONGEST_ALIAS: Final = 1000  # characters that are said in place of one element's text
LONGEST_BREAK: Final = 10.0  # seconds

_NUMBER: Final = r"(?:\d{1,4}(?:\.\d{1,3})?|\.\d{1,3})"
_TIME: Final = re.compile(r"(\d{1,5}(?:\.\d{1,3})?|\.\d{1,3})(ms|s)")
_STRENGTHS: Final = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.0}


class Refused(Exception):
    """An element that is not taken as it is. `why` continues a sentence that begins with its name."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Content(StrEnum):
    """What may stand inside an element."""

    MIXED = "text and elements"
    TEXT = "text, but no elements"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Value:
    """What an attribute may be; `form` says it in words."""

    pattern: re.Pattern[str]
    form: str
    also: Callable[[str], bool] | None = None

    @classmethod
    def of(cls, pattern: str, form: str, also: Callable[[str], bool] | None = None) -> "Value":
        """Whole values that the pattern matches (it must be linear) and of which `also` is true."""
        return cls(re.compile(pattern), form, also)

    def takes(self, value: str) -> bool:
        """Whether it may be this one."""
        return bool(self.pattern.fullmatch(value)) and (self.also is None or self.also(value))


@dataclass(frozen=True, slots=True)
class Element:
    """`outside`: elements that it must not be in, at any depth. `some`: it means nothing without an attribute."""

    content: Content = Content.MIXED
    attributes: Mapping[str, Value] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    outside: frozenset[str] = frozenset()
    some: bool = False


_ANY: Final = Value.of(r".*", "anything")
_NAME: Final = Value.of(r"[A-Za-z][A-Za-z0-9:_-]{0,39}", 'a name such as "characters"')
_FORMAT: Final = Value.of(r"[A-Za-z0-9 .:/_-]{1,40}", 'a form such as "mdy"')
_SOUNDS: Final = Value.of(rf".{{1,{LONGEST_ALIAS}}}", f"1 to {LONGEST_ALIAS} characters")
_WORDS: Final = Value.of(_SOUNDS.pattern.pattern, f"{_SOUNDS.form} that can be spoken", speakable)
_LANGUAGE: Final = Value.of(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,7}", 'a language such as "en-US"')
_LANG: Final = {"xml:lang": _LANGUAGE}
_RATE: Final = Value.of(
    rf"x-slow|slow|medium|fast|x-fast|default|[+-]?{_NUMBER}%|{_NUMBER}",
    'a rate such as "slow", "80%" or "+10%"',
)
_PITCH: Final = Value.of(
    rf"x-low|low|medium|high|x-high|default|[+-]?{_NUMBER}(?:%|Hz|st)",
    'a pitch such as "low", "+5%" or "-2st"',
)
_VOLUME: Final = Value.of(
    rf"silent|x-soft|soft|medium|loud|x-loud|default|[+-]?{_NUMBER}(?:dB|%)?",
    'a volume such as "soft" or "+6dB"',
)
_BREAK: Final = Value.of(
    _TIME.pattern,
    'a time of at most 10 seconds, such as "500ms" or "1.5s"',
    lambda time: _seconds(time) <= LONGEST_BREAK,
)
_STRENGTH: Final = Value.of("|".join(_STRENGTHS), f"one of {', '.join(_STRENGTHS)}")

ELEMENTS: Final[Mapping[str, Element]] = {
    "speak": Element(
        attributes={
            **_LANG,
            "version": Value.of(r"1\.[01]", '"1.0" or "1.1"'),
            "xsi:schemaLocation": _ANY,
        }
    ),
    "p": Element(attributes=_LANG, outside=frozenset({"p", "s"})),
    "s": Element(attributes=_LANG, outside=frozenset({"s"})),
    "w": Element(attributes={"role": _ANY}),
    "token": Element(attributes={"role": _ANY}),
    "lang": Element(attributes=_LANG, required=("xml:lang",)),
    "emphasis": Element(
        attributes={"level": Value.of("strong|moderate|none|reduced", "strong, moderate, none or reduced")}
    ),
    "prosody": Element(
        attributes={"rate": _RATE, "pitch": _PITCH, "volume": _VOLUME, "range": _PITCH}, some=True
    ),
    "break": Element(Content.NOTHING, {"time": _BREAK, "strength": _STRENGTH}),
    "mark": Element(Content.NOTHING, {"name": _ANY}, ("name",)),
    "sub": Element(Content.TEXT, {"alias": _WORDS}, ("alias",)),
    "say-as": Element(
        Content.TEXT, {"interpret-as": _NAME, "format": _FORMAT, "detail": _FORMAT}, ("interpret-as",)
    ),
    "phoneme": Element(
        Content.TEXT,
        {"alphabet": Value.of("ipa|x-sampa", '"ipa" or "x-sampa"'), "ph": _SOUNDS},
        ("ph",),
    ),
}

NOT_TAKEN: Final[Mapping[str, str]] = {
    "voice": "choose the voice with the request's `voice`",
    "audio": "recordings are not mixed in, so leave it out",
    "lexicon": "give single words a <phoneme> or a <sub>",
    "lookup": "give single words a <phoneme> or a <sub>",
}
"""Elements of SSML that are known and refused, and what to do instead; of others: leave them out."""


def checked(element: Element, given: Mapping[str, str]) -> dict[str, str]:
    """The attributes in one spelling, in the order of the table.

    Raises:
        Refused: one is not known, missing, or has a value that is not one.
    """
    if not given.keys() <= element.attributes.keys():
        names = ", ".join(f"`{name}`" for name in element.attributes)
        raise Refused(f"has an attribute that is not taken; use only {names}")
    found = {name: " ".join(spelled(given[name]).split()) for name in element.attributes if name in given}
    for name, value in found.items():
        wanted = element.attributes[name]
        if not wanted.takes(value):
            raise Refused(f"has a `{name}` that is not understood; make it {wanted.form}")
    if element.some and not found:
        raise Refused("has no attribute; leave it out, or say what it is to change")
    for name in element.required:
        if name not in found:
            raise Refused(f"has no `{name}`; make it {element.attributes[name].form}")
    return found


def silence(attributes: Mapping[str, str]) -> float:
    """How long a <break> is, in seconds, by its checked attributes; its `time` counts before its `strength`."""
    if "time" in attributes:
        return _seconds(attributes["time"])
    return _STRENGTHS[attributes.get("strength", "medium")]


def _seconds(time: str) -> float:
    match = _TIME.fullmatch(time)
    assert match is not None, "a time has been checked"
    return float(match[1]) / (1000 if match[2] == "ms" else 1)

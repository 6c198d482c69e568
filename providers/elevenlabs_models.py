"""What is known of ElevenLabs' models without asking: limits, credits, and which parameters they take."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

PRICE_OF_CREDITS: Final = 100.0
"""Dollars per million credits: ElevenLabs' list price for its API, mid-2026, of a model that costs one for each
character ($0.10 per 1,000 characters of Multilingual v2 and v3, $0.05 of Flash and Turbo)."""


@dataclass(frozen=True, slots=True)
class Model:
    """`most` characters in a request; `credits` for each of them, before what an account is let off.

    `language`: it takes `language_code`, elsewhere an error or unheard. `speed`: it does what is asked of it.
    `context`: it takes text before and after. `english`: it speaks nothing else.
    """

    most: int = 5_000
    credits: float = 1.0
    language: bool = True
    speed: bool = True
    context: bool = True
    english: bool = False


# Of v3, users report that it passes over `speed`, and it refuses neighbouring text (400, unsupported_model).
_V3: Final = Model(speed=False, context=False)
_V2_5: Final = Model(40_000, credits=0.5)
_V2: Final = Model(30_000, credits=0.5, language=False, english=True)

MODELS: MappingProxyType[str, Model] = MappingProxyType(
    {
        "eleven_v3": _V3,
        "eleven_v3_conversational": _V3,
        "eleven_multilingual_v2": Model(10_000, language=False),
        "eleven_flash_v2_5": _V2_5,
        "eleven_turbo_v2_5": _V2_5,
        "eleven_flash_v2": _V2,
        "eleven_turbo_v2": _V2,
        "eleven_multilingual_v1": Model(10_000, language=False),
        "eleven_monolingual_v1": Model(10_000, language=False, english=True),
    }
)
"""Limits from ElevenLabs' help page on error codes 400 and 401 and its overview of models (2026)."""

UNKNOWN: Final = Model()
"""A model that came later: the tightest limit, the dearest price, and every parameter."""


def model(name: str) -> Model:
    """Of that name."""
    return MODELS.get(name, UNKNOWN)

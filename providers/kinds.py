"""The table of kinds: the one place to add a vendor or an engine, and the one that builds them."""

import asyncio
import random as randomness
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from providers import elevenlabs, hibari, openai, options, scripted
from providers.gate import Gated
from providers.interface import Provider, ProviderSettings, ProviderVoice
from providers.options import Parser
from providers.retry import Retrying

Sleep = Callable[[float], Awaitable[None]]
Random = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind is configured and made.

    `options` are the keys it takes besides those of every provider, each with its parser. `problems` finds what
    else is wrong. `slots` is how many utterances at once the kind can bear where `max_concurrency` is not set;
    None: no bound. `settings` are the keys that a link of a chain takes besides provider, voice and model; None: any,
    and they are sent as they are.
    """

    make: Callable[[ProviderSettings], Provider]
    options: Mapping[str, Parser]
    problems: Callable[[ProviderSettings], list[str]] = lambda _: []
    slots: Callable[[ProviderSettings], int | None] = lambda settings: settings.max_concurrency
    settings: Mapping[str, Parser] | None = None

    def check(self, settings: ProviderSettings) -> list[str]:
        """Everything that is wrong with these settings, a sentence each; never a value, which may be secret."""
        return [*options.problems(settings.options, self.options), *self.problems(settings)]

    def check_voice(self, voice: ProviderVoice) -> list[str]:
        """Everything that is wrong with a link's settings, a sentence each."""
        return [] if self.settings is None else options.problems(voice.settings, self.settings)


KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        "elevenlabs": Kind(
            elevenlabs.ElevenLabs, elevenlabs.OPTIONS, elevenlabs.problems, settings=elevenlabs.SETTINGS
        ),
        "hibari": Kind(hibari.Hibari, hibari.OPTIONS, slots=hibari.threads),
        "openai": Kind(openai.OpenAI, openai.OPTIONS, openai.problems),
        "scripted": Kind(scripted.from_settings, scripted.OPTIONS),
    }
)


def build(
    settings: ProviderSettings, *, sleep: Sleep = asyncio.sleep, random: Random = randomness.random
) -> Provider:
    """The provider with its retries and its gate. Cheap and without I/O; `warm` it before it is used.

    Raises:
        ValueError: the settings have problems (`check` lists them).
    """
    kind = KINDS.get(settings.kind)
    found = kind.check(settings) if kind else [f"unknown kind; there are {', '.join(sorted(KINDS))}."]
    if kind is None or found:
        raise ValueError(f"Provider {settings.name}: {' '.join(found)}")
    provider: Provider = Retrying(
        kind.make(settings), settings.attempts, timeout=settings.timeout, sleep=sleep, random=random
    )
    slots = kind.slots(settings)
    return provider if slots is None else Gated(provider, slots)

"""The table of kinds: the one place to add a vendor or an engine, and the one that builds them."""

import asyncio
import hashlib
import random as randomness
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from providers import (
    azure,
    cartesia,
    deepgram,
    elevenlabs,
    espeak,
    google,
    hibari,
    openai,
    options,
    piper,
    polly,
    scripted,
)
from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.gate import Gated
from providers.guard import Guarded, Watched, circuit_of
from providers.interface import Provider, ProviderSettings, ProviderVoice
from providers.options import Parser
from providers.retry import Retrying
from providers.slots import Slots
from providers.wrapped import bare

Sleep = Callable[[float], Awaitable[None]]
Random = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind is configured and made.

    `options` are the keys it takes besides those of every provider, each with its parser; `voice` those of a link
    in a voice's chain besides provider, voice and model (None: any but the `reserved`, they are passed on).
    `problems` finds what else is wrong. `slots` is how many utterances at once the kind can bear where
    `max_concurrency` is not set; None: no bound. `local`: an engine of this process, whose slots are nobody else's.
    """

    make: Callable[[ProviderSettings], Provider]
    options: Mapping[str, Parser]
    problems: Callable[[ProviderSettings], list[str]] = lambda _: []
    slots: Callable[[ProviderSettings], int | None] = lambda settings: settings.max_concurrency
    local: Callable[[ProviderSettings], bool] = lambda _: False
    voice: Mapping[str, Parser] | None = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()

    def check(self, settings: ProviderSettings) -> list[str]:
        """Everything that is wrong with these settings, a sentence each; never a value, which may be secret."""
        return [*options.problems(settings.options, self.options), *self.problems(settings)]

    def check_voice(self, voice: ProviderVoice) -> list[str]:
        """The same of one link of a chain."""
        if self.voice is not None:
            return options.problems(voice.settings, self.voice)
        given = sorted(self.reserved.intersection(dict(voice.settings)))
        return [f"{key} is the request's or the provider's to say, not a link's." for key in given]


def _always(_: ProviderSettings) -> bool:
    return True


KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        "azure": Kind(azure.Azure, azure.OPTIONS, azure.problems, voice=azure.VOICE),
        "cartesia": Kind(cartesia.Cartesia, cartesia.OPTIONS, cartesia.problems, voice=cartesia.VOICE),
        "deepgram": Kind(deepgram.Deepgram, deepgram.OPTIONS, deepgram.problems),
        "elevenlabs": Kind(
            elevenlabs.ElevenLabs, elevenlabs.OPTIONS, elevenlabs.problems, voice=elevenlabs.VOICE
        ),
        "espeak": Kind(
            espeak.Espeak, espeak.OPTIONS, slots=espeak.processes, local=_always, voice=espeak.VOICE
        ),
        "google": Kind(google.Google, google.OPTIONS, google.problems, voice=google.VOICE),
        "hibari": Kind(hibari.Hibari, hibari.OPTIONS, slots=hibari.threads, local=_always),
        "openai": Kind(openai.OpenAI, openai.OPTIONS, openai.problems, voice=None, reserved=openai.RESERVED),
        "piper": Kind(
            piper.from_settings,
            piper.OPTIONS,
            piper.problems,
            slots=piper.threads,
            local=piper.is_local,
            voice=piper.VOICE,
        ),
        "polly": Kind(polly.Polly, polly.OPTIONS, polly.problems, voice=polly.VOICE),
        "scripted": Kind(scripted.from_settings, scripted.OPTIONS),
    }
)


def account(settings: ProviderSettings) -> str:
    """Under what processes tell each other how a provider is doing: its name, and a word for whom it really asks.

    While a key is being replaced, those who still have the old one must not speak for those who have the new one. Of
    the key only 48 bits of a hash are in it.
    """
    asked = repr((settings.kind, settings.api_key, settings.base_url, settings.options))
    return f"{settings.name}-{hashlib.blake2b(asked.encode(), digest_size=6).hexdigest()}"


def build(
    settings: ProviderSettings,
    slots: Slots | None = None,
    *,
    sleep: Sleep = asyncio.sleep,
    random: Random = randomness.random,
) -> Provider:
    """The provider with its retries, its gate and its circuit. Cheap and without I/O; `warm` it before it is used.

    `slots` are those that processes share; None: each has its own. Whoever has the provider keeps its circuit
    (`circuit_of`) among a fleet's `Circuits`: else nobody closes it again.

    Raises:
        ValueError: the settings have problems (`check` lists them).
    """
    kind = KINDS.get(settings.kind)
    found = kind.check(settings) if kind else [f"unknown kind; there are {', '.join(sorted(KINDS))}."]
    if kind is None or found:
        raise ValueError(f"Provider {settings.name}: {' '.join(found)}")
    circuit = Circuit(settings.name, account=account(settings), slow=settings.slow_after)
    allowance = Allowance(kind.slots(settings))
    provider: Provider = Watched(kind.make(settings), circuit, allowance)
    provider = Retrying(
        provider,
        settings.attempts,
        timeout=settings.timeout,
        budget=circuit.budget,
        sleep=sleep,
        random=random,
    )
    shared = None if kind.local(settings) else slots
    return Guarded(Gated(provider, allowance, circuit, shared, timeout=settings.timeout), circuit)


def unguarded(provider: Provider) -> Provider:
    """What `build` gave as a probe asks it: once, past its circuit and its gate.

    Where its first sound comes so late that its circuit would count it for a failure, it fails.
    """
    adapter, slow = bare(provider), circuit_of(provider).slow
    if slow is None:
        return adapter
    return Retrying(adapter, 1, timeout=slow, sleep=asyncio.sleep, random=randomness.random)

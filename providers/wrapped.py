"""A provider around a provider: what composites have in common."""

from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from providers.interface import Capabilities, Health, ListedVoice, Provider, ProviderVoice, Sound, Utterance


class Wrapped:
    """Passes everything on to the provider inside; composites change what they are about."""

    def __init__(self, inside: Provider) -> None:
        """Takes over `inside`: closing this closes it."""
        self.name = inside.name
        self.kind = inside.kind
        self.inside = inside

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """See `Provider`."""
        return self.inside.capabilities(voice)

    def speak(self, utterance: Utterance) -> AbstractAsyncContextManager[Sound]:
        """See `Provider`."""
        return self.inside.speak(utterance)

    async def voices(self) -> list[ListedVoice]:
        """See `Provider`."""
        return await self.inside.voices()

    async def health(self) -> Health:
        """See `Provider`."""
        return await self.inside.health()

    async def warm(self) -> None:
        """See `Provider`."""
        await self.inside.warm()

    async def aclose(self) -> None:
        """See `Provider`."""
        await self.inside.aclose()


Layer = TypeVar("Layer", bound=Wrapped)


def layer(provider: Provider, kind: type[Layer]) -> Layer | None:
    """The one of this kind among those around the provider."""
    while isinstance(provider, Wrapped):
        if isinstance(provider, kind):
            return provider
        provider = provider.inside
    return None


def bare(provider: Provider) -> Provider:
    """The provider without anything around it."""
    while isinstance(provider, Wrapped):
        provider = provider.inside
    return provider

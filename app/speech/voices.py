"""The voices that clients name."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import UnknownVoice
from app.settings import VoiceTable
from providers.interface import ProviderVoice


@dataclass(frozen=True, slots=True)
class Voice:
    """A name that clients use and the provider voices behind it, tried in order (at least one)."""

    name: str
    chain: tuple[ProviderVoice, ...]
    language: str | None = None
    aliases: tuple[str, ...] = ()


class Voices:
    """All configured voices, found by name or alias."""

    def __init__(self, tables: Mapping[str, VoiceTable]) -> None:
        """`tables` is `[voices]` of the configuration, checked."""
        self.all = tuple(
            Voice(name, tuple(link.provider_voice() for link in table.chain), table.language, table.aliases)
            for name, table in tables.items()
        )
        self._by_name = {name: voice for voice in self.all for name in (voice.name, *voice.aliases)}

    def find(self, name: str) -> Voice:
        """The voice of that name or alias; case matters.

        Raises:
            UnknownVoice: with the names that exist.
        """
        voice = self._by_name.get(name)
        if voice is None:
            known = ", ".join(voice.name for voice in self.all)
            raise UnknownVoice(f"No such voice. Configured voices: {known}.", param="voice")
        return voice

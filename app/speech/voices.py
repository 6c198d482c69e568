"""The voices that clients name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.errors import UnknownVoice
from app.settings import VoiceTable
from providers.interface import ProviderVoice


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """A name that clients use and the provider voices behind it (at least one), tried in this `order`.

    There is one object for each in force.

    `spread`: each chunk's text has an order of its own, evenly over the links; `cheapest`: by price. `same_voice`: the
    link that spoke a speech's first chunk speaks all of them, or the speech ends. `hedge`: see `VoiceTable`.
    """

    name: str
    chain: tuple[ProviderVoice, ...]
    language: str | None = None
    aliases: tuple[str, ...] = ()
    order: Literal["preference", "spread", "cheapest"] = "preference"
    same_voice: bool = False
    hedge: float | Literal["p95"] | None = None

    @classmethod
    def of(cls, name: str, table: VoiceTable) -> "Voice":
        """From the configuration."""
        return cls(
            name,
            chain=tuple(link.provider_voice() for link in table.chain),
            language=table.language,
            aliases=table.aliases,
            order=table.order,
            same_voice=table.after_failure == "same-voice",
            hedge=table.hedge,
        )


class Voices:
    """All configured voices, found by name or alias."""

    def __init__(self, tables: Mapping[str, VoiceTable]) -> None:
        """`tables` is `[voices]` of the configuration, checked."""
        self.all = tuple(Voice.of(name, table) for name, table in tables.items())
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

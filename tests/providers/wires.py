"""Every vendor's wire as the suites take it: a line for each, and the server that answers like the vendor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from providers.interface import Provider, ProviderSettings, ProviderVoice
from providers.kinds import KINDS
from tests.providers import (
    azure_wire,
    cartesia_wire,
    deepgram_wire,
    elevenlabs_wire,
    google_wire,
    openai_wire,
    piper_wire,
    polly_wire,
)
from tests.providers.conformance import CANARY_KEY
from tests.providers.vendor_server import Answer, VendorServer


@dataclass(frozen=True)
class Wire:
    """How a vendor is reached and what it answers.

    `path` goes behind the server's address to make `base_url`. `pool` finds httpx's pool in the provider.
    """

    kind: str
    voice: ProviderVoice
    answer: Answer
    path: str = ""
    api_key: str | None = CANARY_KEY
    options: tuple[tuple[str, str], ...] = ()
    pool: Callable[[Any], Any] = lambda provider: provider._line._client._transport._pool

    def provider(self, server: VendorServer | str, **settings: Any) -> Provider:
        """One without retries and gate, to be closed by the caller."""
        url = server if isinstance(server, str) else server.url
        given = {"api_key": self.api_key, "options": self.options, **settings}
        return KINDS[self.kind].make(ProviderSettings("wire", self.kind, base_url=url + self.path, **given))


WIRES = {
    "azure": Wire("azure", ProviderVoice("wire", "en-US-JennyNeural"), azure_wire.answer),
    "cartesia": Wire("cartesia", ProviderVoice("wire", "v1"), cartesia_wire.answer),
    "cartesia timed": Wire(
        "cartesia", ProviderVoice("wire", "v1"), cartesia_wire.answer, options=(("timestamps", "true"),)
    ),
    "deepgram": Wire("deepgram", ProviderVoice("wire", "aura-2-thalia-en"), deepgram_wire.answer),
    "google": Wire("google", ProviderVoice("wire", "en-US-Neural2-A"), google_wire.answer),
    "google timed": Wire(
        "google",
        ProviderVoice("wire", "en-US-Neural2-A"),
        google_wire.answer,
        options=(("timestamps", "true"),),
    ),
    "elevenlabs": Wire("elevenlabs", ProviderVoice("wire", "voiceA"), elevenlabs_wire.answer),
    "elevenlabs-plain": Wire(
        "elevenlabs",
        ProviderVoice("wire", "voiceA"),
        elevenlabs_wire.answer,
        options=(("timestamps", "false"),),
    ),
    "openai": Wire("openai", ProviderVoice("wire", "alloy"), openai_wire.answer, path="/v1"),
    "piper": Wire("piper", ProviderVoice("wire", "en_US-joe-medium"), piper_wire.answer, api_key=None),
    "polly": Wire(
        "polly",
        ProviderVoice("wire", "Joanna", None, (("engine", "neural"),)),
        polly_wire.answer,
        api_key=f"AKIDEXAMPLE:{CANARY_KEY}",
        options=(("response_format", "pcm"),),
    ),
}

"""Has a provider say something short, to find out whether it speaks again: a fixed text, never a user's."""

from collections.abc import Iterable, Mapping

from app.audio.formats import Output
from app.speech.clips import ClipSource
from app.speech.plan import Candidate
from app.speech.voices import Voice
from providers.interface import Provider, ProviderVoice, Utterance

TEXT = "One, two, three."


class Probing:
    """Asks by the first voice that is configured for a provider, past its gate, its retries and its circuit."""

    def __init__(
        self, providers: Mapping[str, Provider], voices: Iterable[Voice], source: ClipSource, output: Output
    ) -> None:
        """`providers` by configured name, with nothing around them. The sound is checked in this form."""
        self._providers = providers
        self._source = source
        self._output = output
        links = [link for voice in voices for link in voice.chain]
        self._links: dict[str, ProviderVoice] = {link.provider: link for link in reversed(links)}

    async def __call__(self, provider: str) -> None:
        """Nothing, if it speaks; nor if no voice uses it, for then nobody waits for it.

        Raises:
            ProviderError: it does not, or what it says is no speech.
        """
        link = self._links.get(provider)
        if link is None:
            return
        adapter = self._providers[provider]
        price = adapter.capabilities(link).price
        utterance = Utterance(TEXT, link, language="en")
        await self._source.probe(
            Candidate("", adapter, utterance, 1.0, price, first_choice=True, leveling=None), self._output
        )

"""Has a provider say something short, to find out whether it speaks again: a fixed text, never a user's."""

from collections.abc import Callable

from app.speech.cast import Casting
from app.speech.clips import ClipSource
from app.speech.plan import Candidate
from providers.interface import Provider, Utterance

TEXT = "One, two, three."


class Probing:
    """Asks by the first voice that is configured for a provider, past its gate, its retries and its circuit."""

    def __init__(
        self, casting: Casting, source: ClipSource, unguarded: Callable[[Provider], Provider]
    ) -> None:
        """`unguarded` gives a provider without what would keep a probe from it."""
        self._casting = casting
        self._source = source
        self._unguarded = unguarded

    async def __call__(self, provider: str) -> None:
        """Nothing, if it speaks; nor if no voice uses it, for then nobody waits for it.

        Raises:
            ProviderError: it does not, or what it says is no speech.
        """
        cast = self._casting.now
        links = (link for voice in cast.voices.all for link in voice.chain if link.provider == provider)
        link = next(links, None)
        # Held here until it has spoken: who is no longer in force is closed when nobody holds it.
        engaged = cast.providers.get(provider)
        if link is None or engaged is None:
            return
        adapter = self._unguarded(engaged)
        utterance = Utterance(TEXT, link, language="en")
        able = adapter.capabilities(link)
        cost = able.cost(utterance)
        candidate = Candidate("", adapter, utterance, 1.0, able.price, cost, first_choice=True, leveling=None)
        await self._source.probe(candidate, cast.outputs.find())

"""One chunk's clip, going down its voice's chain until somebody speaks.

Each link of a chain has a digest and so a flight of its own. A chain is walked by every asker for himself:
a thousand who ask at once board the same flight at each link, so each provider is still asked once; and
whether a failure half-way may still go to the next link is each listener's own matter: he who has heard
nothing yet moves on, he who has heard half of a chunk must not be given the other half by another voice.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from app.metrics import Metrics
from app.speech.clips import Clip, ClipSource, Hear
from app.speech.failures import BY_CODE, told
from app.speech.hedge import Hedging, Outcome, Race
from app.speech.plan import Candidate, SpeechRequest
from cache.errors import FlightFailed
from providers.errors import ProviderError, Unavailable
from providers.interface import Provider


class Chain:
    """Walks."""

    def __init__(self, source: ClipSource, metrics: Metrics, hedging: Callable[[Provider], Hedging]) -> None:
        """`hedging` is what has to be known of a provider to hedge."""
        self._source = source
        self._hedging = hedging
        self._metrics = metrics
        # How many races each digest stands in as the second at this moment.
        self._standing_in: Counter[str] = Counter()

    async def get(self, candidates: Sequence[Candidate], request: SpeechRequest, hear: Hear | None) -> Clip:
        """The chunk's clip by the first of the chain that speaks; `hear`, if any, gets each piece as it comes.

        After `hear` was called once, a failure is final: another link's sound is never joined to it. Where somebody
        hears, a voice's `hedge` asks the second link if the first is slow, and passes on who speaks first. That costs
        a tenth of the first's utterances at the most, and a few: an outage must not double what everybody pays.

        Raises:
            RefrainError: the whole chain failed.
            ProviderError: the link failed after some of its sound was heard.
        """
        failures: list[ProviderError] = []
        heard = _Heard(hear)
        left = [*candidates]
        while left and not heard.anything:
            delay = self._hedge(left, request, heard)
            if delay is None:
                outcome = await self._try(left.pop(0), request, heard)
            else:
                outcome = await self._race(left.pop(0), left.pop(0), request, heard, delay)
            if isinstance(outcome, Clip):
                return outcome
            failures += outcome
        self._metrics.chunks.labels(outcome="failed").inc()
        raise failures[-1] if heard.anything else told(failures)

    async def _try(self, candidate: Candidate, request: SpeechRequest, heard: "_Heard") -> Outcome:
        try:
            return await self._source.fly(candidate, request, heard if heard.listens else None)
        except (ProviderError, FlightFailed) as error:
            return [_translated(error, candidate.provider.name)]

    def _hedge(self, left: Sequence[Candidate], request: SpeechRequest, heard: "_Heard") -> float | None:
        """After how many seconds the second of these is asked as well; None: when the first has failed."""
        delay = request.voice.hedge
        if delay is None or len(left) == 1 or not heard.listens:
            return None
        return self._hedging(left[0].provider).promptness.p95 if delay == "p95" else delay

    async def _race(
        self, first: Candidate, second: Candidate, request: SpeechRequest, heard: "_Heard", delay: float
    ) -> Outcome:
        race = Race(heard)
        with ExitStack() as standing_in:

            def afford() -> bool:
                # Who joins what is made for another listener costs nothing more.
                joins = request.cache != "bypass" and second.digest in self._standing_in
                if not joins and not self._may_hedge(first, second):
                    return False
                # At once: of a crowd whose time has come in the same moment the first one pays for all.
                standing_in.enter_context(self._stands_in(second.digest))
                return True

            outcome = await race.run(
                lambda hear: self._try(first, request, _Heard(hear)),
                lambda hear: self._try(second, request, _Heard(hear)),
                delay,
                afford,
            )
        if race.hedged:
            self._metrics.hedges.labels(
                provider=second.provider.name, won=str(race.winner == 1).lower()
            ).inc()
        return outcome

    def _may_hedge(self, first: Candidate, second: Candidate) -> bool:
        """If so, it is taken from the first's budget."""
        if self._hedging(second.provider).reason is not None:
            return False
        return self._hedging(first.provider).hedges.take()

    @contextmanager
    def _stands_in(self, digest: str) -> Iterator[None]:
        self._standing_in[digest] += 1
        try:
            yield
        finally:
            self._standing_in[digest] -= 1
            if not self._standing_in[digest]:
                del self._standing_in[digest]


def _translated(error: ProviderError | FlightFailed, provider: str) -> ProviderError:
    """From another replica only the code of a failure arrives; here it becomes an error of the tree again."""
    if isinstance(error, FlightFailed):
        return BY_CODE.get(error.code, Unavailable)("failed on another replica", provider=provider)
    error.provider = error.provider or provider
    return error


class _Heard:
    """Remembers whether a listener has been given anything."""

    def __init__(self, hear: Hear | None) -> None:
        self._hear = hear
        self.listens = hear is not None
        self.anything = False

    def __call__(self, piece: bytes) -> None:
        if self._hear and piece:
            self.anything = True
            self._hear(piece)

"""What a clip costs whom it is made for."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.metrics import Metrics
from app.speech.plan import Candidate
from app.users.tally import Line, tally
from providers.interface import Inquiry, inquiry

MOST_BILLED: Final = 1e6
"""Characters: for one utterance no vendor bills more, whatever stands in its answer; millionths of money are counted in
doubles."""
Begun = Callable[[float | None], None]
"""To be called when the provider speaks, with how many characters it says that it bills; None: it does not say."""


class Charging:
    """Notes it in the metrics, and on the bill of the request that this task works for."""

    def __init__(self, metrics: Metrics) -> None:
        self._spent = metrics.spend

    @contextmanager
    def of(self, voice: str, candidate: Candidate) -> Iterator[Begun]:
        """Charge it from the moment on that the provider speaks: then it will be billed.

        Where it fails the characters are given back, and the money is not. Who leaves has had what he has heard; where
        the provider was asked and has not spoken yet, that is nothing, but it may be billed all the same.
        """
        provider = candidate.provider.name
        line = Line(charged=len(candidate.utterance.text), chunks=1)
        asked, charged = Inquiry(), False

        def begun(billed: float | None) -> None:
            nonlocal charged
            charged = True
            self._add(voice, provider, line._replace(spend=_cost(candidate, billed)))

        token = inquiry.set(asked)
        try:
            yield begun
        except Exception:
            if charged:
                self._add(voice, provider, line.taken_back)
            raise
        except asyncio.CancelledError:
            if asked.is_open and not charged:
                self._add(voice, provider, Line(spend=candidate.cost))
            raise
        finally:
            inquiry.reset(token)

    def unbilled(self, candidate: Candidate) -> Begun:
        """Of what is nobody's request: the metrics have it."""
        spent = self._spent.labels(provider=candidate.provider.name)
        return lambda billed: spent.inc(_cost(candidate, billed))

    def _add(self, voice: str, provider: str, line: Line) -> None:
        self._spent.labels(provider=provider).inc(line.spend)
        if (own := tally()) is not None:
            own.add(voice, provider, line)


def _cost(candidate: Candidate, billed: float | None) -> float:
    return candidate.cost if billed is None else min(billed, MOST_BILLED) * candidate.price / 1e6

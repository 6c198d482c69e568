"""What a plan would cost and how long it would take to hear: the dry run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from app.audio.formats import SAMPLE_RATE
from app.errors import RefrainError
from app.settings.tables import LimitTable
from app.speech.plan import Plan
from app.speech.sizes import SECONDS_PER_CHARACTER
from app.speech.studio import Studio, due
from app.unprinted import Unprinted
from app.users.limits import Due, charged


class PlannedLine(Unprinted, frozen=True, omit_defaults=True):
    """One chunk of the dry run, as its first choice would be asked for it.

    `text` is what is said, with the operator's pronunciations; `ssml` the same with markup, where some is sent.
    `sentences` are as they were written, `source` where in the input each stands: offsets in Unicode characters,
    the second behind the last. `pause` is the silence behind the chunk, in seconds. `digest` names the clip.
    """

    text: str
    sentences: list[str]
    source: list[tuple[int, int]]
    characters: int
    hit: bool
    provider: str
    digest: str
    pause: float
    ssml: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    """The error that asking for it now would come to."""

    code: str
    message: str

    @classmethod
    def of(cls, error: RefrainError) -> "Refusal":
        """From the error itself."""
        return cls(error.row.code, error.message)


class Estimate(msgspec.Struct, frozen=True):
    """The dry run: `cost` in the currency of the prices, `seconds` of sound (exact where it is cached).

    `billable_characters` are to be spoken anew, `charged_characters` count for the limits of who asks: with
    `charge_hits` all of them. `cost_at_most` is what budgets are asked for: what all of the chain would cost together.
    `refused`: a limit of the day's or the month's is in the way; null: none is.
    """

    digest: str
    chunks: list[PlannedLine]
    characters: int
    billable_characters: int
    charged_characters: int
    cost: float
    cost_at_most: float
    seconds: float
    refused: Refusal | None


@dataclass(frozen=True, slots=True)
class Terms:
    """On which somebody would have it spoken: his limits, and what would be refused of what is due."""

    limits: LimitTable
    verdict: Callable[[Due], Awaitable[RefrainError | None]]


async def estimate(studio: Studio, plan: Plan, terms: Terms) -> Estimate:
    """What performing the plan now would cost, if the first choices speak. Calls no provider."""
    cache = plan.request.cache
    known = {} if cache in {"refresh", "bypass"} else await studio.known(plan)
    wanted = due(plan, known)
    error = await terms.verdict(charged(wanted, plan.characters - wanted.characters, terms.limits))
    document = plan.document
    origin = await studio.origin(plan)
    paid: set[str] = set()
    lines: list[PlannedLine] = []
    seconds = cost = 0.0
    billable = 0
    for position, (planned, rest) in enumerate(zip(plan.chunks, plan.rests, strict=True)):
        chunk, first = planned.chunk, planned.candidates[0]
        said = first.utterance
        clip = known.get(position)
        seconds += rest / SAMPLE_RATE
        if clip:
            seconds += clip.meta.samples / SAMPLE_RATE
        else:
            seconds += len(said.text) * SECONDS_PER_CHARACTER / plan.request.speed
            if cache == "bypass" or planned.digest not in paid:  # what is said twice is made once
                billable += len(said.text)
                cost += first.cost
            paid.add(planned.digest)
        places = [origin.span(span) for span in chunk.sentences]
        lines.append(
            PlannedLine(
                text=said.text,
                ssml=said.ssml,
                sentences=[document.text[span.start : span.end] for span in chunk.sentences],
                source=[(place.start, place.end) for place in places],
                characters=len(said.text),
                hit=clip is not None,
                provider=first.provider.name,
                digest=planned.digest,
                pause=rest / SAMPLE_RATE,
            )
        )
    return Estimate(
        digest=plan.digest,
        chunks=lines,
        characters=plan.characters,
        billable_characters=billable,
        charged_characters=plan.characters if terms.limits.charge_hits else billable,
        cost=round(cost, 6),
        cost_at_most=round(wanted.cost, 6),
        seconds=round(seconds, 2),
        refused=Refusal.of(error) if error else None,
    )

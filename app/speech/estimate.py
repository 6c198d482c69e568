"""What a plan would cost and how long it would take to hear: the dry run."""

import msgspec

from app.audio.formats import SAMPLE_RATE
from app.speech.plan import Plan
from app.speech.studio import Studio

SECONDS_PER_CHARACTER = 0.060
"""Of English prose at speed 1, for chunks not yet heard; measured on the sample article with the default voice
(`make bench`, "seconds of speech per character")."""


class PlannedLine(msgspec.Struct, frozen=True):
    """One chunk of the dry run. `digest` is its first choice's clip."""

    text: str
    sentences: list[str]
    characters: int
    hit: bool
    provider: str
    digest: str


class Estimate(msgspec.Struct, frozen=True):
    """The dry run: `cost` in the currency of the prices, `seconds` of sound (exact where it is cached)."""

    digest: str
    chunks: list[PlannedLine]
    characters: int
    billable_characters: int
    cost: float
    seconds: float


async def estimate(studio: Studio, plan: Plan) -> Estimate:
    """What performing the plan now would cost, if the first choices speak. Calls no provider."""
    known = await studio.known(plan)
    lines: list[PlannedLine] = []
    seconds = cost = 0.0
    for position, planned in enumerate(plan.chunks):
        chunk, first = planned.chunk, planned.candidates[0]
        clip = known.get(position)
        if clip:
            seconds += clip.meta.samples / SAMPLE_RATE
        else:
            seconds += len(chunk.text) * SECONDS_PER_CHARACTER / plan.request.speed
            cost += len(chunk.text) * first.price / 1e6
        lines.append(
            PlannedLine(
                text=chunk.text,
                sentences=[plan.text[span.start : span.end] for span in chunk.sentences],
                characters=len(chunk.text),
                hit=clip is not None,
                provider=first.provider.name,
                digest=planned.digest,
            )
        )
    billable = sum(line.characters for line in lines if not line.hit)
    return Estimate(plan.digest, lines, plan.characters, billable, round(cost, 6), round(seconds, 2))

"""What a plan would cost and how long it would take to hear: the dry run."""

import msgspec

from app.audio.formats import SAMPLE_RATE
from app.speech.manifest import rests
from app.speech.plan import Plan
from app.speech.sizes import SECONDS_PER_CHARACTER
from app.speech.studio import Studio
from app.unprinted import Unprinted


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
    document = plan.document
    origin = await studio.origin(plan)
    paid: set[str] = set()
    lines: list[PlannedLine] = []
    seconds = cost = 0.0
    billable = 0
    for position, (planned, rest) in enumerate(zip(plan.chunks, rests(plan), strict=True)):
        chunk, first = planned.chunk, planned.candidates[0]
        said = first.utterance
        clip = known.get(position)
        seconds += rest / SAMPLE_RATE
        if clip:
            seconds += clip.meta.samples / SAMPLE_RATE
        else:
            seconds += len(said.text) * SECONDS_PER_CHARACTER / plan.request.speed
            if planned.digest not in paid:  # what is said twice is made once
                billable += len(said.text)
                cost += len(said.text) * first.price / 1e6
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
    return Estimate(plan.digest, lines, plan.characters, billable, round(cost, 6), round(seconds, 2))

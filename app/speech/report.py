"""How a speech came about, for whoever asks afterwards."""

from app.audio.formats import SAMPLE_RATE
from app.speech.making import Live
from app.speech.ready import Ready


def report(speech: Live | Ready, charged: int) -> dict[str, object]:
    """Per chunk: outcome, provider, characters, seconds of sound, milliseconds of waiting; and the characters charged.

    `pause` is the part of the seconds that is the silence behind the chunk.
    """
    if isinstance(speech, Ready):
        chunks: list[dict[str, object]] = [
            {
                "outcome": "stale" if position in speech.stale else "hit",
                "provider": line.provider,
                "characters": line.characters,
                "seconds": (line.samples + line.rest) / SAMPLE_RATE,
                "pause": line.rest / SAMPLE_RATE,
                "milliseconds": 0.0,
            }
            for position, line in enumerate(speech.manifest.clips)
        ]
        return {"digest": speech.digest, "chunks": chunks, "characters_charged": charged}
    chunks = [
        {
            "outcome": clip.outcome,
            "provider": clip.meta.provider,
            "characters": clip.meta.characters,
            "seconds": (clip.meta.samples + rest) / SAMPLE_RATE,
            "pause": rest / SAMPLE_RATE,
            "milliseconds": round(clip.seconds * 1000, 2),
        }
        for clip, rest in zip(speech.clips, speech.rests, strict=False)  # cut short: fewer clips
    ]
    return {"digest": speech.plan.digest, "chunks": chunks, "characters_charged": charged}

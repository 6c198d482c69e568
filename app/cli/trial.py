"""`refrain doctor --live`: each provider that a voice uses says one short word, which costs money."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from app.audio.check import BadSound
from app.audio.formats import FORMATS, output
from app.audio.recorder import Recorder
from app.settings import Settings
from app.speech.voices import Voices
from providers import errors
from providers.errors import ProviderError
from providers.interface import Provider, ProviderSettings, ProviderVoice, Utterance
from providers.kinds import build

WORD: Final = "One."

_ADVICE: Final[dict[type[ProviderError], str]] = {
    errors.RateLimited: "ask again later, or lower its max_concurrency",
    errors.Unavailable: "check its base_url and the way there; its status page may say more",
    errors.TimedOut: "try again, or allow it more time: connect_timeout, first_byte_timeout, timeout",
    errors.BadAudio: "check its format and sample_rate, and that base_url leads to speech",
    errors.BadCredentials: "check its api_key, and what that key may do",
    errors.QuotaExceeded: "look at the account's credit",
    errors.BadVoice: "check voice and model; `refrain voices --provider NAME` has what is offered",
    errors.BadRequest: "check the link's settings and the provider's options",
    errors.TooLong: "check the link's model",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One provider with the first of its voices that a voice of ours uses."""

    settings: ProviderSettings
    voice: ProviderVoice
    language: str | None

    @property
    def what(self) -> str:
        """For the table."""
        return f"{self.settings.name} says it as {self.voice.voice}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it spoke, and how soon, or what to do."""

    ok: bool
    detail: str


def trials(settings: Settings) -> list[Trial]:
    """One for each provider that a voice uses, in the order of the configuration."""
    first: dict[str, Trial] = {}
    for voice in Voices(settings.voices).all:
        for link in voice.chain:
            account = settings.providers[link.provider].named(link.provider)
            first.setdefault(link.provider, Trial(account, link, voice.language))
    return [first[name] for name in settings.providers if name in first]


def announced(planned: list[Trial]) -> Iterator[str]:
    """What will be asked of whom, and what it costs, a line each."""
    yield f"Saying {WORD!r} ({len(WORD)} characters) once with each provider that a voice uses:"
    for trial in planned:
        price = build(trial.settings).capabilities(trial.voice).price
        yield f"  {trial.settings.name}: {len(WORD) * price / 1e6:.6f}, at {price:g} per million characters"


async def tried(planned: list[Trial]) -> AsyncGenerator[tuple[Trial, Verdict]]:
    """One after the other: what one engine takes of this machine must not be told of the next."""
    for trial in planned:
        provider = build(trial.settings)
        try:
            yield trial, await _try(provider, trial)
        finally:
            await provider.aclose()


async def _try(provider: Provider, trial: Trial) -> Verdict:
    try:
        await provider.warm()
        waited, seconds = await _speak(provider, Utterance(WORD, trial.voice, language=trial.language))
    except ProviderError as error:
        advice = _ADVICE.get(type(error), "look at the vendor's status page")
        return Verdict(ok=False, detail=f"{error.code}: {error} Now {advice}.")
    except BadSound as error:
        return Verdict(ok=False, detail=f"bad_audio ({error.kind}): {_ADVICE[errors.BadAudio]}.")
    return Verdict(ok=True, detail=f"{seconds:.2f} s of sound, the first of it after {waited:.3f} s")


async def _speak(provider: Provider, utterance: Utterance) -> tuple[float, float]:
    """Seconds until the first sound, and seconds of it, checked as any sound is.

    Raises:
        ProviderError: there was none.
        BadSound: it was none.
    """
    began = time.perf_counter()
    waited: float | None = None
    async with provider.speak(utterance) as sound, aclosing(sound.pieces) as pieces:
        recorder = Recorder(
            encoding=sound.encoding,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
            characters=len(utterance.text),
            spoken=sum(map(str.isalnum, utterance.text)),
            output=output(FORMATS["mp3"]),
        )
        try:
            async for piece in pieces:
                waited = time.perf_counter() - began if waited is None else waited
                recorder.feed(piece)
            recorded = recorder.finish()
        finally:
            recorder.close()
    return waited or 0.0, recorded.seconds

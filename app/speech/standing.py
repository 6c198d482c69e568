"""How each provider stands: what it can do, what it was asked for, and how it did."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from app.metrics import Metrics
from app.speech.voices import Voice, Voices
from providers.interface import Capabilities, Provider, ProviderVoice


class Promptness(Protocol):
    """How soon a provider begins to speak, in seconds; None: too little is known."""

    @property
    def p50(self) -> float | None:
        """For half of its utterances."""
        ...

    @property
    def p95(self) -> float | None:
        """For nineteen of twenty."""
        ...


class Circuit(Protocol):
    """Whether a provider is asked at all: `closed` while it is, and why not, without its text or address."""

    @property
    def state(self) -> str:
        """`closed`, `open`."""
        ...

    @property
    def reason(self) -> str | None:
        """A code, or a sentence; None: there is nothing to say."""
        ...

    @property
    def promptness(self) -> Promptness:
        """How soon the provider begins to speak."""
        ...


class Circuits(Protocol):
    """Those of all providers."""

    def of(self, name: str) -> Circuit:
        """By the provider's configured name."""
        ...


@dataclass(frozen=True, slots=True)
class Workload:
    """Of one provider in this process: utterances `now` under way, of at the `most` (None: no bound), and retries."""

    now: int = 0
    most: int | None = None
    retries: int = 0


class FirstAudio(msgspec.Struct, frozen=True):
    """Seconds until its first sound, of the last 200 utterances; null while too few are known (1, and 20)."""

    p50: float | None
    p95: float | None


class Concurrency(msgspec.Struct, frozen=True):
    """Utterances under way in this process, and how many may be; null: no bound."""

    now: int
    most: int | None


class Bound(msgspec.Struct, frozen=True):
    """At the most so many of this unit in one utterance."""

    most: int
    unit: str


class SpokenVoice(msgspec.Struct, frozen=True):
    """A voice of the provider's in the chain of one of ours, and what it can do. `price` is per million characters.

    `languages` is null where it does not say; `ssml` are elements; `timings`: it tells when each word is spoken.
    """

    voice: str
    model: str | None
    used_by: list[str]
    price: float
    formats: list[str]
    languages: list[str] | None
    limits: list[Bound]
    ssml: list[str]
    timings: bool
    streaming: bool
    instructions: bool


class Standing(msgspec.Struct, frozen=True):
    """One provider. Counts, spend and times are this process's, since its start.

    `state` is null where nobody keeps it. `calls` are syntheses asked for, each with its `retries`; `success_rate` is
    of those that ended, null while there are none. `spend` is in the currency of the prices.
    """

    name: str
    kind: str
    state: str | None
    reason: str | None
    first_audio: FirstAudio
    success_rate: float | None
    calls: int
    retries: int
    concurrency: Concurrency
    spend: float
    voices: list[SpokenVoice]

    @property
    def used_by(self) -> list[str]:
        """Our voices that it speaks for."""
        return list(dict.fromkeys(name for voice in self.voices for name in voice.used_by))


class Standings(msgspec.Struct, frozen=True):
    """All that are configured."""

    providers: list[Standing]


class Reporter:
    """Puts together what is known in different places."""

    def __init__(
        self,
        metrics: Metrics,
        workload: Callable[[str], Workload],
        circuits: Circuits | None = None,
    ) -> None:
        """`workload` and `circuits` by the provider's configured name."""
        self._metrics = metrics
        self._workload = workload
        self._circuits = circuits

    def standings(self, voices: Voices, providers: Mapping[str, Provider]) -> Standings:
        """Of all providers, those that no voice uses among them. Calls nobody."""
        return Standings([self._standing(voices, provider) for provider in providers.values()])

    def _standing(self, voices: Voices, provider: Provider) -> Standing:
        name = provider.name
        ended = self._metrics.ended(name)
        # Who was left by all listeners neither succeeded nor failed.
        judged = sum(ended.values()) - ended.get("cancelled", 0)
        circuit = self._circuits.of(name) if self._circuits else None
        prompt = circuit.promptness if circuit else None
        work = self._workload(name)
        return Standing(
            name=name,
            kind=provider.kind,
            state=circuit.state if circuit else None,
            reason=circuit.reason if circuit else None,
            first_audio=FirstAudio(prompt.p50, prompt.p95) if prompt else FirstAudio(None, None),
            success_rate=round(ended.get("ok", 0) / judged, 4) if judged else None,
            calls=sum(ended.values()),
            retries=work.retries,
            concurrency=Concurrency(work.now, work.most),
            spend=round(self._metrics.spent(name), 6),
            voices=list(_spoken(voices.all, provider)),
        )


def _spoken(voices: Sequence[Voice], provider: Provider) -> Iterator[SpokenVoice]:
    users: dict[ProviderVoice, list[str]] = {}
    for voice in voices:
        for link in voice.chain:
            if link.provider == provider.name:
                users.setdefault(link, []).append(voice.name)
    for link, used_by in users.items():
        yield _voice(link, used_by, provider.capabilities(link))


def _voice(link: ProviderVoice, used_by: Iterable[str], can: Capabilities) -> SpokenVoice:
    return SpokenVoice(
        voice=link.voice,
        model=link.model,
        used_by=list(dict.fromkeys(used_by)),
        price=can.price,
        formats=list(can.formats),
        languages=None if can.languages is None else sorted(can.languages),
        limits=[Bound(limit.most, limit.unit) for limit in can.limits],
        ssml=sorted(can.ssml),
        timings=can.timings,
        streaming=can.streaming,
        instructions=can.instructions,
    )

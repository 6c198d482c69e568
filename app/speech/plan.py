"""What a request comes to: its chunks, and for each chunk the clips that would do, best first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.audio.formats import Format, clip_identity
from app.errors import InputTooLong, InvalidInput
from app.settings import Chunking
from app.speech.voices import Voice
from app.text.chunks import Chunk, Limits, chunks
from app.text.normalize import InvalidText, normalize
from cache.digest import digest
from providers.interface import Capabilities, Provider, ProviderVoice, Utterance

CacheMode = Literal["default", "refresh", "only", "bypass"]
InputType = Literal["text", "markdown", "html", "ssml"]
MAX_CHUNKS = 10_000
"""In one request: four times what 200,000 characters of prose come to. A letter on each line would be 66,666
provider calls, 45 MB of plan and 1.8 s of planning."""
SPEED_MIN, SPEED_MAX = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What somebody wants to hear, checked but for the text and the length."""

    text: str
    voice: Voice
    format: Format
    sample_rate: int
    speed: float = 1.0
    instructions: str | None = None
    language: str | None = None
    cache: CacheMode = "default"
    input_type: InputType = "text"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One clip that would do for a chunk: by whom, how asked for, and under which digest it is kept.

    `tempo` is the part of the speed that the provider cannot do itself and that is done to its sound.
    `price` is per million characters. `first_choice` is False for the chain's later links.
    """

    digest: str
    provider: Provider
    utterance: Utterance
    tempo: float
    price: float
    first_choice: bool


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """A chunk and its candidates in the order of the voice's chain (at least one).

    `rest` is the silence behind it, in seconds: of the text's blocks, not of the clip.
    """

    chunk: Chunk
    candidates: tuple[Candidate, ...]
    rest: float = 0.0

    @property
    def digest(self) -> str:
        """The first choice's."""
        return self.candidates[0].digest


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, cut and addressed. `digest` names the request: its speech is found under it."""

    digest: str
    text: str
    request: SpeechRequest
    chunks: tuple[PlannedChunk, ...]

    @property
    def characters(self) -> int:
        """Of all chunks, as they are sent."""
        return sum(len(planned.chunk.text) for planned in self.chunks)


class Planner:
    """Plans requests. Pure but for the providers' capabilities, which need no I/O."""

    def __init__(self, providers: Mapping[str, Provider], chunking: Chunking, max_input_chars: int) -> None:
        """`providers` by configured name."""
        self._providers = providers
        self._chunking = chunking
        self._max_input_chars = max_input_chars

    def plan(self, request: SpeechRequest) -> Plan:
        """Cut and address. CPU only, about 0.4 µs per character (`make bench`, planning).

        Raises:
            InvalidInput: there is nothing to speak, or the text has characters that are not text.
            InputTooLong: it is over the limit, in characters or in chunks.
        """
        if len(request.text) > self._max_input_chars:
            limit = self._max_input_chars
            raise InputTooLong(f"The text is over {limit} characters. Send it in parts.", param="input")
        try:
            text = normalize(request.text)
        except InvalidText as error:
            raise InvalidInput(str(error), param="input") from None
        language = request.language or request.voice.language
        links = [_Link.of(voice, request, self._providers[voice.provider]) for voice in request.voice.chain]
        form = clip_identity(request.format, request.sample_rate)
        cut = chunks(text, self._limits(links), language=language)
        if len(cut) > MAX_CHUNKS:
            message = f"The text has more than {MAX_CHUNKS} lines or sentences. Send it in parts."
            raise InputTooLong(message, param="input")
        planned = tuple(
            PlannedChunk(
                chunk,
                tuple(link.candidate(chunk.text, language, form, first=link is links[0]) for link in links),
            )
            for chunk in cut
        )
        fields = [candidate.digest for chunk in planned for candidate in chunk.candidates]
        fields += [request.format.name, str(request.sample_rate), str(len(links))]
        return Plan(digest("speech", fields), text, request, planned)

    def _limits(self, links: "list[_Link]") -> Limits:
        """The tightest of the chain: a chunk must be the same text for every link, or none could stand in."""
        characters = [link.capabilities.max_characters for link in links]
        octets = [link.capabilities.max_bytes for link in links]
        most = min([self._chunking.max_chunk_chars, *(limit for limit in characters if limit)])
        return Limits(
            first_chars=min(self._chunking.first_chunk_chars, most),
            max_chars=most,
            max_bytes=min((limit for limit in octets if limit), default=None),
        )


@dataclass(frozen=True, slots=True)
class _Link:
    """A link of the chain with what one request asks of it: the same for all its chunks."""

    provider: Provider
    voice: ProviderVoice
    capabilities: Capabilities
    speed: float
    tempo: float
    instructions: str | None

    @classmethod
    def of(cls, voice: ProviderVoice, request: SpeechRequest, provider: Provider) -> "_Link":
        capabilities = provider.capabilities(voice)
        slowest, fastest = capabilities.speed_range
        native = min(max(request.speed, slowest), fastest)
        instructions = request.instructions if capabilities.instructions else None
        return cls(provider, voice, capabilities, native, round(request.speed / native, 6), instructions)

    def candidate(self, text: str, language: str | None, form: str, *, first: bool) -> Candidate:
        name = digest(
            "clip",
            [
                text,
                self.provider.kind,
                # Two accounts at one vendor may sound the same, but fail apart: flights, and failures that are
                # remembered, go by this name.
                self.provider.name,
                len(self.capabilities.identity),
                *self.capabilities.identity,
                self.voice.voice,
                self.voice.model,
                len(self.voice.settings),
                *(part for pair in self.voice.settings for part in pair),
                self.speed,
                self.tempo,
                self.instructions,
                language,
                form,
            ],
        )
        utterance = Utterance(text, self.voice, self.speed, language, self.instructions)
        return Candidate(name, self.provider, utterance, self.tempo, self.capabilities.price, first)

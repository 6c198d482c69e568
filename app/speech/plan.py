"""What a request comes to: its chunks, and for each chunk the clips that would do, best first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from app.audio.formats import Output
from app.audio.loudness import Leveling
from app.audio.silence import rest_samples
from app.errors import InputTooLong, InvalidInput, InvalidSsml
from app.settings import Chunking, Entry
from app.speech.neighbours import NONE, Neighbours, bounded, neighbours
from app.speech.voices import Voice
from app.text.annotate import annotated
from app.text.chunks import Chunk, Limits, chunks
from app.text.document import BlockKind, Document
from app.text.intake import ssml as ssml_reader
from app.text.intake.kinds import READERS, InputType
from app.text.intake.reading import Reading
from app.text.normalize import InvalidText
from app.text.pronunciation import Pronunciations
from app.text.render import replaced, spoken, ssml
from app.unprinted import Unprinted
from cache.digest import digest
from cache.labels import Label
from providers.interface import Capabilities, Provider, ProviderVoice, Utterance

CacheMode = Literal["default", "refresh", "only", "bypass"]
MAX_CHUNKS = 10_000
"""In one request: four times what 200,000 characters of prose come to. A letter on each line would be 66,666
provider calls, 45 MB of plan and 1.8 s of planning."""
MAX_PAUSES = 600.0
"""Seconds of pauses that an author may ask for in one request: a break of 19 characters is 80 kB of MP3."""
SPEED_MIN, SPEED_MAX = 0.25, 4.0


class SpeechRequest(Unprinted, frozen=True):
    """What somebody wants to hear, checked but for the text and the length.

    By its `tags` it can be forgotten together with others. `owner` is whose sound it is, in a word that nobody can
    guess; None where all share what is made. A struct, as one is made, hashed and compared with every request.
    """

    text: str
    voice: Voice
    output: Output
    speed: float = 1.0
    instructions: str | None = None
    language: str | None = None
    cache: CacheMode = "default"
    input_type: InputType = "text"
    tags: tuple[str, ...] = ()
    owner: str | None = None

    @property
    def labels(self) -> tuple[Label, ...]:
        """By what its speech and its clips can be found again to be forgotten."""
        own = () if self.owner is None else (owned_by(self.owner),)
        return (*own, Label("voice", self.voice.name), *(Label("tag", tag) for tag in self.tags))


def owned_by(owner: str) -> Label:
    """The label of what belongs to an owner."""
    return Label("owner", owner)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One clip that would do for a chunk: by whom, how asked for, and under which digest it is kept.

    `tempo` is the part of the speed that the provider cannot do itself and that is done to its sound. `leveling`
    is how loud it is made; None: as it comes.
    `price` is per million characters, `cost` what the vendor charges for it, as far as can be known before.
    `first_choice` is False for the chain's later links.
    """

    digest: str
    provider: Provider
    utterance: Utterance
    tempo: float
    price: float
    cost: float
    first_choice: bool
    leveling: Leveling | None


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """A chunk and its candidates in the order of the voice's chain (at least one).

    `rest` is the silence behind it, in seconds: of the text's blocks, not of the clip. `runs_on`: the next chunk's
    text follows at once, without a blank.
    """

    chunk: Chunk
    candidates: tuple[Candidate, ...]
    rest: float = 0.0
    runs_on: bool = False

    @property
    def digest(self) -> str:
        """The first choice's."""
        return self.candidates[0].digest


class Plan(Unprinted, frozen=True, eq=False, dict=True):
    """A request, cut and addressed. `digest` names the request: its speech is found under it.

    `keeps_text`: its sentences are kept with its speech. `labels` are the request's, at hand; and what follows from the
    chunks is found out once for all who ask for it.
    """

    digest: str
    document: Document
    request: SpeechRequest
    chunks: tuple[PlannedChunk, ...]
    keeps_text: bool
    labels: tuple[Label, ...]

    @cached_property
    def characters(self) -> int:
        """Of all chunks, as the first choices say them."""
        return sum(len(planned.candidates[0].utterance.text) for planned in self.chunks)

    @cached_property
    def rests(self) -> tuple[int, ...]:
        """The silence behind each chunk's clip, in samples at 24 kHz."""
        fmt = self.request.output.format
        return tuple(rest_samples(fmt, planned.rest) for planned in self.chunks)

    @cached_property
    def content(self) -> tuple[tuple[str, int], ...]:
        """Its first choices' digests, each with the silence behind it: what its speech consists of."""
        return tuple((planned.digest, rest) for planned, rest in zip(self.chunks, self.rests, strict=True))


class Planner:
    """Plans requests. Pure but for the providers' capabilities, which need no I/O."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        chunking: Chunking,
        pronunciation: Mapping[str, Mapping[str, Entry]],
        max_input_chars: int,
        loudness: float | None = None,
        *,
        keep_text: bool = True,
    ) -> None:
        """`providers` by configured name, `pronunciation` by language and word.

        `loudness` is that of all clips, in LUFS; None: they stay as loud as they come. `keep_text`: see `Plan`.
        """
        self._keep_text = keep_text
        self._loudness = loudness
        self._providers = providers
        self._pronunciations = Pronunciations(
            {
                tag: {word: entry.saying() for word, entry in entries.items()}
                for tag, entries in pronunciation.items()
            }
        )
        self._chunking = chunking
        self._max_input_chars = max_input_chars
        self._reading = Reading(code=chunking.code)
        self._pauses = {
            BlockKind.HEADING: chunking.heading_pause,
            BlockKind.PARAGRAPH: chunking.paragraph_pause,
            BlockKind.ITEM: chunking.item_pause,
            BlockKind.ROW: chunking.item_pause,
        }

    def plan(self, request: SpeechRequest) -> Plan:
        """Read, cut and address. CPU only, about 0.4 µs per character of plain text (`make bench`, planning).

        Raises:
            InvalidInput: there is nothing to speak, or the text has characters that are not text.
            InvalidSsml: it is not SSML, or more of it than we take.
            InputTooLong: it is over the limit, in characters, in chunks, or in seconds of pauses.
        """
        document = self._document(request)
        language = request.language or document.language or request.voice.language
        document = annotated(document, self._pronunciations.marks(document.text, language))
        links = [
            _Link.of(voice, request, self._providers[voice.provider], self._loudness)
            for voice in request.voice.chain
        ]
        if request.voice.order == "cheapest":
            links.sort(key=lambda link: link.capabilities.price)  # stable: of equal ones the first written
        cut = chunks(document, self._limits(links, document), language=language)
        if len(cut) > MAX_CHUNKS:
            message = f"The text has more than {MAX_CHUNKS} lines or sentences. Send it in parts."
            raise InputTooLong(message, param="input")
        form = request.output.identity
        spread = request.voice.order == "spread"
        rests = _rests(document, cut, self._pauses)
        beside = [NONE] * len(cut)
        if any(link.capabilities.context for link in links):
            beside = neighbours([spoken(document, chunk.start, chunk.end) for chunk in cut])
        planned = tuple(
            PlannedChunk(
                chunk,
                tuple(
                    link.candidate(document, chunk, language, form, texts, first=position == 0)
                    for position, link in enumerate(_spread(links, chunk.text) if spread else links)
                ),
                rest,
                runs_on=following is not None and chunk.end == following.start,
            )
            for chunk, following, rest, texts in zip(cut, [*cut[1:], None], rests, beside, strict=True)
        )
        fields = [candidate.digest for chunk in planned for candidate in chunk.candidates]
        fields += [str(rest) for rest in rests]
        # Two texts that are said alike are still two where one has other words in its captions, or a blank less.
        for position, one in enumerate(planned):
            if one.chunk.text != one.candidates[0].utterance.text:
                instead = replaced(document, one.chunk.start, one.chunk.end)
                fields += [str(position), one.chunk.text, repr(instead)]
        fields += [f"runs on: {position}" for position, one in enumerate(planned) if one.runs_on]
        fields += [request.output.format.name, str(request.output.sample_rate), str(len(links))]
        return Plan(digest("speech", fields), document, request, planned, self._keep_text, request.labels)

    def _document(self, request: SpeechRequest) -> Document:
        self._refuse_long(request.text)
        try:
            document = READERS[request.input_type](request.text, self._reading)
        except InvalidText as error:
            raise InvalidInput(str(error), param="input") from None
        except ssml_reader.InvalidSsml as error:
            raise InvalidSsml(str(error), param="input") from None
        self._refuse_long(document.text)  # what is said in place of code may be longer than the code
        if sum(block.pause or 0.0 for block in document.blocks) > MAX_PAUSES:
            message = f"The pauses come to more than {MAX_PAUSES:g} s. Make them shorter, or send the text in parts."
            raise InputTooLong(message, param="input")
        return document

    def _refuse_long(self, text: str) -> None:
        if len(text) > self._max_input_chars:
            limit = self._max_input_chars
            raise InputTooLong(f"The text is over {limit} characters. Send it in parts.", param="input")

    def _limits(self, links: "list[_Link]", document: Document) -> Limits:
        """The tightest of the chain: a chunk must be the same text for every link, or none could stand in."""
        most = self._chunking.max_chunk_chars
        bounds = [
            (link, limit)
            for link in links
            for limit in link.capabilities.limits
            if document.marks or most * limit.worst > limit.most
        ]

        def fits(document: Document, start: int, end: int) -> bool:
            return all(limit.count(*link.sent(document, start, end)) <= limit.most for link, limit in bounds)

        return Limits(
            first_chars=self._chunking.first_chunk_chars,
            max_chars=most,
            fits=fits if bounds else None,
            profile=links[0].capabilities.profile,
        )


def _spread(links: "Sequence[_Link]", text: str) -> "Sequence[_Link]":
    """In an order by the text, so that a text has its first choice, and its clip, whoever asks and whenever.

    By each link for itself, so that one put in or taken out moves only the texts that are, or were, its own.
    """
    return sorted(links, key=lambda link: digest("spread", [text, link.voice.provider, link.voice.voice]))


def _rests(document: Document, cut: Sequence[Chunk], pauses: Mapping[BlockKind, float]) -> list[float]:
    """The silence behind each chunk, in seconds."""
    blocks = document.blocks
    rests: list[float] = []
    for chunk, following in zip(cut, [*cut[1:], None], strict=True):
        behind = following.block if following else len(blocks)
        # Blocks without anything to say are no chunks; what pause they ask for is still meant.
        asked = [block.pause for block in blocks[chunk.block : behind] if block.pause is not None]
        if asked or not following or behind == chunk.block:
            rests.append(sum(asked))
        else:
            rests.append(max(pauses[blocks[chunk.block].kind], pauses[blocks[behind].kind]))
    return rests


@dataclass(frozen=True, slots=True)
class _Link:
    """A link of the chain with what one request asks of it: the same for all its chunks."""

    provider: Provider
    voice: ProviderVoice
    capabilities: Capabilities
    speed: float
    tempo: float
    instructions: str | None = field(repr=False)
    leveling: Leveling | None
    owner: str | None = field(repr=False)

    @classmethod
    def of(
        cls, voice: ProviderVoice, request: SpeechRequest, provider: Provider, loudness: float | None
    ) -> "_Link":
        capabilities = provider.capabilities(voice)
        slowest, fastest = capabilities.speed_range
        native = min(max(request.speed, slowest), fastest)
        instructions = request.instructions if capabilities.instructions else None
        tempo = round(request.speed / native, 6)
        # How loud a voice is that was told how to speak, nobody knows beforehand.
        known = capabilities.loudness if instructions is None else None
        leveling = None if loudness is None else Leveling(loudness, known)
        return cls(provider, voice, capabilities, native, tempo, instructions, leveling, request.owner)

    def sent(self, document: Document, start: int, end: int) -> tuple[str, str | None]:
        """That stretch as this link's voice is given it: plain, and as SSML if it takes any."""
        takes = self.capabilities.ssml
        return spoken(document, start, end), ssml(document, start, end, takes) if takes else None

    def candidate(
        self,
        document: Document,
        chunk: Chunk,
        language: str | None,
        form: str,
        beside: Neighbours,
        *,
        first: bool,
    ) -> Candidate:
        text, markup = self.sent(document, chunk.start, chunk.end)
        before, after = bounded(beside, self.capabilities.context) if self.capabilities.context else NONE
        name = digest(
            "clip",
            [
                text,
                markup,
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
                self.leveling.identity if self.leveling else None,
                *(() if self.owner is None else (self.owner,)),
                # Together always three, and an owner is one: no list of fields can pose as another.
                *(() if before is None and after is None else ("beside", before, after)),
            ],
        )
        utterance = Utterance(
            text, self.voice, self.speed, language, self.instructions, markup, before, after
        )
        cost = self.capabilities.cost(utterance)
        return Candidate(
            name,
            self.provider,
            utterance,
            self.tempo,
            self.capabilities.price,
            cost,
            first_choice=first,
            leveling=self.leveling,
        )

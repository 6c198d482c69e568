"""What a provider is. A vendor's file imports this, the errors, and nothing else of ours."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol

speaking_for: ContextVar[str | None] = ContextVar("speaking_for", default=None)
"""On whose behalf a provider is asked, in a word that tells nothing of him; None: nobody's in particular. Where many
wait for one provider, they are served by turns of their owners."""


@dataclass(slots=True)
class Inquiry:
    """What vendors are asked for one clip. `is_open` from when one is asked until it has failed: it may be billed."""

    is_open: bool = False


inquiry: ContextVar[Inquiry | None] = ContextVar("inquiry", default=None)
"""The one that a provider is asked for; None: nobody wants to know."""


@dataclass(frozen=True, slots=True)
class ProviderVoice:
    """One link of a voice's chain: what a provider needs to know to speak with one certain voice.

    `settings` are the remaining keys of the link in the configuration (engine, stability, ...), as sorted
    pairs of strings so that they can be hashed.
    """

    provider: str
    voice: str
    model: str | None = None
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Utterance:
    """One chunk to be spoken by one provider voice.

    `text` is plain text, NFC, never empty. `ssml` is the same as a well-formed fragment without a root, with those
    elements only that the voice's `Capabilities.ssml` has; None: there is nothing in it that plain text has not.
    `speed` is a factor, 1.0 the voice's own pace, always within the
    provider's `speed_range`. `instructions` is None where the provider takes none.
    """

    text: str = field(repr=False)
    voice: ProviderVoice
    speed: float = 1.0
    language: str | None = None
    instructions: str | None = field(default=None, repr=False)
    ssml: str | None = field(default=None, repr=False)
    before: str | None = field(default=None, repr=False)
    after: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on one utterance: `count(text, ssml)` of the utterance's two fields is at most `most` of `unit`.

    `worst` is the most that one code point of plain text can count; it spares the counting where it cannot matter.
    A text counts no less than its beginnings, and a single character always has room. `limits.py` has those known.
    """

    most: int
    count: Callable[[str, str | None], int]
    worst: int
    unit: str


Profile = Literal["sentence", "group"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do with one voice; known without I/O.

    `limits` bound one utterance as it is sent, after escaping. `profile` is `group` for generative voices, which
    sound better with several sentences at once. `ssml` are the elements of SSML that this voice takes.
    `identity` is all that, besides the utterance itself, decides how this voice sounds (an engine's version,
    a server's address): it goes into the digest. `price` is per million characters, in the operator's currency;
    `billed` says how many of them the vendor charges for an utterance, None: as many as its text has.
    `loudness` is how loud this voice is known to speak, in LUFS (integrated, EBU R 128), over many sentences and
    without instructions; None: nobody knows, and the first clips are measured. `context` is how many characters of
    the neighbouring text, on either side, the voice is told; it makes each clip depend on them.
    """

    identity: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    profile: Profile = "sentence"
    ssml: frozenset[str] = frozenset()
    speed_range: tuple[float, float] = (1.0, 1.0)
    instructions: bool = False
    languages: frozenset[str] | None = None
    price: float = 0.0
    billed: Callable[[Utterance], int] | None = None
    loudness: float | None = None
    formats: tuple[str, ...] = ("pcm",)
    streaming: bool = True
    timings: bool = False
    context: int = 0

    def cost(self, utterance: Utterance) -> float:
        """What the vendor charges for it, as far as can be known before, in the operator's currency."""
        if not self.price:
            return 0.0
        billed = len(utterance.text) if self.billed is None else self.billed(utterance)
        return billed * self.price / 1e6


@dataclass(frozen=True, slots=True)
class ListedVoice:
    """A voice as the vendor lists it."""

    id: str
    name: str
    language: str | None = None


Encoding = Literal["pcm_s16le", "file"]


@dataclass(frozen=True, slots=True)
class Timing:
    """When a stretch of `Utterance.text`, a word or less if it is to be a word's, is spoken.

    `start` and `end` are characters, the second behind the last one; `begins` and `ends` are seconds from the
    beginning of the provider's own sound.
    """

    start: int
    end: int
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Sound:
    """A provider's answer while it arrives.

    `encoding` is `pcm_s16le` (interleaved signed 16 bit little endian, no header, `sample_rate` Hz and
    `channels`) or `file` (a whole WAV, MP3, FLAC, Ogg ... that says its own rate; `sample_rate` is then 0).
    `pieces` are bytes as they come, cut anywhere, also within a sample. Reading them raises `ProviderError`;
    a stream that ended normally is complete as far as the transport can tell. Nothing is checked yet.
    `timings`, in the order of the text, are complete when the pieces have ended: who tells any gives a list and
    fills it meanwhile. They are believed as far as they make sense.
    `billed` is how many characters the vendor says with its answer that it charges for this utterance, and `at_once`
    how many utterances it says this account may have under way; None where it does not say.
    """

    encoding: Encoding
    sample_rate: int
    channels: int
    pieces: AsyncGenerator[bytes]
    timings: Sequence[Timing] = ()
    billed: float | None = None
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a provider says of itself without spending anything: for `refrain doctor`."""

    ok: bool
    detail: str


class Provider(Protocol):
    """An account at a vendor, or an engine. Safe to use from many tasks of one event loop at once."""

    name: str
    kind: str

    def capabilities(self, voice: ProviderVoice) -> Capabilities:
        """What this provider can do with this voice. No I/O, never raises."""
        ...

    def speak(self, utterance: Utterance) -> AbstractAsyncContextManager[Sound]:
        """Ask for sound. Entering waits for the vendor's first answer (status and head).

        Leaving, however it happens, closes the upstream request at once; cancelling anywhere is safe.

        Raises:
            ProviderError: on entering, or while `Sound.pieces` is read.
        """
        ...

    async def voices(self) -> list[ListedVoice]:
        """The voices this provider offers; may ask the vendor. Empty where it cannot be asked.

        Raises:
            ProviderError: the vendor was asked and failed.
        """
        ...

    async def health(self) -> Health:
        """Whether it can be expected to work, without spending money. Never raises ProviderError."""
        ...

    async def warm(self) -> None:
        """Load what the first utterance would otherwise wait for; spends no money. Idempotent.

        Raises:
            ProviderError: it will not be able to speak.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections and threads. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One `[providers.NAME]` of the configuration, checked. Times are in seconds; None: the kind's own default."""

    name: str
    kind: str
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    connect_timeout: float = 2.0
    first_byte_timeout: float = 5.0
    timeout: float = 30.0
    attempts: int = 2
    max_concurrency: int | None = None
    slow_after: float | None = None
    price_per_million_chars: float | None = None
    options: tuple[tuple[str, str], ...] = ()
    """The remaining keys of the table, as the kind names them (`kinds.py` says which it takes)."""

    def price(self, listed: float = 0.0) -> float:
        """Per million characters, in the operator's currency: what is configured, else the vendor's `listed` one."""
        return listed if self.price_per_million_chars is None else self.price_per_million_chars

"""What `refrain.toml` may say: its tables, with the defaults for what it leaves out."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from app.audio.offers import AAC_BIT_RATES, MP3_BIT_RATES, OPUS_BIT_RATES
from app.settings.listening import Server, is_loopback
from app.settings.pronunciation import Lists
from app.settings.table import Table, written_as
from app.text.language import is_tag
from app.text.normalize import speakable
from app.units import Bytes, Seconds, seconds, secret
from app.units import secret as looked_up
from cache.address import checked
from providers.interface import ProviderSettings, ProviderVoice
from providers.kinds import KINDS

Name = Annotated[
    str,
    written_as(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
        "is no name; use up to 64 letters, digits, dots, hyphens and underlines, a letter or digit first",
    ),
]


MOST_MONEY = 1e9
"""In a price, or a budget: millionths of it are counted in doubles."""
LEAST_SECRET = 32
"""Characters."""


def _long(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < LEAST_SECRET:
        raise ValueError(f"is too short; use {LEAST_SECRET} random characters or more")
    return value


def _address(url: str) -> str:
    return checked(url) if url else url


class Redis(Table):
    """`url` empty: the embedded Valkey, kept in `data_dir`. There may be a password in it: it is a secret.

    `users_url`: where keys, limits and usage are; empty: in the same.

    `timeout`: seconds for a command with its connecting; what a server that hangs adds to a request, once.
    """

    url: Annotated[str, BeforeValidator(secret), AfterValidator(_address), Field(repr=False)] = ""
    users_url: Annotated[str, BeforeValidator(secret), AfterValidator(_address), Field(repr=False)] = ""
    data_dir: Path = Path(".refrain")
    timeout: Annotated[Seconds, Field(ge=0.01, le=10)] = 0.1


ARCHIVES = r"^(off|file|file:///.+|(memory|s3|s3a|gs|az|azure|abfs|abfss|adl)://[^:@]+)$"
"""No host in a file's URL, and no credentials in any: those are the environment's."""


def _never(value: Any) -> Any:
    return None if value == "never" else seconds(value)


class Cache(Table):
    """Lifetimes in seconds, the memory tier in bytes for each process.

    `archive` is `off`, `file` (in `redis.data_dir`) or a URL; `archive_max` bounds a directory, in bytes.
    Past `soft_ttl` (None, `never` in the file: not at all) sound is served and made anew behind it.
    `keep_text`: a speech's sentences are kept with it, for captions.
    """

    ttl: Annotated[Seconds, Field(gt=0)] = 30 * 86400.0
    soft_ttl: Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_never)] = 7 * 86400.0
    fallback_ttl: Annotated[Seconds, Field(gt=0)] = 3600.0
    memory: Annotated[Bytes, Field(ge=0)] = 64 * 2**20
    archive: Annotated[str, Field(pattern=ARCHIVES)] = "file"
    archive_max: Annotated[Bytes, Field(ge=2**20)] = 2 * 2**30
    scope: Literal["shared", "user"] = "shared"
    keep_text: bool = True
    owner_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    owner_budget: Annotated[Bytes, Field(ge=0)] = 256 * 2**20


Pause = Annotated[Seconds, Field(ge=0, le=10)]


def _says_something(text: str) -> str:
    if text and not speakable(text):
        raise ValueError("has nothing that can be spoken; write a word or more, or leave it empty")
    return text


class Chunking(Table):
    """How long the first and any chunk may be, in characters; pauses between blocks, in seconds.

    Between two blocks it is the longer of their two pauses. `code` is said in place of a block of code; empty: nothing.
    """

    first_chunk_chars: Annotated[int, Field(ge=40, le=4000)] = 120
    max_chunk_chars: Annotated[int, Field(ge=80, le=4000)] = 600
    heading_pause: Pause = 0.6
    paragraph_pause: Pause = 0.35
    item_pause: Pause = 0.2
    code: Annotated[str, Field(max_length=200), AfterValidator(_says_something)] = ""


def _bit_rate(offered: tuple[int, ...]) -> AfterValidator:
    def check(bit_rate: int) -> int:
        if bit_rate not in offered:
            raise ValueError(f"use one of {', '.join(map(str, offered))} (bits per second)")
        return bit_rate

    return AfterValidator(check)


QUIETEST, LOUDEST = -36, -14
"""LUFS. Above, the limiter would be at work all the time, and codecs' peaks pass the ceiling."""


def _loudness(value: Any) -> float | None:
    if value == "off":
        return None
    with suppress(TypeError, ValueError):
        number = float(value)
        if QUIETEST <= number <= LOUDEST:
            return number
    raise ValueError(f'use a loudness in LUFS from {QUIETEST} to {LOUDEST}, or "off"')


class Sound(Table):
    """What speech comes in where a request does not say. Bit rates in bits per second; m4a has that of aac.

    `loudness` is that of all voices, in LUFS; None (`off` in the file): as loud as each provider's sound comes.
    """

    loudness: Annotated[float | None, BeforeValidator(_loudness)] = -19.0
    mp3_bit_rate: Annotated[int, _bit_rate(MP3_BIT_RATES)] = 64_000
    opus_bit_rate: Annotated[int, _bit_rate(OPUS_BIT_RATES)] = 32_000
    aac_bit_rate: Annotated[int, _bit_rate(AAC_BIT_RATES)] = 64_000


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"unknown kind; use one of {', '.join(sorted(KINDS))}")
    return kind


class ProviderTable(BaseModel):
    """One `[providers.NAME]`. Further keys are the kind's own options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Annotated[str, AfterValidator(_known_kind)]
    api_key: Annotated[SecretStr | None, BeforeValidator(secret)] = None
    base_url: Annotated[str | None, Field(pattern=r"^https?://")] = None
    connect_timeout: Annotated[Seconds, Field(gt=0)] = 2.0
    first_byte_timeout: Annotated[Seconds, Field(gt=0)] = 5.0
    timeout: Annotated[Seconds, Field(gt=0)] = 30.0
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    max_concurrency: Annotated[int | None, Field(ge=1)] = None
    slow_after: Annotated[Seconds, Field(gt=0)] | None = None
    price_per_million_chars: Annotated[float | None, Field(ge=0, le=MOST_MONEY)] = None

    def named(self, name: str) -> ProviderSettings:
        """What the adapter is built from."""
        return ProviderSettings(
            name=name,
            kind=self.kind,
            api_key=self.api_key.get_secret_value() if self.api_key else None,
            base_url=self.base_url,
            connect_timeout=self.connect_timeout,
            first_byte_timeout=self.first_byte_timeout,
            timeout=self.timeout,
            attempts=self.attempts,
            max_concurrency=self.max_concurrency,
            slow_after=self.slow_after,
            price_per_million_chars=self.price_per_million_chars,
            options=_pairs(self.model_extra or {}),
        )


class Link(BaseModel):
    """One provider voice in a chain. Further keys are settings of that voice."""

    model_config = ConfigDict(frozen=True, extra="allow")

    provider: str
    voice: str
    model: str | None = None

    def provider_voice(self) -> ProviderVoice:
        """As the provider takes it."""
        return ProviderVoice(self.provider, self.voice, self.model, _pairs(self.model_extra or {}))


def _language(tag: str) -> str:
    if not is_tag(tag):
        raise ValueError('is not a language; write a tag such as "en" or "pt-BR"')
    return tag


def _hedge(value: Any) -> Any:
    if value in {"off", "p95"}:
        return None if value == "off" else value
    return seconds(value)


class VoiceTable(Table):
    """One `[voices.NAME]`: what clients name; the chain is tried in this `order`.

    `hedge`: seconds without a sound after which a speech's first chunk is asked of the second link as well (`p95`:
    as many as 19 of 20 of the first's utterances begin within); None: never.
    """

    language: Annotated[str, AfterValidator(_language)] | None = None
    aliases: tuple[Name, ...] = ()
    chain: Annotated[tuple[Link, ...], Field(min_length=1)]
    order: Literal["preference", "spread", "cheapest"] = "preference"
    after_failure: Literal["continue", "same-voice"] = "continue"
    hedge: Annotated[Literal["p95"] | Annotated[float, Field(gt=0)] | None, BeforeValidator(_hedge)] = None


Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip
"""`none` is not among them."""


def _fetchable(url: str) -> str:
    if not url:
        return url
    try:
        parts = urlsplit(url)
        port = parts.port  # which is read only here
    except ValueError:
        raise ValueError("is no URL; write it in full, with https://") from None
    if not parts.hostname or port == 0 or not url.isprintable() or " " in url:
        raise ValueError("is no URL; write it in full, with https://")
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError("needs https: who can change what comes over the wire could sign tokens of his own")
    return url


class Jwt(Table):
    """Which tokens are taken. The keys are those at `jwks_url`, or `public_key` (PEM, or the secret of HS256).

    `plan_claim` and `role_claim` name the claims that say what a token's user may do. `leeway`, and `max_lifetime`
    from a token's issue to its expiry, are in seconds: a revocation is remembered for that long.
    """

    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256",)
    jwks_url: Annotated[
        str,
        written_as(r"(https?://.+)?", "write an address that begins with https://"),
        AfterValidator(_fetchable),
    ] = ""
    public_key: Annotated[SecretStr, BeforeValidator(secret)] = SecretStr("")
    audience: str = ""
    issuer: str = ""
    plan_claim: str = "plan"
    role_claim: str = "role"
    leeway: Annotated[Seconds, Field(ge=0, le=300)] = 10.0
    max_lifetime: Annotated[Seconds, Field(ge=60)] = 366 * 86400.0


class Auth(Table):
    """Who may speak. `open`: everybody who reaches the server.

    `secret` is what keys are hashed with, query tokens signed and users' addresses salted: at least 32 characters, the
    same for all replicas. Empty: made once, and kept in Redis beside what it protects.
    """

    mode: Literal["open", "keys", "jwt", "keys+jwt"] = "open"
    secret: Annotated[SecretStr, BeforeValidator(looked_up), AfterValidator(_long)] = SecretStr("")
    jwt: Jwt = Jwt()

    @property
    def takes_keys(self) -> bool:
        """Whether API keys are."""
        return "keys" in self.mode

    @property
    def takes_tokens(self) -> bool:
        """Whether JWTs are."""
        return "jwt" in self.mode


def _off(value: Any) -> Any:
    if value is None or value == "off":
        return None
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        is_number = False
    else:
        # Pydantic would take true for 1.
        is_number = not isinstance(value, bool)
    if not is_number:
        raise ValueError('write a number, or "off" for no limit')
    return value


def _a_plan(name: str) -> str:
    if name == "default":
        raise ValueError("is no plan of its own; what everybody has is [limits.default]")
    return name


Number = Annotated[Annotated[int, Field(ge=1, le=10**12)] | None, BeforeValidator(_off)]
"""None (`off` in the file): no such limit."""


class LimitTable(Table):
    """What one user may have: the `[limits.default]`, or of a `[limits.plans.NAME]`.

    `concurrent_chunks` are those being made at once in one process; more wait. `concurrent_websockets` are open at
    once, over all replicas. Characters are those that are to be spoken anew, and with `charge_hits` all;
    `spend_per_month` is in the currency of the prices.
    """

    requests_per_minute: Number = 120
    characters_per_minute: Number = 60_000
    characters_per_day: Number = 2_000_000
    concurrent_requests: Number = 20
    concurrent_chunks: Number = 60
    concurrent_websockets: Number = 20
    spend_per_month: Annotated[Annotated[float, Field(ge=0, le=MOST_MONEY)] | None, BeforeValidator(_off)] = (
        None
    )
    charge_hits: bool = False


NO_LIMITS = LimitTable(
    requests_per_minute=None,
    characters_per_minute=None,
    characters_per_day=None,
    concurrent_requests=None,
    concurrent_chunks=None,
    concurrent_websockets=None,
)


class Limits(Table):
    """Of users. What a plan leaves out is as in `default`.

    `alone` is the part of a limit that each process grants while the Redis that counts does not answer.
    """

    default: LimitTable = LimitTable()
    plans: dict[Annotated[Name, AfterValidator(_a_plan)], LimitTable] = Field(default_factory=dict)
    alone: Annotated[float, Field(gt=0, le=1)] = 0.25


class Settings(Table):
    """Everything. `providers.local` and `voices.default` are always there unless the file says otherwise."""

    server: Server = Server()
    redis: Redis = Redis()
    cache: Cache = Cache()
    chunking: Chunking = Chunking()
    sound: Sound = Sound()
    providers: dict[Name, ProviderTable] = Field(default_factory=dict)
    voices: dict[Name, VoiceTable] = Field(default_factory=dict)
    pronunciation: Lists = Field(default_factory=dict)
    auth: Auth = Auth()
    limits: Limits = Limits()

    def limits_of(self, plan: str) -> LimitTable:
        """Of a user with this plan; of one that is not configured those of everybody.

        Where everybody is let in and no limits are written down, there are none.
        """
        if self.auth.mode == "open" and "limits" not in self.model_fields_set:
            return NO_LIMITS
        table = self.limits.plans.get(plan)
        if table is None:
            return self.limits.default
        own = {key: getattr(table, key) for key in table.model_fields_set}
        return self.limits.default.model_copy(update=own)


def _pairs(extra: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, _plain(value)) for key, value in extra.items()))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""`refrain.toml` and environment, checked whole and frozen. The only place that reads either.

Every mistake is reported at once, with the path of its key and its line. What the file leaves out has the
defaults written here; with no file at all everything runs on them.
"""

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from app.toml_lines import line_of, lines
from app.units import Bytes, Seconds, secret
from cache.address import refused
from providers.interface import ProviderSettings, ProviderVoice
from providers.kinds import KINDS

PREFIX = "REFRAIN_"
DEFAULT_FILE = Path("refrain.toml")
OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable",
    "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip

M = TypeVar("M", bound=BaseModel)
Where = tuple[str | int, ...]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(Table):
    """Where the server listens and what it takes. `deadline`: seconds until the next sound, at most."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    max_body: Annotated[Bytes, Field(ge=1024)] = 2**20
    max_input_chars: Annotated[int, Field(ge=1)] = 200_000
    deadline: Annotated[Seconds, Field(gt=0)] = 60.0


class Redis(Table):
    """`url` empty: the embedded Valkey, kept in `data_dir`."""

    url: Annotated[str, Field(pattern=r"^$|^(redis|rediss|unix)://.+")] = ""
    data_dir: Path = Path(".refrain")


class Cache(Table):
    """Lifetimes in seconds, the memory tier in bytes for each process."""

    ttl: Annotated[Seconds, Field(gt=0)] = 30 * 86400.0
    fallback_ttl: Annotated[Seconds, Field(gt=0)] = 3600.0
    memory: Annotated[Bytes, Field(ge=0)] = 64 * 2**20


Pause = Annotated[Seconds, Field(ge=0, le=10)]


class Chunking(Table):
    """How long the first and any chunk may be, in characters; pauses between blocks, in seconds.

    Between two blocks it is the longer of their two pauses. `code` is said in place of a block of code; empty: nothing.
    """

    first_chunk_chars: Annotated[int, Field(ge=40, le=4000)] = 120
    max_chunk_chars: Annotated[int, Field(ge=80, le=4000)] = 600
    heading_pause: Pause = 0.6
    paragraph_pause: Pause = 0.35
    item_pause: Pause = 0.2
    code: Annotated[str, Field(max_length=200)] = ""


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
    price_per_million_chars: Annotated[float, Field(ge=0)] = 0.0

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


class VoiceTable(Table):
    """One `[voices.NAME]`: what clients name; the chain is tried in order."""

    language: str | None = None
    aliases: tuple[Name, ...] = ()
    chain: Annotated[tuple[Link, ...], Field(min_length=1)]


class Auth(Table):
    """Who may speak. Keys and tokens are not built yet, so nothing but `open` is taken."""

    mode: Literal["open"] = "open"


class Settings(Table):
    """Everything. `providers.local` and `voices.default` are always there unless the file says otherwise."""

    server: Server = Server()
    redis: Redis = Redis()
    cache: Cache = Cache()
    chunking: Chunking = Chunking()
    providers: dict[Name, ProviderTable] = Field(default_factory=dict)
    voices: dict[Name, VoiceTable] = Field(default_factory=dict)
    auth: Auth = Auth()


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is and what to do about it. `line` is None for environment variables and defaults."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        """One line for a terminal."""
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class BadConfiguration(Exception):
    """The configuration has mistakes; `problems` has them all."""

    def __init__(self, problems: list[Problem], source: str) -> None:
        """`source` names the file, for the message."""
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        super().__init__("\n".join([f"{source} has {count}:", *(f"  {problem}" for problem in problems)]))
        self.problems = problems


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `file` (left out: `refrain.toml` here, if there is one), with the environment on top.

    Raises:
        BadConfiguration: with every mistake in it.
    """
    environ = os.environ if environ is None else environ
    path = file or Path(environ.get("REFRAIN_CONFIG") or DEFAULT_FILE)
    source = _read(path, required=file is not None or "REFRAIN_CONFIG" in environ)
    return parse(source, environ, name=str(path) if source else "the environment")


def parse(source: str, environ: Mapping[str, str], *, name: str = "refrain.toml") -> Settings:
    """Settings from the text of a file, with the environment on top.

    Raises:
        BadConfiguration: with every mistake in it.
    """
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        problem = Problem("", f"not valid TOML: {error}", int(line[1]) if line else None)
        raise BadConfiguration([problem], name) from None
    _overlay(document, environ)
    _defaults(document)
    found: list[tuple[Where, str]] = []
    settings = None
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        found += _sentences(error.errors(include_url=False, include_input=False))
    found += _cross_checks(settings or _sound_parts(document), frozenset(_table(document, "providers")))
    if settings is None or found:
        numbered = lines(source)
        problems = [Problem(_dotted(where), what, line_of(numbered, where)) for where, what in found]
        raise BadConfiguration(sorted(problems, key=lambda problem: problem.line or 0), name)
    return settings


def _read(path: Path, *, required: bool) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not required:
            return ""
        problem = Problem("", "no such file; check the path, or leave --config out for the defaults")
        raise BadConfiguration([problem], str(path)) from None
    except (OSError, UnicodeDecodeError):
        problem = Problem("", "cannot be read as UTF-8 text; check its permissions and encoding")
        raise BadConfiguration([problem], str(path)) from None


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    """`REFRAIN_REDIS__URL=...` sets `redis.url`, whatever the file says."""
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == "REFRAIN_CONFIG":
            continue
        *tables, key = variable.removeprefix(PREFIX).lower().split("__")
        table = document
        for name in tables:
            inner = table.setdefault(name, {})
            if not isinstance(inner, dict):
                break
            table = inner
        table[key] = _literal(value)


def _literal(value: str) -> Any:
    """Lists and inline tables are read as TOML; everything else is a string, which the models convert."""
    if value[:1] in {"[", "{"}:
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value
    return value


def _defaults(document: dict[str, Any]) -> None:
    """The local engine and the voice `default`; what the file says of them it need not say in full.

    Left out, the aliases of `default` are OpenAI's names, but for those that other voices claim.
    """
    providers = _table(document, "providers")
    _table(providers, "local").setdefault("kind", "hibari")
    voices = _table(document, "voices")
    taken = {name for voice in voices.values() if isinstance(voice, dict) for name in _names(voice)} | set(
        voices
    )
    default = _table(voices, "default")
    default.setdefault("aliases", [name for name in OPENAI_VOICES if name not in taken])
    if "chain" not in default:
        default["chain"] = [{"provider": "local", "voice": "heart"}]
        default.setdefault("language", "en")


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The table of that name, made if need be; of anything else nothing is kept here, the models refuse it."""
    table = document.setdefault(name, {})
    return table if isinstance(table, dict) else {}


def _names(voice: dict[str, Any]) -> list[str]:
    aliases = voice.get("aliases", ())
    return [alias for alias in aliases if isinstance(alias, str)] if isinstance(aliases, list) else []


def _sound_parts(document: dict[str, Any]) -> Settings:
    """Of a file with mistakes what is right in itself, so that its references are looked at all the same."""
    providers = {name: _valid(ProviderTable, raw) for name, raw in _table(document, "providers").items()}
    voices = {name: _valid(VoiceTable, raw) for name, raw in _table(document, "voices").items()}
    return Settings.model_construct(
        redis=_valid(Redis, document.get("redis", {})) or Redis(),
        providers={name: table for name, table in providers.items() if table},
        voices={name: table for name, table in voices.items() if table},
    )


def _valid(model: type[M], raw: Any) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _cross_checks(settings: Settings, providers: Collection[str]) -> Iterator[tuple[Where, str]]:
    """`providers`: all that are named, also those with mistakes of their own."""
    if settings.redis.url and refused(settings.redis.url):
        # Without the URL: it may have a password in it.
        yield ("redis", "url"), "not a URL that can be connected to; check its port and what is behind the ?"
    for name, provider in settings.providers.items():
        where = ("providers", name)
        options = provider.model_extra or {}
        for problem in KINDS[provider.kind].check(provider.named(name)):
            yield (*where, *(key for key in options if key in problem.split())), problem
    owners = {name: name for name in settings.voices}
    for name, voice in settings.voices.items():
        for position, link in enumerate(voice.chain):
            if link.provider not in providers:
                known = ", ".join(sorted(providers))
                yield (
                    ("voices", name, "chain", position, "provider"),
                    f"no such provider; configured are {known}",
                )
        for alias in voice.aliases:
            if owners.setdefault(alias, name) != name:
                yield ("voices", name, "aliases"), f'"{alias}" already names the voice "{owners[alias]}"'


def _pairs(extra: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, _plain(value)) for key, value in extra.items()))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _dotted(path: Where) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


_SENTENCES = {
    "extra_forbidden": "unknown key; check its spelling, or take it out",
    "missing": "is missing; add it",
    "too_short": "is empty; it needs at least one",
    "string_type": "must be a string",
    "string_pattern_mismatch": "has a form that is not known; samples/refrain.toml shows how it is written",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
}
_BOUNDS = {
    "ge": "must be at least",
    "gt": "must be more than",
    "le": "must be at most",
    "expected": "must be",
}


def _sentences(items: Sequence[Any]) -> list[tuple[Where, str]]:
    """In our words. A list counts as empty also where its only item is wrong: that is told of the item alone."""
    wheres = [item["loc"] for item in items]
    return [
        (item["loc"], _sentence(item))
        for item in items
        if item["type"] != "too_short"
        or not any(where[: len(item["loc"])] == item["loc"] != where for where in wheres)
    ]


def _sentence(item: Any) -> str:
    for bound, words in _BOUNDS.items():
        if bound in item.get("ctx", {}):
            return f"{words} {item['ctx'][bound]}"
    return _SENTENCES.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")

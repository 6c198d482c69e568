"""`refrain.toml` and environment, checked whole and frozen. The only place that reads either.

Every mistake is reported at once, with the path of its key and its line. What the file leaves out has the
defaults written here; with no file at all everything runs on them.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

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


class Chunking(Table):
    """How long the first and any chunk may be, in characters."""

    first_chunk_chars: Annotated[int, Field(ge=40, le=4000)] = 120
    max_chunk_chars: Annotated[int, Field(ge=80, le=4000)] = 600


class ProviderTable(BaseModel):
    """One `[providers.NAME]`. Further keys are the kind's own options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
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
    numbered = lines(source)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        problems = [
            Problem(_dotted(item["loc"]), _sentence(item), line_of(numbered, item["loc"]))
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise BadConfiguration(problems, name) from None
    if crossed := [
        Problem(_dotted(where), what, line_of(numbered, where)) for where, what in _cross_checks(settings)
    ]:
        raise BadConfiguration(crossed, name)
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
    """The local engine and the voice `default`, which gives up aliases that other voices claim."""
    providers = document.setdefault("providers", {})
    if isinstance(providers, dict):
        providers.setdefault("local", {"kind": "hibari"})
    voices = document.setdefault("voices", {})
    if isinstance(voices, dict):
        taken = set(voices)
        for voice in voices.values():
            aliases = voice.get("aliases", ()) if isinstance(voice, dict) else ()
            taken.update(alias for alias in aliases if isinstance(alias, str))
        aliases = [name for name in OPENAI_VOICES if name not in taken]
        chain = [{"provider": "local", "voice": "heart"}]
        voices.setdefault("default", {"language": "en", "aliases": aliases, "chain": chain})


def _cross_checks(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if settings.redis.url and refused(settings.redis.url):
        # Without the URL: it may have a password in it.
        yield ("redis", "url"), "not a URL that can be connected to; check its port and what is behind the ?"
    for name, provider in settings.providers.items():
        where = ("providers", name)
        if provider.kind not in KINDS:
            yield (*where, "kind"), f"unknown kind; use one of {', '.join(sorted(KINDS))}"
        else:
            for problem in KINDS[provider.kind].check(provider.named(name)):
                yield where, problem
    owners = {name: name for name in settings.voices}
    for name, voice in settings.voices.items():
        for position, link in enumerate(voice.chain):
            if link.provider not in settings.providers:
                known = ", ".join(sorted(settings.providers))
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


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


_SENTENCES = {
    "extra_forbidden": "unknown key; check its spelling, or take it out",
    "missing": "is missing; add it",
}


def _sentence(item: Any) -> str:
    known = _SENTENCES.get(item["type"])
    return known or str(item["msg"]).removeprefix("Value error, ")

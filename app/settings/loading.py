"""`refrain.toml` and environment to settings. The only place that reads either."""

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.settings.mistakes import BadConfiguration, Problem, Where, dotted, sentences
from app.settings.pronunciation import repeated
from app.settings.tables import LEAST_SECRET, Auth, Cache, Link, ProviderTable, Redis, Settings, VoiceTable
from app.toml_lines import line_of, lines
from providers.kinds import KINDS

PREFIX = "REFRAIN_"
DEFAULT_FILE = Path("refrain.toml")
OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable",
    "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip

M = TypeVar("M", bound=BaseModel)


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
        found += sentences(error.errors(include_url=False, include_input=False))
    found += repeated(_table(document, "pronunciation"))
    found += _cross_checks(settings or _sound_parts(document), frozenset(_table(document, "providers")))
    if settings is None or found:
        numbered = lines(source)
        problems = [Problem(dotted(where), what, line_of(numbered, where)) for where, what in found]
        raise BadConfiguration(sorted(problems, key=lambda problem: problem.line or 0), name)
    return settings


def check_openness(settings: Settings) -> None:
    """Whether a server may start with these. Only asked of servers: to commands it does not matter.

    Raises:
        BadConfiguration: everybody would be let in from anywhere, and nobody has said so.
    """
    if settings.server.is_loopback or "mode" in settings.auth.model_fields_set:
        return
    problem = Problem(
        "auth.mode",
        f"everybody who reaches {settings.server.host} could speak at your cost; "
        'use "keys" or "jwt", or write "open" to let them',
    )
    raise BadConfiguration([problem], "the configuration")


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
        cache=_valid(Cache, document.get("cache", {})) or Cache(),
        auth=_valid(Auth, document.get("auth", {})) or Auth(),
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
    kept = settings.cache
    # Left out, it may well be longer than a short lifetime: then nothing is ever old.
    if "soft_ttl" in kept.model_fields_set and kept.soft_ttl is not None and kept.soft_ttl > kept.ttl:
        yield (
            ("cache", "soft_ttl"),
            'is longer than cache.ttl, so that nothing would ever be made anew; shorten it, or write "never"',
        )
    yield from _auth_checks(settings.auth)
    for name, provider in settings.providers.items():
        where = ("providers", name)
        options = provider.model_extra or {}
        for problem in KINDS[provider.kind].check(provider.named(name)):
            yield (*where, *(key for key in options if key in problem.split())), problem
    owners = {name: name for name in settings.voices}
    for name, voice in settings.voices.items():
        for position, link in enumerate(voice.chain):
            for place, problem in _link_checks(link, settings, providers):
                yield ("voices", name, "chain", position, *place), problem
        for alias in voice.aliases:
            if owners.setdefault(alias, name) != name:
                yield ("voices", name, "aliases"), f'"{alias}" already names the voice "{owners[alias]}"'


def _auth_checks(auth: Auth) -> Iterator[tuple[Where, str]]:
    jwt = auth.jwt
    where = ("auth", "jwt")
    shared = [name for name in jwt.algorithms if name.startswith("HS")]
    key = jwt.public_key.get_secret_value()
    if auth.takes_tokens and not jwt.jwks_url and not key:
        yield where, "needs jwks_url or public_key: without a key no token can be checked"
    if jwt.jwks_url and key:
        yield where, "has both jwks_url and public_key; keep one of them"
    if shared and (len(shared) < len(jwt.algorithms) or jwt.jwks_url):
        # A public key is no secret: taken as one, anybody could sign with it.
        yield (
            (*where, "algorithms"),
            "HS* may not be mixed with others, nor be used with jwks_url; choose one kind",
        )
    elif shared and key and len(key) < LEAST_SECRET:
        yield (*where, "public_key"), f"is too short a secret; use {LEAST_SECRET} random characters or more"
    elif key:
        from app.settings.signing import verifying_keys  # noqa: PLC0415 - it takes a while, and few need it

        try:
            verifying_keys(key, jwt.algorithms)
        except ValueError as error:
            yield (*where, "public_key"), str(error)


def _link_checks(link: Link, settings: Settings, providers: Collection[str]) -> Iterator[tuple[Where, str]]:
    if link.provider not in providers:
        yield ("provider",), f"no such provider; configured are {', '.join(sorted(providers))}"
    elif table := settings.providers.get(link.provider):
        for problem in KINDS[table.kind].check_voice(link.provider_voice()):
            yield (problem.split()[0],), problem

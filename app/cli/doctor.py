"""`refrain doctor`: what works, and what to do about what doesn't."""

import asyncio
import math
import struct
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from app.audio.formats import FORMATS, SAMPLE_RATE, Format, output
from app.audio.recorder import Recorder
from app.cli import Failed, config_option, configured
from app.cli.tables import table
from app.cli.trial import Trial, announced, trials, tried
from app.settings import Settings
from app.settings.tables import Auth
from app.stores import archive_url
from app.users.jwks import PublishedKeys, Unusable
from app.users.store import named
from cache.checkup import check_up
from cache.embedded import start as start_embedded
from cache.errors import Away, EmbeddedError, NoArchive
from cache.objects import open_objects
from providers.kinds import build

PROBE = "doctor"
"""An object that is written to see whether it can be, and deleted."""
PATIENCE = 10.0
"""Seconds for that, however far away a bucket is."""
_USERS = (("keys and limits", named("probe")),)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `doubtful`: it works, and is likely to be meant otherwise."""

    what: str
    ok: bool
    detail: str
    doubtful: bool = False

    @property
    def mark(self) -> str:
        """For the terminal."""
        return "[yellow]but[/]" if self.ok and self.doubtful else "[green]ok[/]" if self.ok else "[red]no[/]"


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(doctor)


@click.command()
@config_option
@click.option("--live", is_flag=True, help="Also have every provider in use say a word, which it may bill.")
def doctor(config_file: Path | None, live: bool) -> None:
    """Look at Redis, the archive, providers and codecs; spends nothing without --live."""
    settings = configured(config_file)
    planned = trials(settings) if live else []
    if planned:
        click.echo("\n".join(announced(planned)), err=True)
    findings = asyncio.run(_examine(settings, planned))
    shown = table("", "what", "finding")
    for finding in findings:
        shown.add_row(finding.mark, finding.what, escape(finding.detail))
    Console().print(shown)
    if broken := sum(not finding.ok for finding in findings):
        raise Failed(f"{broken} of {len(findings)} things need your attention; see above for what to do.")


async def _examine(settings: Settings, planned: list[Trial]) -> list[Finding]:
    findings = [*await _redis(settings), await _archive(settings), *await _signing_keys(settings.auth)]
    for name, provider in settings.providers.items():
        adapter = build(provider.named(name))
        try:
            health = await adapter.health()
        finally:
            await adapter.aclose()
        findings.append(Finding(f"provider {name} ({provider.kind})", health.ok, health.detail))
    async with aclosing(tried(planned)) as verdicts:
        findings += [Finding(trial.what, verdict.ok, verdict.detail) async for trial, verdict in verdicts]
    findings += [_codec(fmt) for fmt in FORMATS.values()]
    return findings


async def _redis(settings: Settings) -> list[Finding]:
    apart = settings.redis.users_url
    # What an open server counts begins anew, and that is all.
    lasting = settings.auth.mode != "open"
    findings = (
        await _looked_at("users' redis", "redis.users_url", apart, also=_USERS, lasting=lasting)
        if apart
        else []
    )
    if settings.redis.url:
        both = () if apart else _USERS
        return [
            *await _looked_at(
                "redis", "redis.url", settings.redis.url, also=both, lasting=lasting and not apart
            ),
            *findings,
        ]
    return [await _embedded(settings), *findings]


async def _looked_at(
    what: str, key: str, url: str, also: Sequence[tuple[str, str]], *, lasting: bool
) -> list[Finding]:
    """One that others run."""
    remarks = await check_up(url, key=key, also=also, lasting=lasting)
    return [Finding(what, one.verdict != "no", one.text, one.verdict == "but") for one in remarks]


async def _embedded(settings: Settings) -> Finding:
    what = "embedded Valkey"
    try:
        embedded = await start_embedded(settings.redis.data_dir)
    except EmbeddedError as error:
        return Finding(what, ok=False, detail=str(error))
    try:
        remarks = await check_up(embedded.url)
    finally:
        embedded.release()
    broken = [one.text for one in remarks if one.verdict != "ok"]
    advice = f"{broken[0]}; look at its log in redis.data_dir" if broken else "answers"
    return Finding(what, not broken, advice)


async def _archive(settings: Settings) -> Finding:
    """Something is written, read and deleted."""
    where = archive_url(settings)
    if where is None:
        return Finding("archive", ok=True, detail="off")
    try:
        objects = open_objects(where)
    except NoArchive as error:
        return Finding("archive", ok=False, detail=str(error))
    try:
        async with asyncio.timeout(PATIENCE):
            await objects.write(PROBE, b"refrain doctor")
            found = await objects.read(PROBE)
            await objects.delete(PROBE)
    except (Away, TimeoutError):
        advice = "does not take what is written; look at its credentials, rights and space"
        return Finding("archive", ok=False, detail=advice)
    finally:
        await objects.aclose()
    return Finding("archive", ok=found == b"refrain doctor", detail="takes and gives entries")


async def _signing_keys(auth: Auth) -> list[Finding]:
    """Those that tokens are checked with, where an issuer publishes them."""
    rules = auth.jwt
    if not (auth.takes_tokens and rules.jwks_url):
        return []
    what = "signing keys"
    place = PublishedKeys(rules.jwks_url)
    try:
        published = await place.published()
    except Unusable as error:
        return [Finding(what, ok=False, detail=f"cannot be had ({error}); check auth.jwt.jwks_url")]
    finally:
        await place.aclose()
    fit = frozenset[str]().union(*(key.algorithms for key in published))
    missing = [name for name in rules.algorithms if name not in fit]
    if not missing:
        return [Finding(what, ok=True, detail=f"{len(published)} that can be used")]
    detail = f"none is for {', '.join(missing)}; auth.jwt.algorithms is to be what the issuer signs with"
    return [Finding(what, len(missing) < len(rules.algorithms), detail, doubtful=True)]


def _codec(fmt: Format) -> Finding:
    """A second of a tone through the real encoder."""
    what = f"format {fmt.name}"
    samples = (int(8000 * math.sin(2 * math.pi * 220 * n / SAMPLE_RATE)) for n in range(SAMPLE_RATE))
    tone = struct.pack(f"<{SAMPLE_RATE}h", *samples)
    recorder = Recorder(
        encoding="pcm_s16le", sample_rate=SAMPLE_RATE, channels=1, characters=15, output=output(fmt)
    )
    try:
        size = len(recorder.feed(tone)) + len(recorder.finish().tail)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a codec is to be told, not raised
        return Finding(what, ok=False, detail=f"{type(error).__name__}; reinstall with `make clean serve`")
    finally:
        recorder.close()
    return Finding(what, ok=True, detail=f"kept as {fmt.form.name}, {size:,} bytes for a second")

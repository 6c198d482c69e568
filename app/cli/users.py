"""`refrain users`: who is known, and having somebody forgotten."""

import asyncio
from collections import defaultdict
from pathlib import Path

import click
import msgspec
from rich.markup import escape
from rich.table import Column, Table

from app.cli import Failed, config_option, configured
from app.cli.stores import desk_of
from app.cli.tables import console, table
from app.server import open_house
from app.settings import Settings
from app.speech.plan import owned_by
from app.users import audit
from app.users.desk import Desk
from app.users.keys import Key
from cache.errors import Unreachable


class ListedUser(msgspec.Struct, frozen=True):
    """A user as `--json` prints him. `last_seen` is the last day (UTC) on which he had speech; null: never yet."""

    user: str
    keys: int
    revoked_keys: int
    plans: list[str]
    admin: bool
    last_seen: str | None


def register(cli: click.Group) -> None:
    """Add the group with its commands."""
    cli.add_command(users)


@click.group()
def users() -> None:
    """Users: those who have keys, and those of whom there is usage."""


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def list_(as_json: bool, config_file: Path | None) -> None:
    """Show who is known."""
    listed = asyncio.run(_listed(configured(config_file)))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2))
        return
    console().print(_table(listed))


@users.command()
@click.argument("user", metavar="ID")
@config_option
def forget(user: str, config_file: Path | None) -> None:
    """Delete all that is kept of the user ID: keys, usage, counts of limits, and sound that is his alone.

    Tokens (JWTs) that were issued to him until now are refused from then on. What says so is kept until the longest of
    them has expired, as are revocations of before.

    Given again, it deletes what is left, or has been added meanwhile: servers go by what they know for five seconds,
    and what is being spoken is noted when it ends.
    """
    settings = configured(config_file)
    audit.heard()
    outcome = "failed"
    try:
        parts = asyncio.run(_forget(settings, user))
        outcome = "done"
    finally:
        audit.note("users.forget", None, outcome=outcome, what={"user": audit.marked(user)})
    click.echo(f"Forgotten: {', '.join(parts)}." if parts else "Nothing is kept of this user.")
    if settings.auth.takes_tokens:
        click.echo("Tokens that were issued to this user until now are refused.", err=True)
    if settings.cache.scope == "shared":
        click.echo(
            'Sound is shared (cache.scope = "shared"), and nobody\'s: it stays. `refrain cache purge` deletes it by '
            "voice, tag or digest.",
            err=True,
        )


async def _listed(settings: Settings) -> list[ListedUser]:
    async with desk_of(settings) as desk:
        keys: defaultdict[str, list[Key]] = defaultdict(list)
        for key in await desk.keys.all():
            keys[key.user].append(key)
        seen = {known.user: known.last_seen for known in await desk.accounts.known()}
        return [_user(user, keys.get(user, []), seen.get(user)) for user in sorted({*keys, *seen})]


def _user(user: str, keys: list[Key], last_seen: str | None) -> ListedUser:
    good = [key for key in keys if not key.revoked]
    return ListedUser(
        user=user,
        keys=len(good),
        revoked_keys=len(keys) - len(good),
        plans=sorted({key.plan for key in good}),
        admin=any(key.role == "admin" for key in good),
        last_seen=last_seen,
    )


async def _forget(settings: Settings, user: str) -> list[str]:
    """What was deleted, in words. Keys and tokens first, so that nothing is added; what lists him last."""
    async with desk_of(settings) as desk:
        if settings.auth.takes_tokens:
            await desk.revocations.revoke_user(user)
        keys = await desk.keys.forget(user)
        entries = await _forget_sound(settings, desk, user) if settings.cache.scope == "user" else 0
        removed = await desk.accounts.forget(user)
    counted = (
        (keys, "key", "keys"),
        (removed.days, "day of usage", "days of usage"),
        (removed.counts, "count of limits", "counts of limits"),
        (removed.requests, "Idempotency-Key", "Idempotency-Keys"),
        (entries, "entry of the cache", "entries of the cache"),
    )
    return [f"{count} {one if count == 1 else many}" for count, one, many in counted if count]


async def _forget_sound(settings: Settings, desk: Desk, user: str) -> int:
    owner = (await desk.doorman.user(user)).owner
    async with open_house(settings) as house:
        try:
            purged = await house.purging.forget([owned_by(owner)])
        except Unreachable:
            raise Failed(
                "Redis does not answer, or the archive: the user's keys are deleted, his sound is not. Do it again."
            ) from None
    if purged.missed:
        raise Failed(f"The user's keys are deleted, and {purged.count} entries of the cache. {purged.missed}")
    return purged.count


def _table(listed: list[ListedUser]) -> Table:
    right = (Column(name, justify="right") for name in ("keys", "revoked"))
    shown = table("user", *right, "plans", "role", "last seen")
    for one in listed:
        role = "admin" if one.admin else "user"
        cells = (
            one.user,
            str(one.keys),
            str(one.revoked_keys),
            ", ".join(one.plans),
            role,
            one.last_seen or "",
        )
        shown.add_row(*map(escape, cells))
    return shown

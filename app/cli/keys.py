"""`refrain keys`: API keys, made, shown and revoked."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from app.cli import Failed, config_option, configured
from app.cli.plans import known_plan, plan_option
from app.cli.stores import desk_of
from app.cli.tables import console, table
from app.settings import Settings
from app.users import audit
from app.users.keys import Key, is_id, is_key
from app.users.user import Role

LONGEST = 200
"""Characters of a name."""


class ListedKey(msgspec.Struct, frozen=True):
    """A key as `--json` prints it; times in ISO 8601 (UTC), null: never. Last uses are known to the minute."""

    id: str
    name: str
    user: str
    plan: str
    role: Role
    created: str
    last_used: str | None
    revoked: str | None

    @classmethod
    def of(cls, key: Key) -> "ListedKey":
        """From the key."""
        created, used, revoked = (
            datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            if time
            else None
            for time in (key.created, key.used, key.revoked)
        )
        return cls(key.id, key.name, key.user, key.plan, key.role, created or "", used, revoked)


def register(cli: click.Group) -> None:
    """Add the group with its commands."""
    cli.add_command(keys)


@click.group()
def keys() -> None:
    """API keys: who may speak where auth.mode asks for keys."""


def _word(_context: click.Context, _parameter: click.Parameter, word: str | None) -> str | None:
    """A name that can be shown in a line of a table, and found again."""
    if word is not None and not (word.strip() and word.isprintable() and len(word) <= LONGEST):
        raise click.BadParameter(f"write 1 to {LONGEST} printable characters.")
    return word


@keys.command()
@click.argument("name", callback=_word)
@click.option("--user", callback=_word, help="Whose it is: limits and usage go by this. Left out: NAME.")
@plan_option
@click.option("--admin", is_flag=True, help="It may also do what concerns everybody: purge, others' usage.")
@config_option
def create(name: str, user: str | None, limits_plan: str, admin: bool, config_file: Path | None) -> None:
    """Make a key, called NAME, and print it: this once, as nobody can find it out again.

    It alone is on standard output: KEY=$(refrain keys create NAME).
    """
    settings = configured(config_file)
    plan = known_plan(settings, limits_plan)
    audit.heard()
    role: Role = "admin" if admin else "user"
    what, outcome = {"user": audit.marked(user or name), "plan": plan, "role": role}, "failed"
    try:
        key, secret = asyncio.run(_create(settings, name, user or name, plan, role))
        what, outcome = {"key": key.id, **what}, "done"
    finally:
        audit.note("keys.create", None, outcome=outcome, what=what)
    click.echo(secret)
    kind = "admin key" if key.role == "admin" else "key"
    said = f'Made the {kind} {key.id} of the user "{key.user}", with the plan {key.plan}. '
    said += f"It is shown this once. To end it: refrain keys revoke {key.id}"
    click.echo(said, err=True)
    if not settings.auth.takes_keys:
        click.echo(
            f'auth.mode is "{settings.auth.mode}": keys are not looked at before it is "keys" or "keys+jwt".',
            err=True,
        )


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def list_(as_json: bool, config_file: Path | None) -> None:
    """Show all keys, without their secrets, the oldest first."""
    listed = [ListedKey.of(key) for key in asyncio.run(_all(configured(config_file)))]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2))
        return
    console().print(_table(listed))


@keys.command()
@click.argument("key_id", metavar="ID")
@config_option
def revoke(key_id: str, config_file: Path | None) -> None:
    """End the key with this ID, within five seconds on all replicas, for good."""
    if is_key(key_id):
        raise click.UsageError(
            "That is a whole key. Write its ID alone: the letters between its two underlines."
        )
    audit.heard()
    settings = configured(config_file)
    # An answer that was lost may have been a yes, so what failed is written down as well. Not what is no ID.
    what, outcome = {"key": key_id} if is_id(key_id) else {}, "failed"
    try:
        key = asyncio.run(_revoke(settings, key_id))
        outcome = "unknown" if key is None else "done"
        what |= {} if key is None else {"user": audit.marked(key.user)}
    finally:
        audit.note("keys.revoke", None, outcome=outcome, what=what)
    if key is None:
        raise Failed("No key has this ID. `refrain keys list` shows those that there are.")
    click.echo(f'The key {key.id} of the user "{key.user}" is revoked.')


async def _create(settings: Settings, name: str, user: str, plan: str, role: Role) -> tuple[Key, str]:
    async with desk_of(settings) as desk:
        return await desk.keys.create(name, user=user, role=role, plan=plan)


async def _all(settings: Settings) -> list[Key]:
    async with desk_of(settings) as desk:
        return await desk.keys.all()


async def _revoke(settings: Settings, key_id: str) -> Key | None:
    async with desk_of(settings) as desk:
        return await desk.keys.revoke(key_id)


def _table(listed: list[ListedKey]) -> Table:
    shown = table("id", "name", "user", "plan", "role", "created", "last used", "revoked")
    for key in listed:
        cells = (key.id, key.name, key.user, key.plan, key.role, key.created, key.last_used, key.revoked)
        shown.add_row(*(escape(cell or "") for cell in cells))
    return shown

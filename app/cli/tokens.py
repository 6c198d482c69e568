"""`refrain tokens`: refuses tokens that have not expired."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import click

from app.cli import Failed, config_option, configured
from app.settings import Settings
from app.stores import PATIENCE
from app.users import audit
from app.users.revocations import open_revocations
from cache.embedded import start as start_embedded
from cache.errors import Away
from cache.link import RedisLink


def register(cli: click.Group) -> None:
    """Add the group with its command."""
    cli.add_command(tokens)


@click.group()
def tokens() -> None:
    """Tokens that others have signed."""


@tokens.command()
@click.option("--jti", help="The one token with this `jti`.")
@click.option("--user", help="All that were issued to this user (`sub`) until now; newer ones are good.")
@config_option
def revoke(jti: str | None, user: str | None, config_file: Path | None) -> None:
    """Refuse tokens from now on, on every server within five seconds."""
    if not (jti or user):
        raise click.UsageError("Say what to revoke: --jti or --user.")
    settings = configured(config_file)
    audit.heard()
    what: dict[str, str | int] = {"token": audit.marked(jti)} if jti else {}
    what |= {"user": audit.marked(user)} if user else {}
    outcome = "failed"
    try:
        asyncio.run(_revoke(settings, jti, user))
        outcome = "done"
    except Away:
        raise Failed(
            "Redis does not answer, or is full, so it may be that nothing is revoked. Start it, or check redis.url "
            "and redis.users_url; then do it again."
        ) from None
    finally:
        audit.note("tokens.revoke", None, outcome=outcome, what=what)
    click.echo("Revoked, on every server within five seconds.")


async def _revoke(settings: Settings, jti: str | None, user: str | None) -> None:
    async with AsyncExitStack() as stack:
        url = settings.redis.users_url or settings.redis.url
        if not url:
            embedded = await start_embedded(settings.redis.data_dir)
            stack.callback(embedded.release)
            url = embedded.url
        link = RedisLink(url, timeout=PATIENCE)
        stack.push_async_callback(link.aclose)
        revocations = open_revocations(link, settings)
        if jti:
            await revocations.revoke_token(jti)
        if user:
            await revocations.revoke_user(user)

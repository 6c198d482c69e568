"""`refrain cache`: look at what is kept, and look after it. One file for each of its commands."""

import click

from app.cli import cache_purge, cache_stats, cache_verify


def register(cli: click.Group) -> None:
    """Add the group with its commands."""
    cache.add_command(cache_purge.purge)
    cache.add_command(cache_stats.stats)
    cache.add_command(cache_verify.verify)
    cli.add_command(cache)


@click.group()
def cache() -> None:
    """Look at the cache, and look after it."""

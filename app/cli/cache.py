"""`refrain cache`: look at what is kept, and look after it. One file for each of its commands."""

import click


def register(cli: click.Group) -> None:
    """Add the group with its commands."""
    cli.add_command(cache)


@click.group()
def cache() -> None:
    """Look at the cache, and look after it."""

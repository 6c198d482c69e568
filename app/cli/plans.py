"""Plans on the command line: whose limits somebody has."""

import click

from app.settings import Settings
from app.users.user import DEFAULT_PLAN

plan_option = click.option(
    "--plan",
    "limits_plan",
    default=DEFAULT_PLAN,
    show_default=True,
    help="One of [limits.plans], or default.",
)


def known_plan(settings: Settings, name: str) -> str:
    """The name of a plan that there is.

    Raises:
        click.UsageError: none is called so.
    """
    known = [DEFAULT_PLAN, *settings.limits.plans]
    if name not in known:
        are = "There are" if len(known) > 1 else "There is only"
        raise click.UsageError(f"No plan has this name. {are} {', '.join(known)}; see [limits.plans].")
    return name

"""The command line, as its entry point puts it together."""

from unittest.mock import patch

import click
import pytest

import app.cli


@pytest.fixture
def subcommands() -> dict[str, click.Command]:
    """Every command that `refrain` registers when it starts."""
    with patch.object(app.cli.cli, "main"):
        app.cli.main()
    return dict(app.cli.cli.commands)

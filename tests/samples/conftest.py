"""The server that the samples are run against: the default configuration, with its neural voice."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.servers import AS_INSTALLED, Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """`refrain serve` as it comes."""
    # The embedded server may still be saving there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Server(Path(home), "", program=AS_INSTALLED)
        yield running
        running.stop()

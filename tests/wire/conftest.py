"""The server that stock clients are pointed at, and a stock client."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from app.audio.formats import FORMATS
from tests.http.servers import VOICES, Server

# One for each format: after five deaths the provider's circuit opens, and nobody would be asked to begin at all.
DYING = "".join(
    f"""
[providers.dying-{name}]
kind = "scripted"
die_after = 100000
[voices.dying-{name}]
chain = [{{ provider = "dying-{name}", voice = "low" }}]
"""
    for name in FORMATS
)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """`refrain serve` with scripted voices and an embedded Valkey."""
    # The embedded server may still be saving there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Server(Path(home), VOICES + DYING)
        yield running
        running.stop()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[OpenAI]:
    """OpenAI's own package, changed in nothing but its base URL."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="sk-not-needed", max_retries=0) as client:
        yield client

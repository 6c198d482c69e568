"""`refrain providers`, and what is asked of vendors for a look."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import refrain
from tests.http.servers import VOICES, Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with more than one provider."""
    (tmp_path / "refrain.toml").write_text(VOICES)
    return tmp_path


def rows(table: str) -> dict[str, list[str]]:
    """By the first column; blank ones are not seen."""
    return {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}


def test_providers_by_the_configuration(folder: Path):
    """An operator would have to put together from two tables of the file who speaks for whom, and at what price."""
    done = refrain(folder, "providers")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["provider"] == ["provider", "kind", "state", "price", "at", "once", "voices"]
    assert found["first"] == ["first", "scripted", "10", "default,", "backed"]
    assert found["local"] == ["local", "scripted"]


def test_providers_of_a_server(folder: Path):
    """The figures of a running server could be had only by who reads Prometheus."""
    server = Server(folder / "server", VOICES)
    try:
        server.post(input="One call.").raise_for_status()
        done = refrain(folder, "providers", "--server", server.url.removeprefix("http://"))
        told = json.loads(refrain(folder, "providers", "--server", server.url, "--json").stdout)
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    first = rows(done.stdout)["first"]
    assert first[2:6] == ["10", "0", "of", "any"]
    assert first[8:12] == ["100.0%", "1", "0", "9e-05"]
    assert {one["name"]: one["calls"] for one in told["providers"]} == {"local": 0, "first": 1, "second": 0}


def test_no_server_there(folder: Path):
    """A wrong address would end in a stack trace."""
    for address in ("127.0.0.1:9", "http://", "a b"):
        done = refrain(folder, "providers", "--server", address)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert f"No list of providers from {address}." in line

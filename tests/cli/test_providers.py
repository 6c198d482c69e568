"""`refrain providers`, and what is asked of vendors for a look."""

import json
import re
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
    assert first[2:7] == ["closed", "10", "0", "of", "any"]
    assert first[9:13] == ["100.0%", "1", "0", "9e-05"]
    assert {one["name"]: one["calls"] for one in told["providers"]} == {"local": 0, "first": 1, "second": 0}


def test_no_server_there(folder: Path):
    """A wrong address would end in a stack trace."""
    for address in ("127.0.0.1:9", "http://", "a b"):
        done = refrain(folder, "providers", "--server", address)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert f"No list of providers from {address}." in line


LIVE = """
[providers.well]
kind = "scripted"
price_per_million_chars = 15.0
[providers.locked]
kind = "scripted"
fault = "auth"
[providers.dumb]
kind = "scripted"
answer = "silence"
[providers.idle]
kind = "scripted"
fault = "quota"
[voices.default]
language = "en"
chain = [
  { provider = "well", voice = "low" }, { provider = "locked", voice = "low" }, { provider = "dumb", voice = "high" },
  { provider = "well", voice = "high" },
]
"""


def test_doctor_has_each_provider_say_a_word_if_told_to(folder: Path):
    """A wrong key, or a vendor that answers with silence, would be found out by the first listener."""
    (folder / "refrain.toml").write_text(LIVE)
    done = refrain(folder, "doctor", "--live")
    assert done.returncode == 1
    assert "  well: 0.000060, at 15 per million characters" in done.stderr
    assert "idle:" not in done.stderr
    shown = " ".join(done.stdout.split())
    assert re.search(r"ok well says it as low 0\.\d\d s of sound, the first of it after \d+\.\d{3} s", shown)
    assert "no locked says it as low auth: locked fails as scripted. Now check its api_key" in shown
    assert "no dumb says it as high bad_audio (silent): check its format" in shown
    assert "idle says" not in shown
    assert "says it" not in refrain(folder, "doctor").stdout


def test_what_a_provider_offers(folder: Path):
    """Whoever writes a chain has to know how the vendor calls its voices."""
    done = refrain(folder, "voices", "--provider", "first")
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout) == {
        "voice": ["voice", "name", "language"],
        "low": ["low", "Low"],
        "high": ["high", "High"],
    }
    unknown = refrain(folder, "voices", "--provider", "third")
    assert unknown.returncode == 2
    assert "Configured are" in unknown.stderr


def test_a_provider_that_cannot_be_asked(folder: Path):
    """A vendor that is away would end in a stack trace."""
    away = '[providers.away]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    (folder / "refrain.toml").write_text(VOICES + away)
    done = refrain(folder, "voices", "--provider", "away")
    assert done.returncode == 1
    assert "away does not list its voices (unavailable)" in done.stderr

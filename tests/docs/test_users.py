"""The examples of the pages about users, run as their reader would run them."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import parse
from tests.cli.commands import environment
from tests.http.servers import VOICES, Server

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(page: str, language: str) -> list[str]:
    """Those of a page that are written in a language, from its top to its end."""
    found = FENCED.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One that is set up as the page's first example says, with its Valkey beside it."""
    # The embedded server may still be saving there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        first, *_ = examples("users.md", "toml")
        running = Server(Path(home), VOICES + first)
        yield running
        running.stop()


def test_the_commands_about_users_do_what_the_page_says(server: Server, tmp_path: Path):
    """An operator's first key, or an application's first token in an address, would be an error."""
    program = f'refrain() {{ "{sys.executable}" -m app "$@" --config "{server.file}"; }}'
    begun, *others = examples("users.md", "sh")
    assert len(others) == 3
    *used, revoked = begun.splitlines()
    lines = "\n".join(["set -eu", program, *used, *others, revoked])
    script = lines.replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"user":"alice"' in done.stdout
    assert '"token":"eyJ' in done.stdout
    assert re.search(r'The key \w{16} of the user "alice" is revoked', done.stdout)
    assert {path.name for path in tmp_path.iterdir() if path.stat().st_size} == {"hello.mp3", "once.mp3"}


@pytest.mark.parametrize("page", ["users.md", "security.md"])
def test_the_configurations_have_no_mistakes(page: str, tmp_path: Path):
    """Who copies one would be told what is wrong with it, and by the page's own words."""
    secret = tmp_path / "secret"
    secret.write_text("x" * 32)
    found = examples(page, "toml")
    assert found
    for example in found:
        settings = parse(example.replace("file:/run/secrets/refrain", f"file:{secret}"), {})
        assert settings.auth.mode != "open"


def test_the_table_of_limits_has_all_with_their_defaults():
    """An operator would count on a default that is another, or never learn of a limit."""
    page = (ROOT / "docs" / "users.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `?\"?([\w.]+)\"?`? \|", page.partition("## Limits")[2], re.MULTILINE)
    limits = parse('[auth]\nmode = "keys"', {}).limits.default
    told = {
        name: "off" if value is None else str(value).lower() for name, value in limits.model_dump().items()
    }
    assert dict(rows) == told

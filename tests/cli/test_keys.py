"""`refrain keys`, as an operator types it."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.users.audit import marked
from tests.cli.commands import refrain
from tests.cli.test_cli import TONES
from tests.http.servers import Server, Valkey

CONFIG = f"""
[auth]
mode = "keys"
{TONES}
[limits.default]
requests_per_minute = "off"
[limits.plans.pro]
spend_per_month = 5.0
"""
SECRET = re.compile(r"rf_[a-z2-7]{16}_[a-z2-7]{32}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder whose server asks for keys."""
    (tmp_path / "refrain.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """The server of that folder, on the same embedded Valkey."""
    running = Server(
        folder / "server", f'[redis]\ndata_dir = "{folder / ".refrain"}"\ntimeout = "1s"\n{CONFIG}'
    )
    yield running
    running.stop()


def listed(folder: Path) -> list[dict[str, str | None]]:
    """All keys, as programs read them."""
    done = refrain(folder, "keys", "list", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str | None]] = json.loads(done.stdout)
    return found


def status(server: Server, secret: str) -> int:
    """What it comes to with this key."""
    return server.get("/v1/usage", Authorization=f"Bearer {secret}").status_code


def test_a_key_is_made_shown_once_and_revoked(folder: Path):
    """`KEY=$(refrain keys create me)` would be more than the key, or the key be found out from the list."""
    made = refrain(folder, "keys", "create", "me", "--user", "ada", "--plan", "pro", "--admin")
    assert made.returncode == 0
    secret = made.stdout.removesuffix("\n")
    assert SECRET.fullmatch(secret)
    (key,) = listed(folder)
    identity = str(key["id"])
    assert secret.split("_")[1] == identity
    assert secret not in made.stderr
    assert identity in made.stderr
    assert [key[name] for name in ("name", "user", "plan", "role")] == ["me", "ada", "pro", "admin"]
    assert (key["last_used"], key["revoked"]) == (None, None)
    table = refrain(folder, "keys", "list").stdout
    assert identity in table
    assert secret.split("_")[2] not in table
    revoked = refrain(folder, "keys", "revoke", identity)
    assert (revoked.returncode, revoked.stdout) == (0, f'The key {identity} of the user "ada" is revoked.\n')
    assert listed(folder)[0]["revoked"] is not None
    assert refrain(folder, "keys", "revoke", identity).returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("create", "me", "--plan", "gold"), 2, "There are default, pro"),
        (("create", ""), 2, "printable characters"),
        (("create", "me", "--user", "two\nlines"), 2, "printable characters"),
        (("revoke", "nothing"), 1, "No key has this ID. `refrain keys list` shows"),
        (("revoke", f"rf_{'a' * 16}_{'b' * 32}"), 2, "Write its ID alone"),
    ],
)
def test_mistakes_are_explained(folder: Path, words: tuple[str, ...], code: int, says: str):
    """A key of a plan that there is not would have other limits than was meant; one would stay in force."""
    done = refrain(folder, "keys", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "b" * 32 not in done.stderr


def test_says_when_keys_are_not_asked_for(tmp_path: Path):
    """Whoever makes a key and never sets auth.mode thinks that his server is closed."""
    (tmp_path / "refrain.toml").write_text(TONES)
    assert 'auth.mode is "open"' in refrain(tmp_path, "keys", "create", "me").stderr


def test_a_running_server_heeds_it(folder: Path, server: Server):
    """Each new key would need a restart."""
    secret = refrain(folder, "keys", "create", "me").stdout.strip()
    assert status(server, secret) == 200
    refrain(folder, "keys", "revoke", secret.split("_")[1])
    while status(server, secret) == 200:
        time.sleep(0.02)
    assert server.get("/v1/usage", Authorization=f"Bearer {secret}").json()["code"] == "revoked"
    assert listed(folder)[0]["last_used"] is not None


def test_keys_outlive_the_server(folder: Path):
    """The embedded Valkey ends with whoever uses it last: everybody would have to ask for new keys."""
    assert listed(folder) == []
    refrain(folder, "keys", "create", "me")
    assert [key["name"] for key in listed(folder)] == ["me"]


def test_keys_are_where_users_are(tmp_path_factory: pytest.TempPathFactory, folder: Path):
    """With `redis.users_url` keys would go into the cache, which may throw them out, and the server find none."""
    cache, users = (Valkey(tmp_path_factory.mktemp(name)) for name in ("c", "u"))
    try:
        urls = f'[redis]\nurl = "{cache.url}"\nusers_url = "{users.url}"\n'
        (folder / "refrain.toml").write_text(urls + CONFIG)
        assert SECRET.fullmatch(refrain(folder, "keys", "create", "me").stdout.strip())
        assert cache.command("DBSIZE") == b":0\r\n"
        assert [key["name"] for key in listed(folder)] == ["me"]
        users.stop()
        away = refrain(folder, "keys", "create", "other")
        assert (away.returncode, away.stdout) == (1, "")
        assert "check redis.users_url" in away.stderr
    finally:
        cache.stop()
        users.stop()


def test_what_did_not_happen_is_written_down_too(folder: Path):
    """Whose answer was lost may have made or ended a key, and the audit would know nothing of it."""
    (folder / "refrain.toml").write_text(f'[redis]\nurl = "unix://{folder}/nowhere"\n{CONFIG}')
    identity = "a" * 16
    for words, what in (
        (("create", "me"), {"user": marked("me"), "plan": "default", "role": "user"}),
        (("revoke", identity), {"key": identity}),
        (("revoke", "me, or a part of a key"), {}),
    ):
        done = refrain(folder, "keys", *words)
        assert done.returncode == 1
        (audited,) = (json.loads(line) for line in done.stderr.splitlines() if line.startswith("{"))
        assert (audited["action"], audited["outcome"]) == (f"keys.{words[0]}", "failed")
        assert audited["what"] == what

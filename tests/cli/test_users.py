"""`refrain users` and `refrain usage`, as an operator types them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.users.store import named
from cache.digest import digest
from tests.cli.commands import refrain
from tests.cli.test_cli import TONES
from tests.http.servers import Server, Valkey

SCOPED = f"""
[auth]
mode = "keys"
[cache]
scope = "user"
{TONES}
[limits.default]
spend_per_month = 1.0
"""
TEXT = "A sentence of ada's. And another one."


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own."""
    running = Valkey(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def folder(tmp_path: Path, valkey: Valkey) -> Path:
    """A working folder with an archive, where each user's sound is his own."""
    config = f'[redis]\nurl = "{valkey.url}"\ndata_dir = "{tmp_path}"\n{SCOPED}'
    (tmp_path / "refrain.toml").write_text(config)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """The server of that folder."""
    config = (folder / "refrain.toml").read_text()
    running = Server(folder / "server", config, {"REFRAIN_CACHE__ARCHIVE": "file"})
    yield running
    running.stop()


def key(folder: Path, user: str) -> dict[str, str]:
    """The header of a user."""
    return {"Authorization": f"Bearer {refrain(folder, 'keys', 'create', user).stdout.strip()}"}


def say(server: Server, who: dict[str, str]) -> str:
    """Where that is to be had again."""
    headers = {**who, "Idempotency-Key": "once"}
    answer = server.client.post("/v1/audio/speech", json={"input": TEXT}, headers=headers)
    assert answer.status_code == 200
    return answer.headers["content-location"]


def read(folder: Path, *words: str) -> Any:
    """What a command says to programs."""
    done = refrain(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def had(server: Server, who: dict[str, str]) -> Any:
    """What the server says; with that it is written."""
    return server.get("/v1/usage", **who).json()


def test_usage_is_shown_by_user_and_by_day(folder: Path, server: Server):
    """An operator could not tell who spends the money."""
    ada, bob = key(folder, "ada"), key(folder, "bob")
    say(server, ada)
    say(server, ada)
    say(server, bob)
    told = {name: had(server, who) for name, who in (("ada", ada), ("bob", bob))}
    assert [told["ada"][name] for name in ("requests", "hits")] == [2, 2]
    for one in told.values():
        one["limits"] = None
    assert read(folder, "usage") == [told["ada"], told["bob"]]
    assert read(folder, "usage", "--user", "ada") == told["ada"]
    everybody = refrain(folder, "usage").stdout
    assert [line.split()[:2] for line in everybody.splitlines()] == [
        ["user", "requests"], ["ada", "2"], ["bob", "1"],
    ]  # fmt: skip
    table = refrain(folder, "usage", "--user", "ada").stdout
    assert {"default", "tones", told["ada"]["days"][0]["date"]} <= set(table.split())
    before = read(folder, "usage", "--user", "ada", "--from", "2025-01-01", "--to", "2025-01-31")
    assert (before["requests"], before["days"]) == (0, [])


@pytest.mark.parametrize("span", [("--from", "2025-02-01", "--to", "2025-01-01"), ("--from", "yesterday")])
def test_a_bad_span_is_explained(folder: Path, span: tuple[str, ...]):
    """A typing error would read as no usage at all."""
    done = refrain(folder, "usage", *span)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_deed_of_unknown_end_is_written_down(folder: Path):
    """Whoever looks for where a key came from, or why one is good still, would find nothing."""
    config = (folder / "refrain.toml").read_text()
    (folder / "refrain.toml").write_text(config.replace("v.sock", "none.sock"))
    for words in (("create", "ada"), ("revoke", "a" * 16), ("revoke", "ada's own words")):
        done = refrain(folder, "keys", *words)
        assert done.returncode == 1
        (audited,) = (json.loads(line) for line in done.stderr.splitlines() if line.startswith("{"))
        assert (audited["action"], audited["outcome"]) == (f"keys.{words[0]}", "failed")
        assert audited["what"].get("key", "") == ("a" * 16 if words[1] == "a" * 16 else "")
        assert "ada" not in done.stderr


def test_a_user_is_forgotten_everywhere(folder: Path, server: Server, valkey: Valkey):
    """Somebody's right to be forgotten would end at Redis, or at the archive, or take another's sound along."""
    ada, bob = key(folder, "ada"), key(folder, "bob")
    hers, his = say(server, ada), say(server, bob)
    had(server, ada)
    had(server, bob)
    archive = folder / "archive"
    while len([path for path in archive.rglob("*") if path.is_file()]) < 6:  # two clips and a speech, of both
        time.sleep(0.02)
    assert [one["user"] for one in read(folder, "users", "list")] == ["ada", "bob"]
    done = refrain(folder, "users", "forget", "ada")
    assert done.returncode == 0
    (audited,) = map(json.loads, done.stderr.splitlines())
    assert (audited["action"], audited["outcome"]) == ("users.forget", "done")
    assert "ada" not in done.stderr
    assert done.stdout.startswith("Forgotten: 1 key, 1 day of usage, ")
    assert done.stdout.endswith(", 1 Idempotency-Key, 3 entries of the cache.\n")
    assert [one["user"] for one in read(folder, "users", "list")] == ["bob"]
    names = valkey.command("KEYS", "refrain-users:*").decode().split()
    assert [name for name in names if digest("users", ["ada"]) in name] == []
    assert [name for name in names if digest("users", ["bob"]) in name]
    assert read(folder, "usage", "--user", "ada")["requests"] == 0
    statuses = [200]
    while statuses[-1] != 401:
        time.sleep(0.02)
        statuses.append(server.get(hers, **ada).status_code)
    # A second for what the process had in memory; then 404, if the key is still believed; never 200 again.
    assert {*statuses[:-1]} <= {200, 404}
    assert statuses[:-1] == sorted(statuses[:-1])
    assert server.get(his, **bob).status_code == 200
    assert len([path for path in archive.rglob("*") if path.is_file()]) == 3
    # The same name is another's now: he finds nothing.
    assert had(server, key(folder, "ada"))["requests"] == 0
    refrain(folder, "users", "forget", "ada")
    again = refrain(folder, "users", "forget", "ada")
    assert (again.returncode, again.stdout) == (0, "Nothing is kept of this user.\n")


def test_is_found_in_the_archive_when_redis_was_lost(folder: Path, server: Server, valkey: Valkey):
    """After a new Redis nobody would know whose sound is in the archive."""
    ada = key(folder, "ada")
    say(server, ada)
    had(server, ada)
    while len([path for path in (folder / "archive").rglob("*") if path.is_file()]) < 3:
        time.sleep(0.02)
    names = [name for name in valkey.command("KEYS", "refrain:*:label:*").decode().split() if name[0] == "r"]
    valkey.command("DEL", *names)
    done = refrain(folder, "users", "forget", "ada")
    assert "3 entries of the cache" in done.stdout


def test_shared_sound_stays(folder: Path):
    """An operator would think that a voice's sound is gone, or one user's leaving empty everybody's cache."""
    file = folder / "refrain.toml"
    file.write_text(file.read_text().replace('scope = "user"', 'scope = "shared"'))
    key(folder, "ada")
    done = refrain(folder, "users", "forget", "ada")
    assert done.stdout == "Forgotten: 1 key.\n"
    assert "it stays" in done.stderr


def test_forgetting_undoes_no_revocation(folder: Path, valkey: Valkey):
    """A stolen token would be good again, or its user's usage go on as if nothing had been said."""
    file = folder / "refrain.toml"
    jwt = 'mode = "keys+jwt"\njwt = { algorithms = ["HS256"], public_key = "' + "k" * 32 + '" }'
    file.write_text(file.read_text().replace('mode = "keys"', jwt))

    def revoked() -> list[bytes]:
        return valkey.command("ZRANGE", named("revoked"), "0", "-1").split(b"\r\n")[2::2]

    assert refrain(folder, "tokens", "revoke", "--jti", "stolen").returncode == 0
    (token,) = revoked()
    done = refrain(folder, "users", "forget", "ada")
    assert done.stdout == "Nothing is kept of this user.\n"
    assert "issued to this user until now are refused" in done.stderr
    assert {*revoked()} == {token, f"u{digest('users', ['ada'])}".encode()}


def test_a_plan_is_of_the_users_own_sound(folder: Path, server: Server):
    """An operator would be told a price for what the user has, or hits where he has none."""
    say(server, key(folder, "ada"))
    (folder / "doc.txt").write_text(TEXT)
    told = {user: read(folder, "plan", "doc.txt", "--user", user) for user in ("ada", "bob")}
    assert [told["ada"][name] for name in ("billable_characters", "cost")] == [0, 0]
    assert told["bob"]["billable_characters"] == told["bob"]["characters"]

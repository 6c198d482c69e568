"""`refrain cache purge`, as an operator types it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import refrain
from tests.cli.test_cli import TONES
from tests.http.servers import Valkey

VOICES = (
    TONES
    + """
[voices.other]
aliases = ["nova"]
chain = [{ provider = "tones", voice = "high" }]
"""
)

AWAY = {
    "ENDPOINT": "http://127.0.0.1:9",
    "ALLOW_HTTP": "true",
    "REGION": "us-east-1",
    "ACCESS_KEY_ID": "x",
    "SECRET_ACCESS_KEY": "x",
}
"""A bucket where nobody listens."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with something in its cache: two chunks and a speech."""
    (tmp_path / "refrain.toml").write_text(VOICES)
    (tmp_path / "doc.txt").write_text("The first sentence stands here. The second stands right behind it.")
    warm(tmp_path, "default")
    return tmp_path


def warm(folder: Path, voice: str) -> None:
    """Have it said."""
    done = refrain(folder, "warm", "doc.txt", "--voice", voice)
    assert "2 made" in done.stdout, done.stderr


def purged(folder: Path, *options: str) -> str:
    """What a purge says that succeeds."""
    done = refrain(folder, "cache", "purge", *options)
    (line,) = done.stderr.splitlines()
    deed = json.loads(line)
    assert (deed["by"], deed["outcome"]) == ("command line", "done")
    assert (done.returncode, done.stdout.split()[0]) == (0, str(deed["what"]["count"]))
    return done.stdout.strip()


def test_purges_by_voice_and_provider(folder: Path):
    """What an operator wants gone would stay, or what he wants kept go with it."""
    warm(folder, "other")
    assert purged(folder, "--voice", "nova", "--provider", "nobody") == "0 entries were forgotten."
    assert purged(folder, "--voice", "nova", "--provider", "tones") == "3 entries were forgotten."
    assert "2 chunks, 2 cached" in refrain(folder, "plan", "doc.txt").stdout
    assert purged(folder, "--provider", "tones") == "3 entries were forgotten."


def test_purges_a_speech_or_a_clip_by_its_digest(folder: Path):
    """Somebody complains of one address, and the operator would have to purge a whole voice."""
    plan = refrain(folder, "plan", "doc.txt", "--json").stdout
    speech, *clips = [line.split('"')[3] for line in plan.splitlines() if '"digest"' in line]
    assert purged(folder, "--digest", clips[0]) == "1 entry was forgotten."
    assert purged(folder, "--digest", speech) == "2 entries were forgotten."
    assert "2 chunks, 0 cached" in refrain(folder, "plan", "doc.txt").stdout
    assert purged(folder, "--tag", "never used") == "0 entries were forgotten."


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "Say what to forget"),
        (("--digest", "nonsense"), "40 hexadecimal digits"),
        (("--digest", "f" * 40, "--voice", "nova"), "by itself"),
        (("--all",), "No such option"),
    ],
)
def test_bad_usage_is_exit_code_2(tmp_path: Path, options: tuple[str, ...], says: str):
    """A mistyped purge must forget nothing, least of all everything."""
    (tmp_path / "refrain.toml").write_text(TONES)
    done = refrain(tmp_path, "cache", "purge", *options)
    assert done.returncode == 2
    assert says in done.stderr


def test_without_redis_it_fails(tmp_path: Path):
    """An operator would take for gone what everybody still hears."""
    (tmp_path / "refrain.toml").write_text('[redis]\nurl = "redis://127.0.0.1:9/0"\n' + TONES)
    done = refrain(tmp_path, "cache", "purge", "--tag", "news")
    assert done.returncode == 1
    assert "Redis does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_purges_what_the_archive_alone_knows(folder: Path):
    """Redis was lost with its index, and what is withdrawn would come back from the archive for a month."""
    shutil.rmtree(folder / ".refrain" / "valkey")
    assert "2 chunks, 2 cached" in refrain(folder, "plan", "doc.txt").stdout
    assert purged(folder, "--voice", "default") == "3 entries were forgotten."
    assert "2 chunks, 0 cached" in refrain(folder, "plan", "doc.txt").stdout


def test_an_archive_that_is_away_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """What it has comes back when it does; the operator would take it for gone."""
    for name, setting in AWAY.items():
        monkeypatch.setenv(f"AWS_{name}", setting)
    (folder / "refrain.toml").write_text(VOICES + '[cache]\narchive = "s3://nowhere/x"\n')
    done = refrain(folder, "cache", "purge", "--voice", "default")
    assert done.returncode == 1
    assert "the archive, so not everything is forgotten" in done.stderr


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Valkey]:
    """A Redis of the test's own."""
    server = Valkey(tmp_path)
    yield server
    server.stop()


def test_a_full_redis_is_purged_all_the_same(folder: Path, redis: Valkey):
    """It would be said to give no answer, and everything stay."""
    archive = (folder / "archive").as_uri()
    configured = f'[redis]\nurl = "{redis.url}"\ntimeout = "10s"\n{VOICES}[cache]\narchive = "{archive}"\n'
    (folder / "refrain.toml").write_text(configured)
    warm(folder, "default")
    redis.command("CONFIG", "SET", "maxmemory", "1")
    done = refrain(folder, "cache", "purge", "--voice", "default")
    assert (done.returncode, done.stdout) == (0, "3 entries were forgotten.\n"), done.stderr
    redis.command("CONFIG", "SET", "maxmemory", "0")
    assert "2 chunks, 0 cached" in refrain(folder, "plan", "doc.txt").stdout
    assert purged(folder, "--voice", "default") == "0 entries were forgotten."


def test_a_full_redis_that_has_lost_its_index_is_told(folder: Path, redis: Valkey):
    """What the archive alone knows stays, and the operator would take it for gone."""
    archive = (folder / "archive").as_uri()
    configured = f'[redis]\nurl = "{redis.url}"\ntimeout = "10s"\n{VOICES}[cache]\narchive = "{archive}"\n'
    (folder / "refrain.toml").write_text(configured)
    warm(folder, "default")
    redis.command("FLUSHALL")
    redis.command("CONFIG", "SET", "maxmemory", "1")
    done = refrain(folder, "cache", "purge", "--voice", "default")
    assert done.returncode == 1
    audited, error = done.stderr.strip().split("\n", 1)
    assert json.loads(audited)["outcome"] == "incomplete"
    assert error.startswith("Error: 0 entries were forgotten. Redis is full"), done.stderr
    redis.command("CONFIG", "SET", "maxmemory", "0")
    assert purged(folder, "--voice", "default") == "3 entries were forgotten."

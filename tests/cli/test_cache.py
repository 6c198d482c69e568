"""`refrain cache`: what is kept, and whether it is sound. A real Valkey, real files."""

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import app.cli
from cache import value
from cache.archive import open_archive, path_of
from cache.link import Keys
from cache.shared import share
from tests.cache.conftest import Server, sound
from tests.cache.fleet import Cluster, Guarded, cluster, guarded

CONFIG = """
[redis]
url = "{url}"
[cache]
memory = "8MiB"
archive_max = "16MiB"
[providers.tones]
kind = "scripted"
[voices.default]
chain = [{{ provider = "tones", voice = "low" }}]
"""

Refrain = Callable[..., Result]


@pytest.fixture
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the test's own."""
    server = Server(tmp_path_factory.mktemp("v"), "--maxmemory", "64mb", "--maxmemory-policy", "volatile-lfu")
    yield server
    server.stop()


@pytest.fixture
def folder(tmp_path: Path, valkey: Server) -> Path:
    """A working folder with a configuration."""
    (tmp_path / "refrain.toml").write_text(CONFIG.format(url=valkey.url))
    return tmp_path


@pytest.fixture
def archive(folder: Path) -> Path:
    """Where the folder's archive is."""
    return folder / ".refrain" / "archive"


@pytest.fixture
def refrain(folder: Path, subcommands: dict[str, click.Command], monkeypatch: pytest.MonkeyPatch) -> Refrain:
    """Runs `refrain` in the folder. In this process: each start of one takes a second."""
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("REFRAIN_")]:
        monkeypatch.delenv(name)
    return lambda *words: CliRunner().invoke(app.cli.cli, list(words), prog_name="refrain")


@pytest.fixture(scope="module", params=["cluster", "sentinel"])
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster | Guarded]:
    """Three masters, and one that a sentinel names."""
    home = tmp_path_factory.mktemp("fleet")
    with cluster(home) if request.param == "cluster" else guarded(home, sentinels=1) as running:
        yield running


def files(archive: Path) -> list[Path]:
    """Every entry's file."""
    return sorted(path for path in archive.rglob("*") if path.is_file())


def test_what_was_said_is_counted_and_sound(refrain: Refrain, folder: Path, archive: Path):
    """An operator would size a disk by figures that are not true."""
    assert refrain("say", "One. Two sentences make two clips.", "-o", "x.mp3").exit_code == 0
    held = json.loads(refrain("cache", "stats", "--json").stdout)
    size = sum(path.stat().st_size for path in files(archive))
    assert held["memory"] == {"limit": 8 * 2**20}
    assert held["archive"] == {
        "where": "file", "entries": len(files(archive)), "bytes": size, "limit": 16 * 2**20
    }  # fmt: skip
    assert held["redis"]["keys"] > held["archive"]["entries"]  # the index for purges is beside them
    assert (held["redis"]["limit"], held["redis"]["policy"]) == (64 * 2**20, "volatile-lfu")
    shown = refrain("cache", "stats").stdout
    assert "16.0 MiB" in shown
    # A process that has just begun has hit and missed nothing: zeros would be taken for a cache that does not work.
    assert "hit" not in shown
    verdict = json.loads((done := refrain("cache", "verify", "--json")).stdout)
    assert done.exit_code == 0
    assert verdict["tiers"]["archive"] == {"entries": len(files(archive)), "bytes": size, "expired": 0}
    assert verdict["tiers"]["redis"]["entries"] == len(files(archive))
    assert (verdict["damaged"], verdict["speeches"], verdict["not_whole"]) == ([], 1, [])


def test_a_cluster_and_what_sentinels_name_are_looked_after_like_any_other(
    refrain: Refrain, folder: Path, fleet: Cluster | Guarded
):
    """Whoever needs more than one server would have no tools for what he keeps there."""
    config = CONFIG.format(url=fleet.url).replace("[cache]", '[cache]\narchive = "off"')
    (folder / "refrain.toml").write_text(config)
    assert refrain("say", "One sentence. Two. Three of them, and a last one.", "-o", "x.mp3").exit_code == 0
    held = json.loads(refrain("cache", "stats", "--json").stdout)["redis"]
    masters = 3 if isinstance(fleet, Cluster) else 1
    assert (held["masters"], held["limit"], held["policy"]) == (masters, None, "noeviction")
    verdict = json.loads((done := refrain("cache", "verify", "--json")).stdout)
    assert done.exit_code == 0
    entries = verdict["tiers"]["redis"]["entries"]
    assert 1 < entries < held["keys"]
    assert (verdict["speeches"], verdict["not_whole"], verdict["damaged"]) == (1, [], [])
    assert ("all keys of 3 masters" in refrain("cache", "stats").stdout) == (masters == 3)
    assert f"{entries} entries were" in refrain("cache", "purge", "--voice", "default").stdout
    assert json.loads(refrain("cache", "verify", "--json").stdout)["tiers"]["redis"]["entries"] == 0


def test_a_speech_that_lacks_a_clip_is_told(refrain: Refrain, folder: Path, archive: Path, valkey: Server):
    """Addresses that were given out would answer 404, and nobody would know why."""
    refrain("say", "A sentence that is said.", "-o", "x.mp3")
    valkey.command("FLUSHALL")
    clip = max(files(archive), key=lambda path: path.stat().st_size)
    clip.unlink()
    done = refrain("cache", "verify")
    assert done.exit_code == 0
    assert "Speeches: 1, whole: 0." in done.stdout


async def fill(url: str, root: Path, digests: list[str]) -> None:
    """The same entries in both tiers."""
    shared, archive = share(url, timeout=5.0), open_archive(root.as_uri())
    for digest in digests:
        entry = sound(digest.encode() * 20)
        await shared.tier.put(digest, entry)
        await archive.put(digest, entry)
    await archive.aclose()
    await shared.link.aclose()


async def damage(url: str, root: Path, digests: list[str]) -> None:
    """One bit in each entry of each tier."""
    chance = random.Random(7)
    shared = share(url, timeout=5.0)
    client, keys = shared.link.client, Keys()
    for digest in digests:
        file = root / path_of(digest)
        content = bytearray(await asyncio.to_thread(file.read_bytes))
        bit = chance.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        await asyncio.to_thread(file.write_bytes, content)
        bit = chance.randrange(8 * len(content))
        key = keys.of("clip", digest)
        await client.setbit(key, bit, 1 - await client.getbit(key, bit))
    await shared.link.aclose()


def test_one_flipped_bit_in_each_of_a_thousand_entries_is_found_and_repaired(
    refrain: Refrain, folder: Path, archive: Path, valkey: Server
):
    """A disk that forgets a bit here and there, or a bad memory, would not be noticed in time."""
    digests = [f"{number:040x}" for number in range(1000)]
    asyncio.run(fill(valkey.url, archive, [*digests, "f" * 40]))
    asyncio.run(damage(valkey.url, archive, digests))
    done = refrain("cache", "verify", "--json")
    assert done.exit_code == 1
    assert "--repair" in done.stderr
    found = json.loads(done.stdout)["damaged"]
    for tier in ("redis", "archive"):
        assert sorted(one["digest"] for one in found if one["tier"] == tier) == digests
    repaired = refrain("cache", "verify", "--repair")
    assert repaired.exit_code == 0
    assert repaired.stdout.count("; deleted") == 2000
    left = json.loads(refrain("cache", "verify", "--json").stdout)
    assert {name: read["entries"] for name, read in left["tiers"].items()} == {"redis": 1, "archive": 1}
    assert left["damaged"] == []


def test_only_entries_of_this_layout_are_looked_at(
    refrain: Refrain, folder: Path, archive: Path, valkey: Server
):
    """A repair must not delete what belongs to another version, or to somebody else in the same Redis."""
    theirs = Keys().of("clip", "a" * 40).replace("refrain:1:", "refrain:2:")
    valkey.command("SET", theirs, "theirs")
    valkey.command("SET", "another", "service")
    other = archive / "v2" / "aa" / ("a" * 40)
    other.parent.mkdir(parents=True)
    other.write_bytes(b"theirs")
    (archive / "README").write_text("a note of the operator's")
    assert refrain("cache", "verify", "--repair").exit_code == 0
    assert valkey.command("DBSIZE") == b":2\r\n"
    assert len(files(archive)) == 2


def test_what_has_expired_is_no_damage(refrain: Refrain, folder: Path, archive: Path):
    """An operator would be woken up for what is to be swept anyway."""
    file = archive / path_of("a" * 40)
    file.parent.mkdir(parents=True)
    file.write_bytes(value.encode(value.new_entry(b"{}", b"x", made_at=1000.0, ttl=1.0)))
    verdict = json.loads(refrain("cache", "verify", "--json").stdout)
    assert verdict["tiers"]["archive"] == {"entries": 1, "bytes": file.stat().st_size, "expired": 1}
    assert verdict["damaged"] == []


def test_a_redis_that_is_away_and_an_archive_that_cannot_be_are_sentences(refrain: Refrain, folder: Path):
    """A traceback helps nobody at three in the morning."""
    (folder / "away.toml").write_text(CONFIG.format(url="redis://127.0.0.1:9/0"))
    for command in ("stats", "verify"):
        done = refrain("cache", command, "--config", "away.toml")
        assert done.exit_code == 1
        assert "refrain doctor" in done.stderr
        assert "Traceback" not in done.stderr
    (folder / "file").write_text("in the way")
    (folder / "bad.toml").write_text(
        CONFIG.format(url="redis://127.0.0.1:9/0").replace(
            "[cache]", f'[cache]\narchive = "{(folder / "file").as_uri()}"'
        )
    )
    for words in (["cache", "stats"], ["serve", "--port", "0"], ["say", "Hello.", "-o", "x.mp3"]):
        done = refrain(*words, "--config", "bad.toml")
        assert done.exit_code == 1
        assert "cache.archive" in done.stderr
        assert "Traceback" not in done.stderr

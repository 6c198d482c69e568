"""Two real servers over one archive, and an operator's command line: what is forgotten while it is still on its way."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.commands import refrain
from tests.http.servers import Server, Valkey

TEXT = "This sentence takes about a second to be said. So does the one behind it, for it is slow."
OTHER = "Something else altogether is said here."
CONFIG = """
[redis]
url = "{url}"
timeout = "10s"
[cache]
archive = "{archive}"
[providers.slow]
kind = "scripted"
pace = 0.1
piece_bytes = 17000
[voices.default]
chain = [{{ provider = "slow", voice = "low" }}]
"""


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """One for all tests here."""
    with tempfile.TemporaryDirectory() as home:
        server = Valkey(Path(home))
        yield server
        server.stop()


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    """The one that both servers write to."""
    with tempfile.TemporaryDirectory() as home:
        yield Path(home)


@pytest.fixture(scope="module")
def replicas(valkey: Valkey, archive: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers."""
    config = CONFIG.format(url=valkey.url, archive=archive.as_uri())
    environ = {"REFRAIN_CACHE__ARCHIVE": archive.as_uri()}
    with tempfile.TemporaryDirectory() as home, ExitStack() as running:
        servers = []
        for name in ("one", "two"):
            servers.append(server := Server(Path(home) / name, config, environ))
            running.callback(server.stop)
        yield servers[0], servers[1]


def archived(archive: Path) -> list[Path]:
    """What is in the archive."""
    return [path for path in archive.rglob("*") if path.is_file()]


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds; bounded by the test's own time-out."""
    while not condition():
        time.sleep(0.02)


def test_what_is_deleted_at_the_other_server_while_it_is_made_leaves_no_trace(
    replicas: tuple[Server, Server], archive: Path, valkey: Valkey
):
    """It would be told to be gone, and be there again when its maker has come to its end."""
    one, two = replicas
    with one.client.stream("POST", "/v1/audio/speech", json={"input": TEXT}) as answer:
        address = answer.headers["content-location"]
        pieces = answer.iter_raw()
        heard = next(pieces)
        assert two.client.delete(address).status_code == 204
        heard += b"".join(pieces)  # to its clean end, or httpx raises
    for server in replicas:
        assert server.get(address).status_code == 404
    wait(lambda: b"refrain:1:clip:" not in valkey.command("KEYS", "*"))
    wait(lambda: not archived(archive))
    for server in replicas:
        wait(lambda server=server: server.post(input=TEXT, cache="only").status_code == 404)


def test_a_full_redis_is_purged_by_the_command_line(
    replicas: tuple[Server, Server], archive: Path, valkey: Valkey, tmp_path: Path
):
    """The operator would be told that Redis does not answer, and all servers go on saying what he withdrew."""
    one, two = replicas
    address = one.post(input=OTHER, tags=["article"]).headers["content-location"]
    wait(lambda: two.get(address).status_code == 200)
    wait(lambda: len(archived(archive)) == 2)
    (tmp_path / "refrain.toml").write_text(CONFIG.format(url=valkey.url, archive=archive.as_uri()))
    valkey.command("CONFIG", "SET", "maxmemory", "1")
    try:
        done = refrain(tmp_path, "cache", "purge", "--tag", "article")
        assert (done.returncode, done.stdout) == (0, "2 entries were forgotten.\n"), done.stderr
        for server in replicas:
            wait(lambda server=server: server.get(address).status_code == 404)
            wait(lambda server=server: server.post(input=OTHER, cache="only").status_code == 404)
    finally:
        valkey.command("CONFIG", "SET", "maxmemory", "0")
    assert not archived(archive)

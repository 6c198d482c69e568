"""The embedded server is shared while it is used, and never left behind."""

import asyncio
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import cache.embedded
from cache import keeper
from cache.embedded import Embedded, start
from cache.errors import DataDirUnusable, DidNotStart
from tests.cache.conftest import until

ROOT = Path(__file__).parents[2]
USER = """
import asyncio, signal, sys
from pathlib import Path
from cache.embedded import start

# What is begun in the background of a shell without job control ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
embedded = asyncio.run(start(Path(sys.argv[1])))
print(embedded.url, flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the embedded server until it is killed or told to go."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            start_new_session=True,
        )

    def url(self) -> str:
        """Waits until it has its share."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """SIGKILL: no finally, no atexit."""
        self.process.kill()
        self.process.communicate()


def servers(data_dir: Path) -> list[psutil.Process]:
    """The Valkey processes that work for this directory."""
    home = str(data_dir / "valkey")
    processes = psutil.process_iter(["name", "cwd"])
    return [p for p in processes if p.info["name"] == "valkey-server" and p.info["cwd"] == home]


def keepers(data_dir: Path) -> list[psutil.Process]:
    """The keepers of this directory."""
    home = str(data_dir / "valkey")
    return [p for p in psutil.process_iter(["cmdline"]) if home in (p.info["cmdline"] or []) and _keeps(p)]


def _keeps(process: psutil.Process) -> bool:
    return keeper.__file__ in process.info["cmdline"]


def gone(data_dir: Path) -> None:
    """Wait until nothing of it is left."""
    deadline = time.monotonic() + 20
    while servers(data_dir) or keepers(data_dir):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def command(url: str, *words: str) -> bytes:
    """One command, the answer as it came."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(url.removeprefix("unix://"))
        line.sendall((" ".join(words) + "\r\n").encode())
        return line.recv(4096)


def mode(path: Path | str) -> int:
    """Who may do what."""
    return stat.S_IMODE(Path(path).stat().st_mode)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory that is empty at first, and unused at last."""
    yield tmp_path
    gone(tmp_path)


async def test_it_starts_answers_and_listens_on_no_port(data_dir: Path):
    """The cache of one user's machine must not be open to the network, or to its other users."""
    embedded = await start(data_dir)
    assert command(embedded.url, "PING") == b"+PONG\r\n"
    (server,) = servers(data_dir)
    assert [c for c in server.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
    assert mode(embedded.url.removeprefix("unix://")) == 0o600
    assert mode(data_dir / "valkey") == 0o700
    assert b"volatile-lfu" in command(embedded.url, "CONFIG", "GET", "maxmemory-policy")
    embedded.release()
    embedded.release()


async def test_the_last_one_out_saves_and_ends_it(data_dir: Path):
    """What was paid for yesterday must be there today."""
    one, other = await start(data_dir), await start(data_dir)
    command(one.url, "SET", "said", "once")
    one.release()
    assert command(other.url, "GET", "said") == b"$4\r\nonce\r\n"
    other.release()
    # Without waiting for the old one to be gone: it must be neither used nor disturbed while it saves.
    again = await start(data_dir)
    assert command(again.url, "GET", "said") == b"$4\r\nonce\r\n"
    assert len(servers(data_dir)) == 1
    again.release()


def test_users_killed_without_warning_leave_nothing_behind(data_dir: Path):
    """SIGKILL of every worker: no orphan, no lost cache."""
    users = [User(data_dir) for _ in range(2)]
    url = users[0].url()
    assert users[1].url() == url
    command(url, "SET", "said", "once")
    users[0].kill()
    assert command(url, "PING") == b"+PONG\r\n"
    users[1].kill()
    gone(data_dir)
    assert (data_dir / "valkey" / "dump.rdb").stat().st_size > 50
    assert not (data_dir / "valkey" / "address").exists()
    late = User(data_dir)
    assert command(late.url(), "GET", "said") == b"$4\r\nonce\r\n"
    late.kill()


def test_five_starters_at_once_start_one_server(data_dir: Path):
    """Workers are started together: two servers on one file would destroy each other's saves."""
    users = [User(data_dir) for _ in range(5)]
    assert len({user.url() for user in users}) == 1
    assert len(servers(data_dir)) == 1
    assert len(keepers(data_dir)) == 1
    for user in users:
        user.kill()


def test_control_c_ends_the_user_only(data_dir: Path):
    """A terminal's Ctrl-C goes to the whole foreground group: the server must live until it was saved."""
    user, other = User(data_dir), User(data_dir)
    url = user.url()
    other.url()
    os.killpg(user.process.pid, signal.SIGINT)
    user.process.wait()
    user.process.communicate()
    assert command(url, "PING") == b"+PONG\r\n"
    other.kill()


async def test_a_crashed_server_comes_back_on_the_same_socket(data_dir: Path):
    """The kernel may kill it for memory: its users must find it again by themselves."""
    embedded = await start(data_dir)
    servers(data_dir)[0].kill()
    await until(lambda: keeper.state(embedded.url.removeprefix("unix://")) == "ready")
    embedded.release()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_the_server_dies_with_its_keeper_and_is_started_anew(data_dir: Path):
    """A killed keeper must not leave a server that nobody would ever end."""
    embedded = await start(data_dir)
    command(embedded.url, "SET", "said", "once")
    (old,) = servers(data_dir)
    keepers(data_dir)[0].kill()
    await until(lambda: not keepers(data_dir))  # as a zombie it may stay: that is for init to reap
    again = await start(data_dir)
    assert [server.pid for server in servers(data_dir)] != [old.pid]
    assert command(again.url, "GET", "said") == b"$4\r\nonce\r\n"
    again.release()
    embedded.release()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("below", [".", f"{'d' * 60}/{'e' * 60}"], ids=["short", "long"])
async def test_whoever_uses_it_starts_it_anew_when_its_keeper_is_gone(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, below: str
):
    """Servers would run without Redis, each for itself, until the last of them was started anew."""
    monkeypatch.setattr(cache.embedded, "_WATCH", 0.02)
    home = data_dir / below
    users = [await start(home) for _ in range(2)]
    url = users[0].url
    command(url, "SET", "said", "once")
    (old,) = servers(home)
    for user in users:
        user.watch()
    # Told to end, a keeper takes a long path's directory with it: all must find the server at the same place again.
    keepers(home)[0].send_signal(number)
    await until(lambda: [one.pid for one in servers(home)] not in ([], [old.pid]))
    await until(lambda: keeper.state(url.removeprefix("unix://")) == "ready")
    assert command(url, "GET", "said") == b"$4\r\nonce\r\n"
    assert len(servers(home)) == 1
    for user in users:
        await user.aclose()
    gone(home)
    # And it is not started again by those who have left.
    assert keeper.state(url.removeprefix("unix://")) == "gone"


async def test_a_server_that_cannot_be_started_anew_is_tried_less_and_less_often(
    data_dir: Path, caplog: pytest.LogCaptureFixture
):
    """Whatever kills it, starting it over and over would take the machine from those who speak without it."""
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds < 1:
            await asyncio.sleep(seconds)
            return
        pauses.append(seconds)
        if len(pauses) == 7:
            enough.set()
            await asyncio.Event().wait()

    share = await start(data_dir, sleep=sleep)
    keepers(data_dir)[0].kill()
    await until(lambda: servers(data_dir) == [])
    (data_dir / "valkey" / "dump.rdb").write_bytes(b"no such format")
    share.watch()
    await enough.wait()
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert "server.log says why. It is tried again in 30 s." in caplog.text
    await share.aclose()


async def test_a_long_path_gets_a_short_socket(data_dir: Path):
    """A Unix socket's path holds about 100 bytes; home directories can be longer."""
    deep = data_dir / ("d" * 60) / ("e" * 60)
    embedded, other = await start(deep), await start(deep)
    assert embedded.url == other.url
    path = Path(embedded.url.removeprefix("unix://"))
    assert len(str(path)) < 100
    assert mode(path.parent) == 0o700
    embedded.release()
    other.release()
    gone(deep)
    assert not path.parent.exists()


async def test_a_copied_directory_has_a_server_of_its_own(data_dir: Path):
    """Whoever copies a folder that is in use would have the copy end the original's server."""
    original, copy = data_dir / "a", data_dir / "b"
    embedded = await start(original)
    (running,) = servers(original)
    (copy / "valkey").mkdir(parents=True)
    # As older versions left it, and as every copy of a long path has it.
    (copy / "valkey" / "address").write_text(embedded.url.removeprefix("unix://"))
    other = await start(copy)
    assert other.url != embedded.url
    assert servers(original) == [running]
    embedded.release()
    other.release()
    gone(original)
    gone(copy)


async def test_a_note_that_was_cut_short_is_written_anew(data_dir: Path):
    """After a full disk or a power cut the directory could never be used again."""
    deep = data_dir / ("d" * 60) / ("e" * 60)
    (deep / "valkey").mkdir(parents=True)
    (deep / "valkey" / "address").touch()
    embedded = await start(deep, patience=10)
    assert command(embedded.url, "PING") == b"+PONG\r\n"
    embedded.release()
    gone(deep)


async def test_a_directory_that_is_deleted_keeps_no_server_alive(data_dir: Path):
    """A server that cannot save refuses to end: every test run in a temporary directory would leave one."""
    embedded = await start(data_dir)
    command(embedded.url, "SET", "said", "once")
    running = servers(data_dir) + keepers(data_dir)
    shutil.rmtree(data_dir / "valkey")
    embedded.release()
    assert psutil.wait_procs(running, timeout=20)[1] == []


async def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path):
    """The operator must be told which setting to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirUnusable, match=r"redis\.data_dir"):
        await start(tmp_path / "file")


async def test_a_server_that_cannot_start_is_a_clear_error(data_dir: Path):
    """A damaged save must not look like a server that takes its time."""
    (data_dir / "valkey").mkdir()
    (data_dir / "valkey" / "dump.rdb").write_bytes(b"no such format")
    with pytest.raises(DidNotStart, match=r"server\.log"):
        await start(data_dir)


async def test_starting_costs_less_than_a_second(data_dir: Path):
    """`make serve` must be ready in three seconds, the voice's loading included."""
    began = time.perf_counter()
    embedded: Embedded = await start(data_dir)
    assert time.perf_counter() - began < 1.0
    embedded.release()


@pytest.mark.soak
def test_users_that_come_and_are_killed_at_random_lose_nothing(data_dir: Path):
    """Restarts, crashes and starts cross each other: never two servers, never a lost save, never an orphan."""
    chance = random.Random(4)
    users: list[User] = []
    for number in range(60):
        users.append(User(data_dir))
        if chance.random() < 0.5:
            users.append(User(data_dir))
        url = users[-1].url()
        assert command(url, "INCR", "rounds") == f":{number + 1}\r\n".encode()
        assert len(servers(data_dir)) == 1
        # Often all of them, so that the next round meets a server that is just being ended.
        for _ in range(chance.choice([1, len(users), len(users)])):
            if users:
                users.pop(chance.randrange(len(users))).kill()
    for user in users:
        user.kill()

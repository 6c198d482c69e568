"""`refrain serve` where it cannot: a sentence and exit code 1, and nothing left running."""

import socket
from pathlib import Path

import pytest

from tests.cli.commands import refrain
from tests.cli.test_cli import TONES


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working folder whose default voice is the scripted one."""
    (tmp_path / "refrain.toml").write_text(TONES)
    return tmp_path


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(place: Path, workers: str):
    """Whoever starts it twice must read what to do, not an errno among log lines."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = refrain(place, "serve", "--port", str(port), "--workers", workers)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"127.0.0.1:{port}: address already in use" in line


def test_a_data_directory_that_cannot_be_written(place: Path):
    """A container with a read-only disk would end in a stack trace of 40 lines."""
    (place / "file").touch()
    (place / "refrain.toml").write_text('[redis]\ndata_dir = "file"\n' + TONES)
    done = refrain(place, "serve", "--port", "0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "redis.data_dir" in line

"""Where `refrain say` writes to, when that is not an ordinary file on a disk with room."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cli.commands import ROOT, refrain
from tests.cli.test_cli import TONES


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working folder whose default voice is the scripted one."""
    (tmp_path / "refrain.toml").write_text(TONES)
    return tmp_path


def test_a_pipe_or_device_is_written_to_and_not_replaced(place: Path):
    """`-o /dev/null`, typed by root, would put a file in the place of the device for the whole machine."""
    pipe, heard = place / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()), daemon=True)
    reader.start()
    done = refrain(place, "say", "Hello there.", "-o", "pipe")
    reader.join(10)
    assert done.returncode == 0, done.stderr
    assert pipe.is_fifo()
    assert heard[0][:2] == b"\xff\xf3"


def test_a_link_is_followed(place: Path):
    """Whoever links the output elsewhere would lose the link and keep the old sound."""
    (place / "real.mp3").write_bytes(b"old")
    (place / "link.mp3").symlink_to("real.mp3")
    assert refrain(place, "say", "Hello there.", "-o", "link.mp3").returncode == 0
    assert (place / "link.mp3").is_symlink()
    assert (place / "real.mp3").read_bytes()[:2] == b"\xff\xf3"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_a_sentence(place: Path):
    """Half an hour of speech that found no room would end in a stack trace."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "app", "say", "Hello there."],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "disk full" in done.stderr


def test_two_that_write_one_file_leave_one_whole(place: Path):
    """Two at once would write into each other's sound, and leave a mixture of both."""
    words = ("say", "The same words are said twice, at the same time.", "-o", "one.wav")
    alone = refrain(place, *words[:-1], "alone.wav")
    runs = [threading.Thread(target=refrain, args=(place, *words)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert alone.returncode == 0
    assert (place / "one.wav").read_bytes()[44:] == (place / "alone.wav").read_bytes()[44:]
    assert [path.name for path in place.iterdir() if path.name.endswith(".part")] == []


def test_text_is_no_markup_of_the_terminal(place: Path):
    """A document with brackets in it would end the dry run in a stack trace, or lose words on the way."""
    (place / "doc.txt").write_text("He wrote [/b] and [red] with his own hand.")
    done = refrain(place, "plan", "doc.txt")
    assert done.returncode == 0, done.stderr
    assert "[/b] and [red]" in " ".join(done.stdout.split())


def test_input_that_is_no_utf_8_is_a_sentence(place: Path):
    """Whoever pipes in Latin-1 would not be told what is wrong with it."""
    done = refrain(place, "say", "-", "-o", "x.mp3", stdin=b"caf\xe9", text=False)
    assert done.returncode == 2
    assert b"Cannot read standard input as UTF-8" in done.stderr

"""Every sample is run as its reader would run it, against the default configuration and its neural voice."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import parse
from tests.http.hearing import heard
from tests.http.servers import ARTICLE, ROOT, Server

SAMPLES = ROOT / "samples"

# Sample, whether its server is given as base URL, what it is told to write, and what it then has written.
CLIENTS = [
    ("openai_sync.py", "/v1", "sync.mp3", ["sync.mp3"]),
    ("openai_async.py", "/v1", ".", ["first.wav", "second.wav"]),
    ("httpx_client.py", "", "httpx.opus", ["httpx.opus"]),
    ("curl.sh", "", "curl.mp3", ["curl.mp3"]),
    ("documents.py", "", ".", ["markdown.wav", "html.wav", "ssml.wav"]),
]


def run(sample: str, *arguments: str, folder: Path) -> str:
    """What it printed; it must have ended well and said nothing on standard error."""
    command = ["sh"] if sample.endswith(".sh") else [sys.executable]
    done = subprocess.run(
        [*command, str(SAMPLES / sample), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_sample_is_tested_here():
    """A sample that nobody runs is one that does not work."""
    run_here = {name for name, *_ in CLIENTS} | {"openai_streaming.py"}
    there = {path.name for path in SAMPLES.iterdir() if path.suffix in {".py", ".sh"}}
    assert there == run_here


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client[0])
def test_a_sample_runs(server: Server, tmp_path: Path, client: tuple[str, str, str, list[str]]):
    """A newcomer's first minute would end in an error."""
    sample, base, argument, written = client
    printed = run(sample, server.url + base, argument, folder=tmp_path)
    assert "wrote" in printed
    for name in written:
        said = heard(name.rpartition(".")[2], (tmp_path / name).read_bytes())
        assert 0.5 < said.audible < 10


@pytest.mark.parametrize(
    "paragraphs", [2, pytest.param(None, marks=pytest.mark.soak)], ids=["begun", "whole"]
)
def test_the_streaming_sample_speaks_the_article(server: Server, tmp_path: Path, paragraphs: int | None):
    """A newcomer would not hear how early sound comes; and what is said again must be there at once."""
    text = "\n\n".join(ARTICLE.split("\n\n")[:paragraphs])
    (tmp_path / "article.txt").write_text(text, encoding="utf-8")
    shutil.copy(SAMPLES / "openai_streaming.py", tmp_path)
    arguments = (f"{server.url}/v1", "article.mp3")
    for status in ("fwd=miss", "hit"):
        printed = run(str(tmp_path / "openai_streaming.py"), *arguments, folder=tmp_path)
        assert f"refrain; {status}" in printed
        assert re.search(r"first sound after \d+ ms", printed)
    said = heard("mp3", (tmp_path / "article.mp3").read_bytes())
    # Prose is spoken at 10 to 20 characters a second.
    assert len(text) / 20 < said.seconds < len(text) / 10


def test_the_sample_configuration_is_right():
    """Whoever copies it would be told that it is wrong."""
    text = (SAMPLES / "refrain.toml").read_text(encoding="utf-8")
    settings = parse(text, {})
    assert settings.server == parse("", {}).server
    assert settings.cache == parse("", {}).cache
    assert settings.chunking == parse("", {}).chunking


def test_the_browser_sample_asks_for_what_there_is(server: Server):
    """A page copied from it would not speak."""
    page = (SAMPLES / "browser.html").read_text(encoding="utf-8")
    paths = re.findall(r"\$\{server\}(/[a-z0-9/]+)", page)
    assert paths == ["/v1/audio/speech"]
    made = server.post(input="Hello from the browser.", voice="alloy", response_format="mp3")
    assert made.status_code == 200
    assert server.get(f"{made.headers['content-location']}.mp3", Range="bytes=0-").status_code == 206

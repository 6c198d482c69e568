"""The command line as a person meets it: real processes, exit codes, sentences."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import pytest

from tests.cli.commands import refrain
from tests.http.servers import Valkey
from tests.users.issuer import jwk, key_set

TONES = """
[providers.tones]
kind = "scripted"
price_per_million_chars = 10.0
[voices.default]
chain = [{ provider = "tones", voice = "low" }]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder whose default voice is the scripted one."""
    (tmp_path / "refrain.toml").write_text(TONES)
    return tmp_path


def seconds(path: Path) -> float:
    """Of sound in a file, decoded."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return sum(frame.samples for frame in container.decode(stream)) / stream.rate


def test_say_writes_a_file_of_the_format_that_its_name_says(folder: Path):
    """`refrain say -o x.flac` must not write mp3 under that name, nor leave a part of a file behind."""
    for name in ("hello.mp3", "hello.flac", "hello.wav"):
        done = refrain(folder, "say", "Hello there. This is a sentence.", "-o", name)
        assert done.returncode == 0, done.stderr
        assert f"Wrote {name}" in done.stderr
        assert seconds(folder / name) > 1.0
        with av.open(str(folder / name)) as container:
            assert container.duration is not None
            assert abs(container.duration / 1e6 - seconds(folder / name)) < 0.1
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".part") == []


def test_say_reads_standard_input_and_files_and_writes_to_a_pipe(folder: Path):
    """Scripts pipe text in and sound out; nothing but sound may be on standard output."""
    (folder / "text.txt").write_text("From a file. It has two sentences.")
    from_file = refrain(folder, "say", "@text.txt", "--format", "wav", text=False, stdin=b"")
    from_input = refrain(
        folder, "say", "-", "--format", "wav", text=False, stdin=b"From a file. It has two sentences."
    )
    assert from_file.returncode == from_input.returncode == 0
    assert from_file.stdout[:4] == b"RIFF"
    assert from_file.stdout[44:] == from_input.stdout[44:]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("say", "..."), 1, "Nothing"),
        (("say", "Hello.", "--voice", "nobody"), 1, "No such voice"),
        (("say", "Hello.", "--format", "midi"), 1, "Unknown format"),
        (("say", "@nowhere.txt"), 2, "Cannot read nowhere.txt"),
        (("say", "Hello.", "-o", "x.m4b"), 2, "No format is written as .m4b"),
        (("say", "Hello.", "-o", "no/such/folder/x.mp3"), 2, "Cannot write"),
        (("say", "Hello.", "--server", "http://127.0.0.1:9"), 1, "No whole answer"),
        (("say", "Hello.", "--config", "nowhere.toml"), 2, "no such file"),
        (("sing",), 2, "No such command"),
        (("plan", "nowhere.txt"), 2, "Cannot read"),
    ],
)
def test_errors_are_a_sentence_and_an_exit_code(folder: Path, words: tuple[str, ...], code: int, says: str):
    """A person needs to know what to do, and a script which of three ways it ended; never a stack trace."""
    done = refrain(folder, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    if says != "Nothing":
        assert says in done.stderr
    assert not [path for path in folder.iterdir() if path.suffix in {".mp3", ".part"}]


def test_config_check_reports_all_mistakes(folder: Path):
    """Exit code 2, every mistake, key and line."""
    (folder / "bad.toml").write_text("[server]\nport = 1000000\ncolour = 3\n")
    done = refrain(folder, "config", "check", "bad.toml")
    assert done.returncode == 2
    assert "2 mistakes" in done.stderr
    assert "line 2: server.port" in done.stderr
    assert "line 3: server.colour" in done.stderr
    assert refrain(folder, "config", "check").returncode == 0


def test_config_check_finds_what_a_server_would_not_start_with(folder: Path):
    """A configuration would be called good, be rolled out, and no server start."""
    (folder / "open.toml").write_text('[server]\nhost = "0.0.0.0"\n')
    done = refrain(folder, "config", "check", "open.toml")
    assert done.returncode == 2
    assert 'auth.mode: everybody who reaches 0.0.0.0 could speak at your cost; use "keys"' in done.stderr
    (folder / "open.toml").write_text('[server]\nhost = "0.0.0.0"\n[auth]\nmode = "open"\n')
    assert refrain(folder, "config", "check", "open.toml").returncode == 0


def test_config_check_takes_its_file_as_all_commands_do(folder: Path):
    """Whoever types --config as everywhere else would be told that there is no such option."""
    (folder / "bad.toml").write_text("[server]\nport = 1000000\n")
    done = refrain(folder, "config", "check", "--config", "bad.toml")
    assert (done.returncode, "line 2: server.port" in done.stderr) == (2, True)
    assert refrain(folder, "config", "check", "--config", "refrain.toml").returncode == 0
    both = refrain(folder, "config", "check", "bad.toml", "--config", "refrain.toml")
    assert (both.returncode, "Give the file once" in both.stderr) == (2, True)


def test_a_server_does_not_start_with_lifetimes_that_contradict_each_other(folder: Path):
    """It would run for a month before anybody noticed that nothing is ever made anew."""
    (folder / "bad.toml").write_text('[cache]\nttl = "1d"\nsoft_ttl = "7d"\n' + TONES)
    for words in (("config", "check"), ("serve", "--port", "0")):
        done = refrain(folder, *words, "--config", "bad.toml")
        assert (done.returncode, "line 3: cache.soft_ttl" in done.stderr) == (2, True)


def test_warm_then_plan_shows_hits_and_costs(folder: Path):
    """Whoever warms a cache wants to see what it cost, and that doing it again costs nothing."""
    (folder / "doc.txt").write_text(
        "The first sentence stands here. The second sentence stands right behind it."
    )
    before = refrain(folder, "plan", "doc.txt")
    assert before.returncode == 0, before.stderr
    assert "2 chunks, 0 cached; 74 of 74 characters to be made, at a cost of 0.00074" in before.stdout
    first = refrain(folder, "warm", "doc.txt")
    assert "0 chunks were cached, 2 made" in first.stdout, first.stderr
    assert "74 characters made, at a cost of 0.00074" in first.stdout
    again = refrain(folder, "warm", "doc.txt")
    assert "2 chunks were cached, 0 made" in again.stdout
    assert "2 chunks, 2 cached; 0 of 74 characters to be made" in refrain(folder, "plan", "doc.txt").stdout


def test_warm_by_lines_goes_on_past_a_bad_one(folder: Path):
    """One line that cannot be spoken must not keep the other prompts out of the cache."""
    (folder / "prompts.txt").write_text("Please hold the line.\n...\nAll our agents are busy.\n")
    done = refrain(folder, "warm", "--lines", "prompts.txt")
    assert done.returncode == 1
    assert "2 texts in mp3: 0 chunks were cached, 2 made" in done.stdout
    assert "1 of the texts failed. Text 2: The text has nothing" in done.stderr


def test_voices_and_doctor(folder: Path):
    """The first things that an operator types."""
    listed = refrain(folder, "voices", "--all")
    assert listed.returncode == 0
    assert "tones:low" in listed.stdout
    healthy = refrain(folder, "doctor")
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    assert healthy.stdout.count("ok") >= 9
    sick = refrain(folder, "doctor", "--config", "sick.toml")
    assert sick.returncode == 2
    (folder / "sick.toml").write_text('[redis]\nurl = "redis://127.0.0.1:9/0"\n' + TONES)
    sick = refrain(folder, "doctor", "--config", "sick.toml")
    assert sick.returncode == 1
    assert "does not answer" in sick.stdout
    assert "takes and gives entries" in sick.stdout


def test_doctor_looks_where_users_are(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """Every key would be refused, for want of their own Redis or of rights, and all be said to be well."""
    valkey = Valkey(tmp_path_factory.mktemp("valkey"))
    valkey.command("ACL", "SETUSER", "cache", "on", ">x", "~refrain:*", "&*", "+@all")
    url = f"unix://cache:x@{valkey.socket}"
    try:
        for redis, said in (
            (f'url = "{url}"', "store keys and limits"),
            (f'url = "{url}"\nusers_url = "{url}"', "store keys and limits"),
            ('users_url = "redis://127.0.0.1:9/0"', "does not answer; is it running, and is redis.users_url"),
        ):
            (folder / "sick.toml").write_text(f"[redis]\n{redis}\n{TONES}")
            sick = refrain(folder, "doctor", "--config", "sick.toml")
            assert sick.returncode == 1
            assert said in " ".join(sick.stdout.split())
        (folder / "well.toml").write_text(f'[redis]\nurl = "{url}"\nusers_url = "{valkey.url}"\n{TONES}')
        well = refrain(folder, "doctor", "--config", "well.toml")
        assert well.returncode == 0, well.stdout + well.stderr
    finally:
        valkey.stop()


@pytest.mark.parametrize(
    ("body", "algorithms", "code", "said"),
    [
        (key_set(jwk()), ["RS256"], 0, "1 that can be used"),
        (key_set(jwk()), ["RS256", "ES256"], 0, "none is for ES256"),
        (key_set(jwk()), ["ES256"], 1, "none is for ES256"),
        (b"<html>", ["RS256"], 1, "cannot be had (not a set of keys)"),
    ],
)
def test_doctor_fetches_the_keys_of_tokens(
    folder: Path, body: bytes, algorithms: list[str], code: int, said: str
):
    """Everybody would be refused, one by one, and nobody but the issuer's page say why."""

    class Published(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Published) as issuer:
        threading.Thread(target=issuer.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{issuer.server_port}/keys"
        rules = f'jwks_url = "{url}"\nalgorithms = {json.dumps(algorithms)}\naudience = "refrain"'
        (folder / "issued.toml").write_text(f'[auth]\nmode = "jwt"\n[auth.jwt]\n{rules}\n{TONES}')
        done = refrain(folder, "doctor", "--config", "issued.toml")
    assert done.returncode == code, done.stdout
    assert said in " ".join(done.stdout.split())

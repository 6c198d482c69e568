"""What the commands take texts for, by option or by the file's name; and the dry run as people and scripts see it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.wish import Wish
from tests.cli.commands import refrain
from tests.cli.test_cli import TONES
from tests.http.servers import Server

WORDS = "Nothing but these words is spoken."
WRITTEN = {
    "doc.md": f"**Nothing** but [these words](https://example.org/x) is *spoken*.\n\n<!-- {WORDS} -->\n",
    "doc.html": f"<p>Nothing&nbsp;but <b>these</b> words is spoken.</p><script>{WORDS}</script>",
    "doc.ssml": "<speak>Nothing but <emphasis>these words</emphasis> is spoken.</speak>",
    "doc.txt": WORDS,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working folder whose default voice is the scripted one."""
    (tmp_path / "refrain.toml").write_text(TONES)
    return tmp_path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the same voice."""
    running = Server(tmp_path_factory.mktemp("server"), TONES)
    yield running
    running.stop()


def planned(done: "subprocess.CompletedProcess") -> list[str]:
    """The texts of the chunks, from `--json`."""
    assert done.returncode == 0, done.stderr
    return [chunk["text"] for chunk in json.loads(done.stdout)["chunks"]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.md", "markdown"), ("A.MARKDOWN", "markdown"), ("a.html", "html"), ("b/a.htm", "html"), ("a.ssml", "ssml"),
        ("a.b.xml", "ssml"), ("a.txt", "text"), ("a", "text"), ("-", "text"), (".md", "text"), ("a.md/b", "text"),
    ],
)  # fmt: skip
def test_endings(name: str, kind: str):
    """A document would be read as something else than it is."""
    assert Wish("default", None, None, None).type_of(name) == kind
    assert Wish("default", None, "html", None).type_of(name) == "html"


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_is_read_as_its_name_ends(place: Path, name: str):
    """Asterisks and tags would be spoken, and paid for."""
    (place / name).write_text(WRITTEN[name])
    assert [text.replace("\u00a0", " ") for text in planned(refrain(place, "plan", name, "--json"))] == [
        WORDS
    ]


def test_the_option_is_believed_before_the_name(place: Path):
    """A page that was saved under another name could not be spoken; nor could the source of one."""
    (place / "page.txt").write_text(WRITTEN["doc.html"])
    assert planned(refrain(place, "plan", "page.txt", "--json", "--input-type", "html")) == [WORDS]
    (place / "doc.md").write_text("2 * 3 * 4 is twenty-four.")
    (text,) = planned(refrain(place, "plan", "doc.md", "--json", "--input-type", "text"))
    assert text == "2 * 3 * 4 is twenty-four."
    piped = refrain(place, "plan", "-", "--json", "--input-type", "markdown", stdin=WRITTEN["doc.md"])
    assert planned(piped) == [WORDS]


def test_the_same_words_are_warm_however_they_are_written(place: Path, server: Server):
    """Who warms Markdown and says HTML, here or by a server, would wait for and pay for the same words again."""
    for name in ("doc.md", "doc.html", "doc.txt"):
        (place / name).write_text(WRITTEN[name])
    first = refrain(place, "warm", "doc.md", "doc.txt", "--concurrency", "1")
    assert "2 texts in mp3: 1 chunks were cached, 1 made" in first.stdout, first.stderr
    said = refrain(place, "say", "@doc.html", "-o", "said.mp3")
    assert said.returncode == 0, said.stderr
    assert "1 chunks, 1 cached" in refrain(place, "plan", "doc.html").stdout
    there = refrain(place, "say", "@doc.html", "-o", "there.mp3", "--server", server.url)
    assert there.returncode == 0, there.stderr
    assert (place / "said.mp3").read_bytes() == (place / "there.mp3").read_bytes()


def test_the_language_is_the_texts(place: Path, server: Server):
    """An operator's German words would be said in English, by the command line or by the server behind it."""
    german = '[pronunciation.de]\n"kW" = "Kilowatt"\n'
    (place / "refrain.toml").write_text(TONES + german)
    (place / "doc.txt").write_text("Es sind 5 kW.")
    assert planned(refrain(place, "plan", "doc.txt", "--json")) == ["Es sind 5 kW."]
    spoken = planned(refrain(place, "plan", "doc.txt", "--json", "--language", "de-CH"))
    assert spoken == ["Es sind 5 Kilowatt."]
    sounds = []
    for words in ((), ("--language", "de"), ("--language", "de", "--server", server.url)):
        done = refrain(place, "say", "@doc.txt", "-o", "x.mp3", *words)
        assert done.returncode == 0, done.stderr
        sounds.append((place / "x.mp3").read_bytes())
    assert sounds[0] != sounds[1]  # the tone is by the text as it is said
    assert sounds[0] == sounds[2]  # that server knows no such word, and is told no other text


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("plan", "doc.txt", "--language", "x_y"), 2, 'write a tag such as "en" or "pt-BR"'),
        (("say", "@doc.txt", "--input-type", "latex"), 2, "'latex' is not one of"),
        (("plan", "bad.ssml"), 1, "line 2"),
        (("warm", "doc.txt", "bad.ssml"), 1, "1 of the texts failed. Text 2:"),
    ],
)
def test_what_cannot_be_is_a_sentence(place: Path, words: tuple[str, ...], code: int, says: str):
    """A person would read a stack trace, or nothing at all."""
    (place / "doc.txt").write_text(WORDS)
    (place / "bad.ssml").write_text("<speak>One.\n<audio src='x'/></speak>")
    done = refrain(place, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert says in " ".join(done.stderr.split())


LONG = "The second sentence is so long that no terminal of eighty columns can show the whole of it on a line."


def test_the_dry_run_shows_sentences(place: Path):
    """Who wonders why a text sounds as it does could not see where it is cut, nor what is said instead of what."""
    (place / "refrain.toml").write_text(f'{TONES}[pronunciation.any]\nnginx = "engine x"\n')
    (place / "doc.txt").write_text(f"About nginx\n\nHi. Ho. {LONG}")
    shown = refrain(place, "plan", "doc.txt").stdout
    lines = shown.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    texts = [line[lines[0].index("text") :].strip() for line in lines]
    assert texts[1:3] == ["About nginx", "= About engine x"]
    assert texts[3:5] == ["Hi.", "Ho."]
    assert texts[5].startswith("The second sentence")
    assert texts[5].endswith("…")
    (row,) = [line for line in lines if "About nginx" in line]
    assert row.split()[:6] == ["1", "14", "no", "0.6", "s", "tones"]


def test_the_dry_run_shows_markup(place: Path):
    """Who asks for emphasis could not see whether the voice is told."""
    (place / "refrain.toml").write_text(TONES.replace("price_", 'ssml = "emphasis"\nprice_'))
    (place / "doc.ssml").write_text("<speak>Take <emphasis>this</emphasis> now.</speak>")
    shown = " ".join(refrain(place, "plan", "doc.ssml").stdout.split())
    assert "Take this now. = Take <emphasis>this</emphasis> now." in shown


def test_json_is_what_the_server_answers(place: Path, server: Server):
    """A script that was written for one would not understand the other."""
    (place / "doc.txt").write_text(f"A heading\n\nHi. {LONG}")
    done = refrain(place, "plan", "doc.txt", "--json")
    assert done.returncode == 0, done.stderr
    there = server.client.post("/v1/speech/plan", json={"input": (place / "doc.txt").read_text()})
    assert json.loads(done.stdout) == there.json()
    assert len(there.json()["chunks"]) == 2

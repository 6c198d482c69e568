"""Whether the words are still there behind the whole pipeline, as a speech recogniser hears them."""

import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hibari import Hibari

from app.audio.rate import Resampler
from tests.audio.sounds import Samples
from tests.http.hearing import DELAY, heard
from tests.http.servers import Server

SENTENCES: Final = (
    "The boats came back to the harbour before dark.",
    "She put the letters back into the drawer and locked it.",
    "We walked along the river until it started to rain.",
    "Nobody in the village had seen the old man since winter.",
    "The children were playing in the garden behind the house.",
    "He opened the window because the room was very warm.",
    "My sister bought a small farm near the mountains last year.",
    "The train was late and the station was almost empty.",
    "They talked about the weather and then about the war.",
    "A good teacher listens more than he speaks.",
    "The doctor told him to stay in bed for another week.",
    "There was a light on in the kitchen when I came home.",
    "The president will speak to the nation on Sunday evening.",
    "I have never been to a country where it does not snow.",
    "The company sold more than a million books that summer.",
    "Her father worked in the mines for most of his life.",
    "Please leave your coat and your shoes by the door.",
    "The water in the lake was so clear that we saw the bottom.",
    "It takes about an hour to get from here to the airport.",
    "The police said that they had found the missing car.",
    "Most of the people in the town voted against the plan.",
    "He wrote a long letter to his mother every month.",
    "The road to the north was closed because of the storm.",
    "We do not know how the fire in the church began.",
)
WORST: Final = 2.0  # points that the pipeline may add


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command, in an environment made for it: it is no part of the project."""
    home = tmp_path_factory.mktemp("recogniser")
    python = home / "bin" / "python"
    make = [[sys.executable, "-m", "venv", str(home)], [str(python), "-m", "pip", "install", "pocketsphinx"]]
    for command in make:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("pocketsphinx cannot be installed here")
    return [str(python), str(Path(__file__).with_name("recogniser.py"))]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Refrain as it comes: the default voice, mp3 at 64 kbit/s."""
    running = Server(tmp_path_factory.mktemp("refrain"), "")
    yield running
    running.stop()


def _error_rate(recogniser: list[str], sounds: list[tuple[Samples, int]], home: Path) -> float:
    """Wrong, missing and added words for each hundred, over all sentences."""
    home.mkdir()
    files = [str(home / f"{number}.wav") for number in range(len(sounds))]
    for file, (sound, rate) in zip(files, sounds, strict=True):
        _write(file, sound, rate)
    done = subprocess.run([*recogniser, *files], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    wrong = sum(_distance(_words(said), line.split()) for said, line in zip(SENTENCES, lines, strict=True))
    return 100 * wrong / sum(len(_words(said)) for said in SENTENCES)


def _write(path: str, sound: Samples, rate: int) -> None:
    resampler = Resampler(rate, 16_000)
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.concatenate((resampler.push(sound), resampler.finish())).tobytes())


def _words(text: str) -> list[str]:
    return text.lower().rstrip(".").split()


def _distance(said: list[str], found: list[str]) -> int:
    """Levenshtein's, in words."""
    row = list(range(len(found) + 1))
    for word in said:
        last, row[0] = row[0], row[0] + 1
        for at, other in enumerate(found, 1):
            last, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, last + (word != other))
    return row[-1]


def _raw() -> list[tuple[Samples, int]]:
    voice = Hibari(threads=1)
    waves = (np.asarray(voice(text, seed=1)).reshape(-1) for text in SENTENCES)
    return [(np.asarray(np.clip(wave, -1, 1) * 32_767, np.int16), 24_000) for wave in waves]


def _through_the_pipeline(server: Server) -> list[tuple[Samples, int]]:
    """Joined, with pauses between paragraphs; cut again where its own report says that clips meet."""
    text = "\n\n".join(" ".join(SENTENCES[at : at + 4]) for at in range(0, len(SENTENCES), 4))
    answer = server.post(input=text, stream_format="sse")
    last = json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))
    seconds = [chunk["seconds"] for chunk in last["refrain"]["chunks"]]
    assert len(seconds) == len(SENTENCES), "each sentence is a chunk"
    said = heard("mp3", server.post(input=text).content)
    at = DELAY["mp3"] / 24_000
    parts = []
    for length in seconds:
        part = said.stretch(at, at + length).sound
        parts.append((np.asarray(np.clip(part * 32_768, -32_768, 32_767), np.int16), said.rate))
        at += length
    return parts


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_words_are_still_there(
    recogniser: list[str], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Trimmed beginnings, clipped peaks or a codec's mush would cost listeners words, and no other test hears it."""
    engine = _error_rate(recogniser, _raw(), tmp_path / "engine")
    pipeline = _error_rate(recogniser, _through_the_pipeline(server), tmp_path / "pipeline")
    with capsys.disabled():
        sys.stdout.write(
            f"\nword error rate: engine {engine:.1f} %, mp3 through the pipeline {pipeline:.1f} %\n"
        )
    assert engine < 25, "the recogniser hears no speech: nothing can be said of the pipeline"
    assert pipeline <= engine + WORST


def test_wrong_words_are_counted():
    """The figures of the test before this one would be about nothing."""
    said = ["the", "boats", "came", "back"]
    assert _distance(said, said) == 0
    assert _distance(said, ["the", "goats", "came"]) == 2
    assert _distance(said, []) == 4
    assert _distance(said, ["now", "the", "boats", "came", "right", "back"]) == 2

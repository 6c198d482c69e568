"""What Google answers."""

import base64
import io
import json
import wave

from providers.tones import tone_pcm
from tests.providers.vendor_server import Reply, Request

LISTING = b"""{"voices": [{"languageCodes": ["en-US"], "name": "en-US-Neural2-A", "ssmlGender": "MALE",
"naturalSampleRateHertz": 24000}]}"""
JSON = (("content-type", "application/json; charset=UTF-8"),)


def answer(request: Request) -> Reply:
    """The tone asked for as a WAV in JSON, or the list of voices."""
    if request.method == "GET":
        return Reply(headers=JSON, body=LISTING)
    asked = request.body
    said = asked["input"].get("text") or asked["input"]["ssml"]
    sound = wav(tone_pcm(said, asked["voice"]["name"]))
    return Reply(headers=JSON, body=json.dumps({"audioContent": base64.b64encode(sound).decode()}).encode())


def wav(pcm: bytes) -> bytes:
    """At 24 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(24_000)
        written.writeframes(pcm)
    return file.getvalue()

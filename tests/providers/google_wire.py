"""What Google answers."""

import base64
import io
import json
import re
import wave

from defusedxml import ElementTree

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
    told: dict[str, object] = {}
    if "enableTimePointing" in asked:
        marks = re.findall('<mark name="(.+?)"/>', said)
        said = "".join(ElementTree.fromstring(said).itertext())
        step = 0.06 * len(said) / len(marks)
        # As JSON of Google's has it: what is nought is left out.
        points = [{"markName": mark, "timeSeconds": step * place} for place, mark in enumerate(marks)]
        points[0].pop("timeSeconds")
        told["timepoints"] = points
    sound = wav(tone_pcm(said, asked["voice"]["name"]))
    told["audioContent"] = base64.b64encode(sound).decode()
    return Reply(headers=JSON, body=json.dumps(told).encode())


def wav(pcm: bytes) -> bytes:
    """At 24 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(24_000)
        written.writeframes(pcm)
    return file.getvalue()

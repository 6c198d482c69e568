"""What Polly answers."""

import json

from providers.tones import tone_pcm
from tests.providers.vendor_server import Reply, Request

LISTING = b"""{"Voices": [{"Id": "Joanna", "Name": "Joanna", "LanguageCode": "en-US", "Gender": "Female",
"SupportedEngines": ["neural", "standard"]}]}"""
SENTENCE = {"time": 0, "type": "sentence", "start": 0, "end": 9, "value": "The canary"}
WORDS = [("The", 6), ("canary", 250)]


def answer(request: Request) -> Reply:
    """The tone asked for, words' times, or the list of voices."""
    if request.method == "GET":
        return Reply(body=LISTING)
    asked = request.body
    if asked["OutputFormat"] == "json":
        marks = [SENTENCE, *({"time": time, "type": "word", "value": word} for word, time in WORDS)]
        lines = b"\n".join(json.dumps(mark).encode() for mark in marks)
        return Reply(headers=(("content-type", "application/x-json-stream"),), body=lines)
    head = (("content-type", "audio/pcm"), ("x-amzn-requestcharacters", str(len(asked["Text"]))))
    return Reply(
        headers=head, body=tone_pcm(asked["Text"], asked["VoiceId"], sample_rate=int(asked["SampleRate"]))
    )

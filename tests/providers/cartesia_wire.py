"""What Cartesia answers."""

import base64
import json
from itertools import pairwise

from providers.tones import tone_pcm
from tests.providers.vendor_server import Reply, Request

LISTING = b'{"data": [{"id": "v1", "name": "Barbershop Man", "language": "en"}], "has_more": false}'
WORDS = {
    "type": "timestamps",
    "word_timestamps": {"words": ["The", "canary"], "start": [0.0, 0.2], "end": [0.2, 0.7]},
}


def answer(request: Request) -> Reply:
    """The tone asked for, alone or in events, or the list of voices."""
    if request.method == "GET":
        return Reply(body=LISTING)
    asked = request.body
    speed = asked.get("generation_config", {}).get("speed", 1.0)
    sound = tone_pcm(asked["transcript"], asked["voice"]["id"], speed=speed)
    if request.path == "/tts/bytes":
        return Reply(body=sound)
    cuts = [*range(0, len(sound), 4_801), len(sound)]
    events = [{"type": "chunk", "data": base64.b64encode(sound[a:b]).decode()} for a, b in pairwise(cuts)]
    events[1:1] = [WORDS]  # type: ignore[list-item]
    return Reply(
        headers=(("content-type", "text/event-stream"),), body=sse([*events, {"type": "done", "done": True}])
    )


def sse(events: list[dict[str, object]]) -> bytes:
    """Events as they are sent."""
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(one["type"]).encode(), json.dumps(one).encode()) for one in events
    )

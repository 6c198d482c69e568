"""What a server with OpenAI's wire answers."""

from providers.tones import tone_pcm
from tests.providers.vendor_server import Reply, Request

LISTING = b'{"voices": [{"id": "alloy", "name": "Alloy", "language": "en"}, "plain"]}'


def answer(request: Request) -> Reply:
    """The tone asked for, or the list of voices."""
    asked = request.body
    if asked is None:
        return Reply(body=LISTING)
    voice = asked["voice"] if isinstance(asked["voice"], str) else asked["voice"]["id"]
    return Reply(body=tone_pcm(asked["input"], voice, speed=asked.get("speed", 1.0)))

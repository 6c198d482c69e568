"""What piper's own HTTP server answers: a WAV that is called a page."""

from providers.tones import tone_pcm
from tests.providers.google_wire import wav
from tests.providers.vendor_server import Reply, Request

LISTING = b'{"en_US-joe-medium": {"language": {"code": "en_US"}, "audio": {"sample_rate": 22050}}}'


def answer(request: Request) -> Reply:
    """The tone asked for, or the list of voices."""
    if request.method == "GET":
        return Reply(headers=(("content-type", "application/json"),), body=LISTING)
    asked = request.body
    tone = tone_pcm(asked["text"], asked["voice"], speed=1 / asked.get("length_scale", 1.0))
    return Reply(headers=(("content-type", "text/html; charset=utf-8"),), body=wav(tone))

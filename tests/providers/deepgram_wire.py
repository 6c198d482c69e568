"""What Deepgram answers."""

from providers.tones import tone_pcm
from tests.providers.vendor_server import Reply, Request

LISTING = b"""{"stt": [], "tts": [{"name": "thalia", "canonical_name": "aura-2-thalia-en", "architecture": "aura-2",
"languages": ["en", "en-US"], "version": "2025-04-15"}]}"""
TOKEN = b'{"api_key_id": "k", "scopes": ["usage:write"]}'


def answer(request: Request) -> Reply:
    """The tone asked for, the models, or whose key it is."""
    match request.path:
        case "/v1/models":
            return Reply(body=LISTING)
        case "/v1/auth/token":
            return Reply(body=TOKEN)
        case _:
            text = request.body["text"]
            head = (("content-type", "audio/l16"), ("dg-char-count", str(len(text))))
            return Reply(headers=head, body=tone_pcm(text, request.query["model"]))

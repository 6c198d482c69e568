"""What ElevenLabs answers: lines of sound and times, sound alone, its voices in pages, its account."""

import base64
import json
from collections.abc import Iterator

from providers.tones import contained, tone_pcm
from tests.providers.vendor_server import Reply, Request

JSON = (("content-type", "application/json"),)
HEADERS = (
    ("character-cost", "12"),
    ("current-concurrent-requests", "2"),
    ("maximum-concurrent-requests", "10"),
    ("request-id", "r1"),
)
PAGES = {
    None: {
        "voices": [{"voice_id": "one", "name": "One", "labels": {"language": "en", "accent": "british"}}],
        "has_more": True,
        "next_page_token": "second",
    },
    "second": {
        "voices": [{"voice_id": "two", "name": None, "labels": None}],
        "has_more": False,
        "next_page_token": None,
    },
}
PACE = 0.06


def answer(request: Request) -> Reply:
    """The tone asked for, in the format and on the route asked for; or a page of voices; or the account."""
    if request.path == "/v2/voices":
        return Reply(200, JSON, json.dumps(_page(request)).encode())
    if request.path == "/v1/user":
        account = {"character_count": 1_234, "character_limit": 100_000}
        return Reply(200, JSON, json.dumps({"subscription": account}).encode())
    codec, rate = request.query["output_format"].split("_")[:2]
    asked = request.body
    speed = asked.get("voice_settings", {}).get("speed", 1.0)
    voice = request.path.split("/")[3]
    pcm = tone_pcm(asked["text"], voice, speed=speed, sample_rate=int(rate))
    sound = contained(codec, pcm, int(rate))  # type: ignore[arg-type]
    if request.path.endswith("/with-timestamps"):
        return Reply(200, (*JSON, *HEADERS), lines(asked["text"], sound, PACE / speed))
    return Reply(200, (("content-type", "audio/mpeg"), *HEADERS), sound)


def _page(request: Request) -> dict[str, object]:
    return PAGES.get(request.query.get("next_page_token"), PAGES["second"])


def lines(text: str, sound: bytes, pace: float = PACE) -> bytes:
    """Sound in pieces of about a second, each with some of the characters; a blank line, and a last one without any."""
    return b"\n".join(_lines(text, sound, pace)) + b"\n\n" + line(b"") + b"\n"


def _lines(text: str, sound: bytes, pace: float) -> Iterator[bytes]:
    for at in range(0, max(len(sound), 1), 48_000):
        first, behind = (len(text) * edge // len(sound) for edge in (at, min(at + 48_000, len(sound))))
        yield line(sound[at : at + 48_000], text[first:behind], first, pace)


def line(sound: bytes, characters: str = "", first: int = 0, pace: float = PACE) -> bytes:
    """One line: sound, and characters of which the first one is the text's `first`."""
    places = range(first, first + len(characters))
    times = {
        "characters": [*characters],
        "character_start_times_seconds": [round(place * pace, 3) for place in places],
        "character_end_times_seconds": [round((place + 1) * pace, 3) for place in places],
    }
    alignment = times if characters else None
    said = {"audio_base64": base64.b64encode(sound).decode(), "alignment": alignment}
    return json.dumps(said | {"normalized_alignment": alignment}).encode()

"""What Azure answers."""

from defusedxml import ElementTree

from providers.tones import tone_pcm
from tests.providers.vendor_server import Reply, Request

LISTING = b"""[{"Name": "x", "DisplayName": "Jenny", "ShortName": "en-US-JennyNeural", "Locale": "en-US",
"SampleRateHertz": "24000", "VoiceType": "Neural"}]"""
SPACE = "{http://www.w3.org/2001/10/synthesis}"


def answer(request: Request) -> Reply:
    """The tone asked for, or the list of voices."""
    if request.method == "GET":
        return Reply(body=LISTING)
    root = ElementTree.fromstring(request.raw.decode())
    voice = root.find(f"{SPACE}voice")
    assert voice is not None
    return Reply(body=tone_pcm("".join(root.itertext()), voice.get("name", "")))

"""Azure's wire: what is sent, and what becomes of its own answers. Faults in general: test_faults.py."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from defusedxml import ElementTree

from providers import errors
from providers.azure import Azure, classify
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from tests.providers import azure_wire
from tests.providers.vendor_server import Reply, VendorServer, vendor_server

TEXT = 'Jazz & <blues> "live".'
VOICE = ProviderVoice("wire", "en-US-JennyNeural")
SPACE = "{http://www.w3.org/2001/10/synthesis}"
Make = Callable[..., Azure]


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(azure_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Make]:
    """Providers of that server, closed at the end."""
    made: list[Azure] = []

    def one(**options: str) -> Azure:
        settings = ProviderSettings(
            "wire", "azure", api_key="k", base_url=server.url, options=tuple(options.items())
        )
        made.append(Azure(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: Azure, voice: ProviderVoice = VOICE, **more: Any) -> str:
    """Read to the end; how the sound came."""
    async with provider.speak(Utterance(TEXT, voice, **more)) as sound:
        async for _ in sound.pieces:
            pass
        return sound.encoding


async def test_the_request(server: VendorServer, make: Make) -> None:
    """A plain text's ampersand makes the vendor refuse all of it, or worse, markup out of somebody's text."""
    assert await heard(make()) == "pcm_s16le"
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("POST", "/cognitiveservices/v1")
    assert sent.headers["ocp-apim-subscription-key"] == "k"
    assert sent.headers["content-type"] == "application/ssml+xml"
    assert sent.headers["x-microsoft-outputformat"] == "raw-24khz-16bit-mono-pcm"
    assert sent.headers["user-agent"] == "Refrain"
    root = ElementTree.fromstring(sent.raw.decode())
    assert [node.tag for node in root.iter()] == [f"{SPACE}speak", f"{SPACE}voice"]
    assert root[0].get("name") == "en-US-JennyNeural"
    assert root[0].text == TEXT


async def test_how_it_is_said(server: VendorServer, make: Make) -> None:
    """Speed, style and pitch would silently do nothing if they were written where the vendor does not look."""
    settings = (("pitch", "+5%"), ("style", "chat"), ("style_degree", "1.5"))
    await heard(make(), ProviderVoice("wire", "en-US-JennyNeural", None, settings), speed=1.25)
    voice = ElementTree.fromstring(server.requests[0].raw.decode())[0]
    express = voice[0]
    assert express.tag == "{http://www.w3.org/2001/mstts}express-as"
    assert dict(express.attrib) == {"style": "chat", "styledegree": "1.5"}
    assert dict(express[0].attrib) == {"pitch": "+5%", "rate": "+25.00%"}


async def test_a_multilingual_voice_is_told_the_language(server: VendorServer, make: Make) -> None:
    """German read by an English voice that could have spoken German."""
    await heard(make(), ProviderVoice("wire", "en-US-AvaMultilingualNeural"), language="de-DE")
    await heard(make(), ProviderVoice("wire", "en-US-AvaMultilingualNeural"), language="en")
    told, same = (ElementTree.fromstring(one.raw.decode())[0] for one in server.requests)
    assert told[0].get("{http://www.w3.org/XML/1998/namespace}lang") == "de-DE"
    assert not list(same)


def test_what_is_billed(make: Make) -> None:
    """A budget that is spent by characters of text would be overdrawn by Chinese, and by a faster pace."""
    for text, speed, billed in (("Hello.", 1.0, 6), ("\u4f60\u597d.", 1.0, 5), ("Hi", 2.0, 37)):
        utterance = Utterance(text, VOICE, speed)
        # Of the last: <prosody rate="+100.00%">Hi</prosody>
        assert make().capabilities(VOICE).cost(utterance) == pytest.approx(billed * 15 / 1e6)


async def test_files_by_request(server: VendorServer, make: Make) -> None:
    """Who pays for bandwidth asks for MP3."""
    assert await heard(make(response_format="mp3")) == "file"
    assert server.requests[0].headers["x-microsoft-outputformat"] == "audio-24khz-96kbitrate-mono-mp3"


def test_what_it_can_do(make: Make) -> None:
    """Prices go by the voice; ten minutes of sound are never passed, where the vendor cuts without a word."""
    able = make().capabilities(VOICE)
    assert able.price == 15
    assert able.languages == {"en"}
    assert make().capabilities(ProviderVoice("wire", "en-US-AvaMultilingualNeural")).languages is None
    assert able.limits[0].count("a&b", None) == 7
    assert make().capabilities(ProviderVoice("wire", "en-US-Ava:DragonHDLatestNeural")).price == 30


ROWS: dict[str, tuple[int, bytes, type[errors.ProviderError]]] = {
    "bad": (400, b"", errors.BadRequest),
    "voice": (400, b"Unsupported voice en-US-X.", errors.BadVoice),
    "key": (401, b"", errors.BadCredentials),
    "media type": (415, b"", errors.BadRequest),
    "moment": (429, b"Too many requests", errors.RateLimited),
    "month": (429, b"Quota Exceeded", errors.QuotaExceeded),
    "gateway": (502, b"", errors.Unavailable),
    "down": (503, b"", errors.Unavailable),
}


@pytest.mark.parametrize("row", ROWS)
def test_refusals(row: str) -> None:
    """A fault in the wrong class is retried for ever, or never, or closes the account's circuit."""
    status, body, expected = ROWS[row]
    assert classify(status, {}, body) is expected


async def test_the_status_line_is_read(server: VendorServer, make: Make) -> None:
    """Its bodies are often empty: what is wrong stands in the status line alone."""
    server.replies.append(Reply(429, body=b"", reason="Quota Exceeded"))
    with pytest.raises(errors.QuotaExceeded):
        await heard(make())


async def test_its_voices(make: Make) -> None:
    """`refrain voices` shows what can be put into a chain."""
    assert [(one.id, one.name, one.language) for one in await make().voices()] == [
        ("en-US-JennyNeural", "Jenny", "en-US")
    ]


def test_a_place_is_needed() -> None:
    """Without a region there is nobody to ask."""
    bare = ProviderSettings("wire", "azure", api_key="k")
    assert KINDS["azure"].check(bare)
    assert KINDS["azure"].check(
        ProviderSettings("wire", "azure", api_key="k", options=(("region", "a.b/c"),))
    )
    assert not KINDS["azure"].check(
        ProviderSettings("wire", "azure", api_key="k", options=(("region", "westeurope"),))
    )

"""Cartesia's wire: what is sent, and what becomes of its own answers. Faults in general: test_faults.py."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from providers import errors
from providers.cartesia import Cartesia, classify
from providers.interface import ProviderSettings, ProviderVoice, Sound, Timing, Utterance
from providers.kinds import KINDS
from providers.tones import tone_pcm
from tests.providers import cartesia_wire
from tests.providers.cartesia_wire import sse
from tests.providers.vendor_server import Reply, VendorServer, vendor_server

TEXT = "The canary sings quietly at dawn."
MAN = ProviderVoice("wire", "v1")
Make = Callable[..., Cartesia]


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(cartesia_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Make]:
    """Providers of that server, closed at the end."""
    made: list[Cartesia] = []

    def one(**options: str) -> Cartesia:
        settings = ProviderSettings(
            "wire", "cartesia", api_key="k", base_url=server.url, options=tuple(options.items())
        )
        made.append(Cartesia(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: Cartesia, voice: ProviderVoice = MAN, **more: Any) -> tuple[Sound, bytes]:
    """Read to the end."""
    async with provider.speak(Utterance(TEXT, voice, **more)) as sound:
        return sound, b"".join([piece async for piece in sound.pieces])


async def test_the_request(server: VendorServer, make: Make) -> None:
    """What is not asked for is not sent: the vendor's own defaults are the voice's."""
    await heard(make())
    voice = ProviderVoice("wire", "v1", "sonic-3.5", (("emotion", "calm"), ("volume", "1.5")))
    await heard(make(response_format="mp3"), voice, speed=1.25, language="pt-BR")
    plain, full = server.requests
    assert (plain.method, plain.path) == ("POST", "/tts/bytes")
    assert plain.headers["authorization"] == "Bearer k"
    assert plain.headers["cartesia-version"] == "2026-08-14"
    assert plain.body == {
        "model_id": "sonic-3",
        "transcript": TEXT,
        "voice": {"mode": "id", "id": "v1"},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000},
    }
    assert full.body["model_id"] == "sonic-3.5"
    assert full.body["language"] == "pt"
    assert full.body["generation_config"] == {"volume": 1.5, "emotion": "calm", "speed": 1.25}
    assert full.body["output_format"] == {"container": "mp3", "sample_rate": 24_000, "bit_rate": 128_000}


async def test_words_are_timed(server: VendorServer, make: Make) -> None:
    """Captions light up words as they are spoken."""
    sound, body = await heard(make(timestamps="true"))
    assert server.requests[0].path == "/tts/sse"
    assert server.requests[0].body["add_timestamps"] is True
    assert body == tone_pcm(TEXT, "v1")
    assert list(sound.timings) == [Timing(0, 3, 0.0, 0.2), Timing(4, 10, 0.2, 0.7)]


BROKEN: dict[str, tuple[list[dict[str, object]], type[errors.ProviderError]]] = {
    "no end": ([{"type": "chunk", "data": "AAAA"}], errors.Unavailable),
    "an error": (
        [{"type": "error", "status_code": 429, "error_code": "concurrency_limited"}],
        errors.RateLimited,
    ),
    "no base64": ([{"type": "chunk", "data": "?"}], errors.BadAudio),
    "no sound at all": ([{"type": "chunk", "data": 7}, {"type": "done"}], errors.BadAudio),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_events(server: VendorServer, make: Make, case: str) -> None:
    """An error in the middle of a stream comes with status 200, and would be stored as the end of the sound."""
    events, expected = BROKEN[case]
    server.replies.append(Reply(headers=(("content-type", "text/event-stream"),), body=sse(events)))
    with pytest.raises(expected):
        await heard(make(timestamps="true"))


ROWS: dict[str, tuple[int, str, type[errors.ProviderError]]] = {
    "voice": (404, '{"error_code":null,"title":"Voice not found","message":"y"}', errors.BadVoice),
    "voice, old": (404, "Not found: no such voice", errors.BadVoice),
    "key": (401, '{"error_code":null,"message":"Invalid API key"}', errors.BadCredentials),
    "credit": (402, '{"error_code":null,"message":"y"}', errors.QuotaExceeded),
    "at once": (429, '{"error_code":"concurrency_limited"}', errors.RateLimited),
    "long": (413, "", errors.TooLong),
    "parameter": (400, '{"error_code":null,"message":"y"}', errors.BadRequest),
    "a text of credit": (400, '{"message":"quota exceeded, said the api key"}', errors.BadRequest),
    "down": (500, "Internal: error", errors.Unavailable),
    "unreadable": (400, "\x00", errors.BadRequest),
    "a list": (400, "[1]", errors.BadRequest),
}


@pytest.mark.parametrize("row", ROWS)
def test_refusals(row: str) -> None:
    """A fault in the wrong class is retried for ever, or never, or closes the account's circuit."""
    status, body, expected = ROWS[row]
    assert classify(status, {}, body.encode()) is expected


async def test_its_voices(server: VendorServer, make: Make) -> None:
    """Voices on the second page could not be found."""
    server.replies.append(Reply(body=b'{"data": [{"id": "v0", "name": "First"}], "has_more": true}'))
    assert [voice.id for voice in await make().voices()] == ["v0", "v1"]
    assert server.requests[1].query == {"limit": "100", "starting_after": "v0"}


def test_settings_are_checked() -> None:
    """Timestamps of an MP3 would be silently missing."""
    both = (("response_format", "mp3"), ("timestamps", "true"))
    assert KINDS["cartesia"].check(ProviderSettings("wire", "cartesia", api_key="k", options=both))
    assert not KINDS["cartesia"].check(ProviderSettings("wire", "cartesia", api_key="k"))
    assert KINDS["cartesia"].check(ProviderSettings("wire", "cartesia"))
    assert KINDS["cartesia"].check_voice(ProviderVoice("wire", "v1", None, (("volume", "9"),)))
    assert not KINDS["cartesia"].check_voice(ProviderVoice("wire", "v1", None, (("volume", "0.9"),)))

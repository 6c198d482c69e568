"""The OpenAI wire: what is sent, and what becomes of every answer that a server can give."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

import pytest

from providers import errors
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.openai import VOICES, OpenAI
from providers.openai_errors import refusal
from providers.tones import tone_pcm
from providers.wire import retry_after
from tests.providers.openai_server import PAGE, OpenAIServer, Reply, openai_server

TEXT = "A short sentence to say."
ALLOY = ProviderVoice("wire", "alloy")
JSON = (("content-type", "application/json"),)


@pytest.fixture
async def server() -> AsyncGenerator[OpenAIServer]:
    """A server of our own on a real socket."""
    async with openai_server() as running:
        yield running


@pytest.fixture
async def make(server: OpenAIServer) -> AsyncGenerator[Callable[..., OpenAI]]:
    """Providers of that server, closed at the end."""
    made: list[OpenAI] = []

    def one(**settings: object) -> OpenAI:
        base_url = settings.pop("base_url", server.url)
        made.append(OpenAI(ProviderSettings("wire", "openai", base_url=base_url, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: OpenAI, text: str = TEXT, **more: object) -> bytes:
    """All the sound."""
    async with provider.speak(Utterance(text, ALLOY, **more)) as sound:  # type: ignore[arg-type]
        return b"".join([piece async for piece in sound.pieces])


async def test_only_what_is_given_is_sent(server: OpenAIServer, make: Callable[..., OpenAI]) -> None:
    """Servers with strict bodies refuse fields that are null or at their default."""
    await heard(make(api_key="k"))
    await heard(make(options=(("model", "m"), ("response_format", "mp3"))), speed=1.5, instructions="Softly.")
    plain, full = server.requests
    assert plain.line == "POST /v1/audio/speech HTTP/1.1"
    assert plain.headers["authorization"] == "Bearer k"
    assert plain.headers["accept-encoding"] == "identity"
    assert plain.body == {"model": "tts-1", "input": TEXT, "voice": "alloy", "response_format": "pcm"}
    assert full.body["speed"] == 1.5
    assert full.body["instructions"] == "Softly."
    assert full.body["response_format"] == "mp3"
    assert "authorization" not in full.headers


FAULTS = {
    "429": (Reply(429, JSON, b'{"error": {"code": "rate_limit_exceeded"}}'), errors.RateLimited),
    "quota": (Reply(429, JSON, b'{"error": {"code": "insufficient_quota"}}'), errors.QuotaExceeded),
    "500": (Reply(500, JSON, b"{}"), errors.Unavailable),
    "html 502": (Reply(502, (("content-type", "text/html"),), PAGE), errors.Unavailable),
    "key": (
        Reply(401, JSON, b'{"error": {"message": "Incorrect API key provided: sk-x"}}'),
        errors.BadCredentials,
    ),
    "detail text": (Reply(422, JSON, b'{"detail": "Voice not found"}'), errors.BadVoice),
    "detail list": (
        Reply(422, JSON, b'{"detail": [{"loc": ["body", "voice"], "msg": "no", "type": "enum"}]}'),
        errors.BadVoice,
    ),
    "detail object": (
        Reply(400, JSON, b'{"detail": {"error": "validation", "message": "no"}}'),
        errors.BadRequest,
    ),
    "long": (
        Reply(400, JSON, b'{"error": {"message": "[{\'type\': \'string_too_long\'}]"}}'),
        errors.TooLong,
    ),
    "json 200": (Reply(200, JSON, b'{"ok": true}'), errors.BadAudio),
    "html 200": (Reply(200, (("content-type", "text/html"),), PAGE), errors.BadAudio),
    "empty 200": (Reply(200, body=b""), errors.BadAudio),
    "gzip": (Reply(200, (("content-encoding", "gzip"),), b"\x1f\x8b"), errors.BadAudio),
    "one byte short": (Reply(short=1), errors.Unavailable),
    "chunks cut": (Reply(chunked=True, cut=True), errors.Unavailable),
    "far too much": (Reply(body=bytes(6_000_000)), errors.BadAudio),
    "elsewhere": (Reply(302, (("location", "http://x/"),), b""), errors.BadRequest),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_become_the_tree(server: OpenAIServer, make: Callable[..., OpenAI], fault: str) -> None:
    """A fault in the wrong class is retried for ever, or never, or stored as sound."""
    reply, expected = FAULTS[fault]
    server.replies.append(reply)
    provider = make()
    with pytest.raises(errors.ProviderError) as caught:
        await heard(provider)
    assert type(caught.value) is expected
    assert await heard(provider) == tone_pcm(TEXT, "alloy")


async def test_chunked_sound_arrives_whole(server: OpenAIServer, make: Callable[..., OpenAI]) -> None:
    """Streaming servers announce no length; every byte must still come through."""
    server.replies.append(Reply(chunked=True))
    assert await heard(make()) == tone_pcm(TEXT, "alloy")


async def test_refused_connection(make: Callable[..., OpenAI]) -> None:
    """A server that is down is the commonest fault of all."""
    with pytest.raises(errors.Unavailable):
        await heard(make(base_url="http://127.0.0.1:1/v1"))


async def test_silence_of_the_server_is_a_time_out(server: OpenAIServer, make: Callable[..., OpenAI]) -> None:
    """A hung vendor would hold the listener for the whole deadline."""
    server.silent.clear()
    with pytest.raises(errors.TimedOut):
        await heard(make(first_byte_timeout=0.5))  # long enough for the request to arrive on a busy machine
    await asyncio.wait_for(server.requests[0].left.wait(), 5)


async def test_a_drip_runs_into_the_total(server: OpenAIServer, make: Callable[..., OpenAI]) -> None:
    """A vendor that stalls in the middle must not stall the listener with it."""
    server.hold.clear()
    with pytest.raises(errors.TimedOut):
        await heard(make(timeout=0.2))
    await asyncio.wait_for(server.requests[0].left.wait(), 5)


async def test_the_server_sees_who_leaves(server: OpenAIServer, make: Callable[..., OpenAI]) -> None:
    """A vendor goes on charging for a listener who left unless the connection is closed."""
    server.hold.clear()
    async with make().speak(Utterance(TEXT * 9, ALLOY)) as sound:
        await anext(sound.pieces)
        assert not server.requests[0].left.is_set()
    await asyncio.wait_for(server.requests[0].left.wait(), 5)


async def test_the_rate_the_server_names(server: OpenAIServer, make: Callable[..., OpenAI]) -> None:
    """Sound at 22,050 Hz taken for 24,000 is too fast and too high."""
    server.replies.append(Reply(headers=(("content-type", "audio/pcm"), ("x-sample-rate", "22050"))))
    async with make().speak(Utterance(TEXT, ALLOY)) as sound:
        assert sound.sample_rate == 22_050


async def test_voices_of_the_server_or_the_thirteen(
    server: OpenAIServer, make: Callable[..., OpenAI]
) -> None:
    """OpenAI itself has no list of voices; others list theirs in two forms."""
    assert [voice.id for voice in await make().voices()] == ["alloy", "plain"]
    server.replies.append(Reply(404, JSON, b"{}"))
    assert [voice.id for voice in await make().voices()] == list(VOICES)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b'{"error": [1]}', b'{"detail": []}', b"\xff\xfe"]
)
def test_unreadable_refusals_go_by_status(body: bytes) -> None:
    """A proxy's odd body must not turn an outage into a crash."""
    assert type(refusal("wire", 503, {}, body)) is errors.Unavailable
    assert type(refusal("wire", 400, {}, body)) is errors.BadRequest


def test_refusals_carry_nothing_of_the_vendor() -> None:
    """Vendors quote the text and the key in their errors; ours end up in logs."""
    body = json.dumps({"error": {"message": "canary sk-canary", "code": "invalid_api_key"}}).encode()
    assert "canary" not in repr(refusal("wire", 401, {}, body))


def test_retry_after_in_every_form() -> None:
    """A pause misread is either a stampede or a listener kept waiting."""
    assert retry_after({"retry-after": "2"}) == 2
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, now=90) == 10
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None

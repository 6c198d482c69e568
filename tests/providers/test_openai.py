"""The OpenAI wire: what is sent, and what becomes of every answer that a server can give."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

import pytest

from providers import errors
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from providers.openai import VOICES, OpenAI
from providers.openai_errors import classify
from providers.tones import tone_pcm
from providers.wire import retry_after
from tests.providers import openai_wire
from tests.providers.vendor_server import Reply, VendorServer, vendor_server

TEXT = "A short sentence to say."
ALLOY = ProviderVoice("wire", "alloy")
JSON = (("content-type", "application/json"),)


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(openai_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Callable[..., OpenAI]]:
    """Providers of that server, closed at the end."""
    made: list[OpenAI] = []

    def one(**settings: object) -> OpenAI:
        base_url = settings.pop("base_url", f"{server.url}/v1")
        made.append(OpenAI(ProviderSettings("wire", "openai", base_url=base_url, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: OpenAI, text: str = TEXT, **more: object) -> bytes:
    """All the sound."""
    async with provider.speak(Utterance(text, ALLOY, **more)) as sound:  # type: ignore[arg-type]
        return b"".join([piece async for piece in sound.pieces])


async def test_only_what_is_given_is_sent(server: VendorServer, make: Callable[..., OpenAI]) -> None:
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
    "quota": (Reply(429, JSON, b'{"error": {"code": "insufficient_quota"}}'), errors.QuotaExceeded),
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
    "a text that speaks of quota": (
        Reply(400, JSON, b'{"error": {"message": "input_value=\'insufficient_quota, invalid_api_key\'"}}'),
        errors.BadRequest,
    ),
    "quota as 400": (
        Reply(400, JSON, b'{"error": {"code": "billing_hard_limit_reached"}}'),
        errors.QuotaExceeded,
    ),
    "far too much": (Reply(body=bytes(6_000_000)), errors.BadAudio),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_become_the_tree(server: VendorServer, make: Callable[..., OpenAI], fault: str) -> None:
    """A fault in the wrong class is retried for ever, or never, or stored as sound."""
    reply, expected = FAULTS[fault]
    server.replies.append(reply)
    provider = make()
    with pytest.raises(errors.ProviderError) as caught:
        await heard(provider)
    assert type(caught.value) is expected
    assert await heard(provider) == tone_pcm(TEXT, "alloy")


async def test_chunked_sound_arrives_whole(server: VendorServer, make: Callable[..., OpenAI]) -> None:
    """Streaming servers announce no length; every byte must still come through."""
    server.replies.append(Reply(chunked=True))
    assert await heard(make()) == tone_pcm(TEXT, "alloy")


async def test_the_server_sees_who_leaves(server: VendorServer, make: Callable[..., OpenAI]) -> None:
    """A vendor goes on charging for a listener who left unless the connection is closed."""
    server.hold.clear()
    async with make().speak(Utterance(TEXT * 9, ALLOY)) as sound:
        await anext(sound.pieces)
        assert not server.requests[0].left.is_set()
    await asyncio.wait_for(server.requests[0].left.wait(), 5)


async def test_the_rate_the_server_names(server: VendorServer, make: Callable[..., OpenAI]) -> None:
    """Sound at 22,050 Hz taken for 24,000 is too fast and too high."""
    for said, configured, expected in (
        ("22050", "24000", 22_050),
        ("24000", "16000", 24_000),
        ("x", "16000", 16_000),
    ):
        server.replies.append(Reply(headers=(("content-type", "audio/pcm"), ("x-sample-rate", said))))
        provider = make(options=(("sample_rate", configured),))
        async with provider.speak(Utterance(TEXT, ALLOY)) as sound:
            assert sound.sample_rate == expected


def test_the_price_of_openai_itself(make: Callable[..., OpenAI]) -> None:
    """Whoever writes its address down is charged all the same, and would spend past every budget."""
    assert make(base_url="https://api.openai.com/v1/").capabilities(ALLOY).price == 15
    assert make(base_url="https://elsewhere.example/v1").capabilities(ALLOY).price == 0


def test_settings_that_are_not_a_links(make: Callable[..., OpenAI]) -> None:
    """A link's `speed` used to be dropped without a word."""
    check = KINDS["openai"].check_voice
    assert check(ProviderVoice("wire", "alloy", None, (("lang_code", "a"),))) == []
    (problem,) = check(ProviderVoice("wire", "alloy", None, (("lang_code", "a"), ("speed", "1.2"))))
    assert problem.startswith("speed is")


async def test_voices_of_the_server_or_the_thirteen(
    server: VendorServer, make: Callable[..., OpenAI]
) -> None:
    """OpenAI itself has no list of voices; others list theirs in two forms."""
    assert [voice.id for voice in await make().voices()] == ["alloy", "plain"]
    server.replies.append(Reply(404, JSON, b"{}"))
    assert [voice.id for voice in await make().voices()] == list(VOICES)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b'{"error": [1]}', b'{"detail": []}', b"\xff\xfe", b"[" * 60_000]
)
def test_unreadable_refusals_go_by_status(body: bytes) -> None:
    """A proxy's odd body must not turn an outage into a crash."""
    assert classify(503, {}, body) is errors.Unavailable
    assert classify(400, {}, body) is errors.BadRequest


async def test_refusals_carry_nothing_of_the_vendor(make: Callable[..., OpenAI]) -> None:
    """Vendors quote the text and the key in their errors; ours end up in logs."""
    body = json.dumps({"error": {"message": "canary sk-canary", "code": "invalid_api_key"}}).encode()
    assert "canary" not in repr(make()._line.refusal(401, {}, body))


def test_retry_after_in_every_form() -> None:
    """A pause misread is either a stampede or a listener kept waiting."""
    assert retry_after({"retry-after": "2"}) == 2
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, now=90) == 10
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None

"""The vendors' own addresses: none is to be had here, and every other test names a server on this machine instead."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
import respx

from providers import errors
from providers.google_credentials import METADATA, Bearer
from providers.interface import Provider, ProviderSettings, Utterance
from providers.kinds import KINDS
from tests.providers.conformance import CANARY_KEY
from tests.providers.vendor_server import Request
from tests.providers.wires import WIRES, Wire

ADDRESSES = {
    "azure": "https://westeurope.tts.speech.microsoft.com/cognitiveservices/v1",
    "cartesia": "https://api.cartesia.ai/tts/bytes",
    "deepgram": "https://api.deepgram.com/v1/speak",
    "elevenlabs-plain": "https://api.elevenlabs.io/v1/text-to-speech/voiceA/stream",
    "google": "https://texttospeech.googleapis.com/v1/text:synthesize",
    "openai": "https://api.openai.com/v1/audio/speech",
    "polly": "https://polly.eu-central-1.amazonaws.com/v1/speech",
}
"""As the vendors' documentation has them."""
REGIONS = {"azure": "westeurope", "polly": "eu-central-1"}


@pytest.fixture(params=ADDRESSES)
def name(request: pytest.FixtureRequest) -> str:
    """Of a wire."""
    return str(request.param)


@pytest.fixture
def wire(name: str) -> Wire:
    """A vendor's."""
    return WIRES[name]


@pytest.fixture
async def provider(name: str, wire: Wire) -> AsyncGenerator[Provider]:
    """As somebody has it who gives his key, and a region where one is needed, and nothing else."""
    region = (("region", REGIONS[name]),) if name in REGIONS else ()
    settings = ProviderSettings(
        "wire", wire.kind, api_key=wire.api_key, options=(*wire.options, *region), attempts=1
    )
    assert KINDS[wire.kind].check(settings) == []
    made = KINDS[wire.kind].make(settings)
    yield made
    await made.aclose()


async def heard(provider: Provider, wire: Wire) -> bytes:
    """Its sound, as it came."""
    async with (
        provider.speak(Utterance("A short sentence to say.", wire.voice)) as sound,
        aclosing(sound.pieces) as pieces,
    ):
        return b"".join([piece async for piece in pieces])


async def test_a_key_is_all_that_a_vendor_needs(
    name: str, provider: Provider, wire: Wire, respx_mock: respx.MockRouter
) -> None:
    """One letter wrong, and who has only a key hears nothing, or sends it to a stranger."""

    def answer(request: httpx.Request) -> httpx.Response:
        line = f"{request.method} {request.url.raw_path.decode()} HTTP/1.1"
        reply = wire.answer(Request(line, dict(request.headers), request.content))
        return httpx.Response(reply.status, headers=list(reply.headers or ()), content=reply.body or b"")

    asked = respx_mock.post(url__startswith=ADDRESSES[name]).mock(side_effect=answer)
    assert len(await heard(provider, wire)) > 1_000
    (call,) = asked.calls
    assert str(call.request.url.copy_with(query=None)) == ADDRESSES[name]


BROKEN = [
    (httpx.ProxyError, errors.Unavailable),
    (httpx.WriteError, errors.Unavailable),
    (httpx.WriteTimeout, errors.TimedOut),
    (httpx.ReadError, errors.Unavailable),
    (httpx.CloseError, errors.Unavailable),
    (httpx.DecodingError, errors.Unavailable),
]


@pytest.mark.parametrize(("broken", "expected"), BROKEN)
async def test_however_a_connection_breaks(
    provider: Provider,
    wire: Wire,
    respx_mock: respx.MockRouter,
    broken: type[httpx.RequestError],
    expected: type[errors.ProviderError],
) -> None:
    """The next in the chain would not speak; or the key would be in the log, for httpx quotes what it was sent."""
    respx_mock.post(url__startswith="https://").mock(side_effect=broken(f"sending {CANARY_KEY}"))
    with pytest.raises(expected) as caught:
        await heard(provider, wire)
    assert CANARY_KEY not in str(caught.value)
    assert caught.value.__suppress_context__


class Breaking(httpx.AsyncByteStream):
    """A body that breaks behind its first piece."""

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        yield bytes(4_800)
        raise httpx.ReadError(f"reading {CANARY_KEY}")


async def test_a_reset_in_the_middle_is_no_end(
    provider: Provider, wire: Wire, respx_mock: respx.MockRouter
) -> None:
    """Half a sentence would be kept for a month: a connection that is reset is not one that was closed."""
    respx_mock.post(url__startswith="https://").mock(
        return_value=httpx.Response(
            200, headers={"content-type": "application/octet-stream"}, stream=Breaking()
        )
    )
    with pytest.raises(errors.Unavailable) as caught:
        await heard(provider, wire)
    assert CANARY_KEY not in str(caught.value)


GRANTED = {"access_token": "t1", "expires_in": 3_600, "token_type": "Bearer"}


async def test_a_user_whose_file_names_no_server_of_tokens(
    tmp_path: Path, respx_mock: respx.MockRouter
) -> None:
    """What gcloud writes names none: every developer's own login would be refused, or go to a stranger."""
    file = tmp_path / "user.json"
    file.write_text(json.dumps({"type": "authorized_user", "client_id": "c", "refresh_token": "r"}))
    asked = respx_mock.post("https://oauth2.googleapis.com/token").respond(json=GRANTED)
    bearer = Bearer("wire", str(file), timeout=5.0)
    assert (await bearer.token()).value == "t1"
    assert b"grant_type=refresh_token" in asked.calls.last.request.content
    await bearer.aclose()


async def test_a_machines_account_is_asked_for_at_its_own_address(
    monkeypatch: pytest.MonkeyPatch, respx_mock: respx.MockRouter
) -> None:
    """On Google's machines only that name answers, to who says what it is for."""
    monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    asked = respx_mock.get(f"http://metadata.google.internal{path}", headers={"Metadata-Flavor": "Google"})
    bearer = Bearer("wire", METADATA, timeout=5.0)
    asked.respond(404)
    with pytest.raises(errors.ProviderError) as caught:
        await bearer.token()
    assert not caught.value.retryable, "a machine without an account has none a moment later either"
    asked.respond(json=GRANTED)
    assert (await bearer.token()).value == "t1"
    await bearer.aclose()

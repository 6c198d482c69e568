"""Deepgram's wire: what is sent, and what becomes of its own answers. Faults in general: test_faults.py."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from providers import errors
from providers.deepgram import Deepgram, classify
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from tests.providers import deepgram_wire
from tests.providers.vendor_server import VendorServer, vendor_server

TEXT = "A short sentence to say."
THALIA = ProviderVoice("wire", "aura-2-thalia-en")
Make = Callable[..., Deepgram]


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(deepgram_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Make]:
    """Providers of that server, closed at the end."""
    made: list[Deepgram] = []

    def one(**options: str) -> Deepgram:
        settings = ProviderSettings(
            "wire", "deepgram", api_key="k", base_url=server.url, options=tuple(options.items())
        )
        made.append(Deepgram(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: Deepgram, voice: ProviderVoice = THALIA) -> tuple[str, float | None]:
    """Read to the end; how the sound came, and what was billed."""
    async with provider.speak(Utterance(TEXT, voice)) as sound:
        async for _ in sound.pieces:
            pass
        return sound.encoding, sound.billed


async def test_the_request(server: VendorServer, make: Make) -> None:
    """Left out, encoding, container and rate have two defaults in the vendor's documentation: one is noise to us."""
    assert await heard(make(mip_opt_out="true")) == ("pcm_s16le", len(TEXT))
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("POST", "/v1/speak")
    assert sent.headers["authorization"] == "Token k"
    assert sent.body == {"text": TEXT}
    assert sent.query == {
        "model": "aura-2-thalia-en",
        "encoding": "linear16",
        "container": "none",
        "sample_rate": "24000",
        "mip_opt_out": "true",
    }


@pytest.mark.parametrize("form", ["wav", "mp3", "flac", "opus", "aac"])
async def test_files_by_request(server: VendorServer, make: Make, form: str) -> None:
    """A rate beside a form that has one of its own is refused by the vendor (INVALID_QUERY_PARAMETER)."""
    encoding, _ = await heard(make(response_format=form))
    assert encoding == "file"
    assert ("sample_rate" in server.requests[0].query) == (form in {"wav", "flac"})


async def test_a_voice_in_two_parts(server: VendorServer, make: Make) -> None:
    """Who writes model and voice apart, as for other vendors, gets what he means."""
    await heard(make(), ProviderVoice("wire", "thalia-en", "aura-2"))
    assert server.requests[0].query["model"] == "aura-2-thalia-en"


def test_what_it_can_do(make: Make) -> None:
    """Prices and languages go by the model's name; chunks are cut by its limit."""
    provider = make()
    able = provider.capabilities(THALIA)
    assert able.price == 30
    assert able.languages == {"en"}
    assert able.limits[0].most == 2000
    assert provider.capabilities(ProviderVoice("wire", "aura-asteria-en")).price == 15
    assert provider.capabilities(ProviderVoice("wire", "flux-x")).languages is None


ROWS: dict[str, tuple[int, str, type[errors.ProviderError]]] = {
    "voice": (
        400,
        '{"err_code":"Bad Request","err_msg":"No such model/version combination found.","request_id":"r"}',
        errors.BadVoice,
    ),
    "parameter": (400, '{"err_code":"INVALID_QUERY_PARAMETER","err_msg":"x"}', errors.BadRequest),
    "key": (401, '{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials."}', errors.BadCredentials),
    "rights": (401, '{"err_code":"INSUFFICIENT_PERMISSIONS","err_msg":"x"}', errors.BadCredentials),
    "credit": (402, '{"err_code":"ASR_PAYMENT_REQUIRED","err_msg":"x"}', errors.QuotaExceeded),
    "model": (
        403,
        '{"err_code":"INSUFFICIENT_PERMISSIONS","err_msg":"Project does not have access to the requested model."}',
        errors.BadVoice,
    ),
    "a text of credit": (400, '{"err_msg":"payment_required, it said"}', errors.BadRequest),
    "long": (413, '{"err_code":"PAYLOAD_TOO_LARGE","err_msg":"x"}', errors.TooLong),
    "entity": (422, '{"category":"UNPROCESSABLE_ENTITY","message":"x"}', errors.BadRequest),
    "rate": (429, '{"err_code":"TOO_MANY_REQUESTS","err_msg":"x"}', errors.RateLimited),
    "down": (503, '{"error_code":"SERVICE_UNAVAILABLE","message":"x"}', errors.Unavailable),
    "unreadable": (400, "<html>", errors.BadRequest),
    "a list": (400, "[1]", errors.BadRequest),
}


@pytest.mark.parametrize("row", ROWS)
def test_refusals(row: str) -> None:
    """A fault in the wrong class is retried for ever, or never, or closes the account's circuit."""
    status, body, expected = ROWS[row]
    assert classify(status, {}, body.encode()) is expected


async def test_its_voices(make: Make) -> None:
    """`refrain voices` shows what can be put into a chain."""
    assert [(voice.id, voice.language) for voice in await make().voices()] == [("aura-2-thalia-en", "en")]


def test_rates_by_format() -> None:
    """FLAC of 24 kHz and WAV of 22.05 are refused by the vendor, at every request."""
    check = KINDS["deepgram"].check
    for form, rate, well in (("flac", "24000", False), ("flac", "22050", True), ("wav", "22050", False)):
        given = (("response_format", form), ("sample_rate", rate))
        assert (not check(ProviderSettings("wire", "deepgram", api_key="k", options=given))) is well


async def test_flac_as_it_is(server: VendorServer, make: Make) -> None:
    """Its own default rate is not among those of FLAC."""
    await heard(make(response_format="flac"))
    assert server.requests[0].query["sample_rate"] == "48000"


def test_a_key_is_needed() -> None:
    """Without one the first listener would find out."""
    bare: dict[str, Any] = {"name": "wire", "kind": "deepgram"}
    assert KINDS["deepgram"].check(ProviderSettings(**bare))
    assert not KINDS["deepgram"].check(ProviderSettings(**bare, api_key="k"))

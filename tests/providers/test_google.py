"""Google's wire: what is sent, and what becomes of its own answers. Faults in general: test_faults.py."""

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from providers import errors
from providers.google import Google, classify
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from tests.providers import google_wire
from tests.providers.google_wire import JSON
from tests.providers.vendor_server import Reply, Request, VendorServer, vendor_server

PLAIN = {"input": {"text": "x"}, "voice": {"name": "v"}}
TEXT = "A short sentence to say."
VOICE = ProviderVoice("wire", "en-US-Neural2-A")
Make = Callable[..., Google]


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(google_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Make]:
    """Providers of that server, closed at the end."""
    made: list[Google] = []

    def one(**options: str) -> Google:
        settings = ProviderSettings(
            "wire", "google", api_key="k", base_url=server.url, options=tuple(options.items())
        )
        made.append(Google(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: Google, voice: ProviderVoice = VOICE, **more: Any) -> str:
    """Read to the end; how the sound came."""
    async with provider.speak(Utterance(TEXT, voice, **more)) as sound:
        async for _ in sound.pieces:
            pass
        return sound.encoding


async def test_the_request(server: VendorServer, make: Make) -> None:
    """What is not asked for is not sent: the vendor's own defaults are the voice's."""
    assert await heard(make()) == "file"
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("POST", "/v1/text:synthesize")
    assert sent.headers["x-goog-api-key"] == "k"
    assert sent.query == {}
    assert sent.body == {
        "input": {"text": TEXT},
        "voice": {"languageCode": "en-US", "name": "en-US-Neural2-A"},
        "audioConfig": {"audioEncoding": "LINEAR16", "sampleRateHertz": 24_000},
    }


async def test_how_it_is_said(server: VendorServer, make: Make) -> None:
    """Speed, pitch and markup would silently do nothing if they were written where the vendor does not look."""
    settings = (
        ("effects_profile", "wearable-class-device telephony-class-application"),
        ("pitch", "-2.5"),
        ("volume_gain_db", "3"),
    )
    voice = ProviderVoice("wire", "en-US-Neural2-A", None, settings)
    await heard(make(), voice, speed=1.5, ssml="A <emphasis>short</emphasis> sentence to say.")
    sent = server.requests[0].body
    assert sent["audioConfig"] == {
        "audioEncoding": "LINEAR16",
        "sampleRateHertz": 24_000,
        "speakingRate": 1.5,
        "pitch": -2.5,
        "volumeGainDb": 3.0,
        "effectsProfileId": ["wearable-class-device", "telephony-class-application"],
    }
    assert sent["input"] == {"ssml": "<speak>A <emphasis>short</emphasis> sentence to say.</speak>"}


async def test_gemini_is_told_how(server: VendorServer, make: Make) -> None:
    """Its voices have no language in their names, and take instructions."""
    voice = ProviderVoice("wire", "Kore", "gemini-2.5-flash-tts")
    await heard(make(), voice, language="de-DE", instructions="Softly.")
    sent = server.requests[0].body
    assert sent["voice"] == {"languageCode": "de-DE", "name": "Kore", "modelName": "gemini-2.5-flash-tts"}
    assert sent["input"]["prompt"] == "Softly."
    assert make().capabilities(voice).languages is None


async def test_words_are_timed(server: VendorServer, make: Make) -> None:
    """Captions need them; and a text full of signs stays the text that it is."""
    text = "Salt & <b>, twice."
    provider, utterance = make(timestamps="true"), Utterance(text, VOICE)
    async with provider.speak(utterance) as sound:
        async for _ in sound.pieces:
            pass
    sent = server.requests[0]
    assert sent.path == "/v1beta1/text:synthesize"
    assert sent.body["enableTimePointing"] == ["SSML_MARK"]
    marked = '<mark name="0"/>Salt <mark name="1"/>&amp; <mark name="2"/>&lt;b&gt;, <mark name="3"/>twice.'
    assert f'{marked}<mark name="end"/></speak>' in sent.body["input"]["ssml"]
    assert [text[one.start : one.end] for one in sound.timings] == ["Salt", "&", "<b>,", "twice."]
    assert sound.timings[0].begins == 0
    able = provider.capabilities(VOICE)
    billed = len("<speak>Salt &amp; &lt;b&gt;, twice.</speak>")
    assert able.cost(utterance) == pytest.approx(billed * able.price / 1e6)
    assert make().capabilities(VOICE).cost(utterance) == pytest.approx(len(text) * able.price / 1e6)
    step = 0.06 * len(text) / 5
    assert [one.ends for one in sound.timings] == pytest.approx([step, 2 * step, 3 * step, 4 * step])


@pytest.mark.parametrize(
    ("voice", "more"),
    [
        (VOICE, {"ssml": "A <emphasis>short</emphasis> one."}),
        (ProviderVoice("wire", "en-US-Chirp3-HD-Kore"), {}),
    ],
)
async def test_where_words_cannot_be_timed(
    server: VendorServer, make: Make, voice: ProviderVoice, more: dict[str, str]
) -> None:
    """Marks inside of an author's own elements are refused, and generative voices take none at all."""
    await heard(make(timestamps="true"), voice, **more)
    assert server.requests[0].path == "/v1/text:synthesize"
    assert "<mark" not in str(server.requests[0].body)


@pytest.mark.parametrize(
    "points",
    [None, 5, ["x"], [{"markName": 1}], [{"markName": "0", "timeSeconds": "soon"}], [{"markName": "9"}]],
)
async def test_times_that_make_no_sense(server: VendorServer, make: Make, points: object) -> None:
    """They cost the captions and never the sound."""
    content = json.loads(google_wire.answer(Request("POST / x", {}, json.dumps(PLAIN).encode())).body or b"")
    server.replies.append(Reply(headers=JSON, body=json.dumps({**content, "timepoints": points}).encode()))
    async with make(timestamps="true").speak(Utterance(TEXT, VOICE)) as sound:
        assert [piece async for piece in sound.pieces]
        assert sound.timings == []


def test_marks_count(make: Make) -> None:
    """A text that fits without them would be refused by the vendor with them."""
    (limit,) = make(timestamps="true").capabilities(VOICE).limits
    assert limit.count("a b", None) == len('<mark name="0"/>a <mark name="1"/>b<mark name="end"/>')
    text = "& " * 1_500
    assert limit.count(text, None) - limit.count("", None) <= limit.worst * len(text)
    assert all(limit.count(text[:n], None) <= limit.count(text[: n + 1], None) for n in range(40))


def test_what_it_can_do(make: Make) -> None:
    """Bytes are counted, not characters: 5,000 of them are 1,250 pictographs."""
    able = make().capabilities(VOICE)
    assert able.price == 16
    assert not able.streaming
    assert "break" in able.ssml
    assert able.limits[0].count("\N{SNOWMAN}" * 1000, None) == 3000
    chirp = make().capabilities(ProviderVoice("wire", "en-US-Chirp3-HD-Kore"))
    assert (chirp.price, chirp.ssml, chirp.profile) == (30, frozenset(), "group")
    assert make().capabilities(ProviderVoice("wire", "en-US-Wavenet-D")).price == 4
    assert make().capabilities(ProviderVoice("wire", "en-US-Studio-O")).price == 160


def said(status: str, message: str, reason: str = "") -> str:
    """As it is written."""
    details = f', "details": [{{"reason": "{reason}"}}]' if reason else ""
    return f'{{"error": {{"message": "{message}", "status": "{status}"{details}}}}}'


ROWS: dict[str, tuple[int, str, type[errors.ProviderError]]] = {
    "key": (400, said("INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID"), errors.BadCredentials),
    "token": (401, said("UNAUTHENTICATED", "x"), errors.BadCredentials),
    "rights": (403, said("PERMISSION_DENIED", "x"), errors.BadCredentials),
    "billing": (403, said("PERMISSION_DENIED", "x", "BILLING_DISABLED"), errors.QuotaExceeded),
    "voice": (400, said("INVALID_ARGUMENT", "Voice 'x' does not exist. Is it misspelled?"), errors.BadVoice),
    "long": (
        400,
        said("INVALID_ARGUMENT", "This request contains sentences that are too long."),
        errors.TooLong,
    ),
    "bytes": (400, said("INVALID_ARGUMENT", "input is longer than the limit of 5000 bytes"), errors.TooLong),
    "parameter": (400, said("INVALID_ARGUMENT", "x"), errors.BadRequest),
    "a text of keys": (
        400,
        said("INVALID_ARGUMENT", "Near: api_key_invalid billing_disabled"),
        errors.BadRequest,
    ),
    "deep": (400, "[" * 60_000, errors.BadRequest),
    "minute": (429, said("RESOURCE_EXHAUSTED", "Quota exceeded: requests per minute"), errors.RateLimited),
    "day": (429, said("RESOURCE_EXHAUSTED", "Quota exceeded: characters per day"), errors.QuotaExceeded),
    "down": (503, said("UNAVAILABLE", "x"), errors.Unavailable),
    "internal": (500, said("INTERNAL", "x"), errors.Unavailable),
    "late": (504, said("DEADLINE_EXCEEDED", "x"), errors.TimedOut),
    "unreadable": (400, "<html>", errors.BadRequest),
}


@pytest.mark.parametrize("row", ROWS)
def test_refusals(row: str) -> None:
    """A fault in the wrong class is retried for ever, or never, or closes the account's circuit."""
    status, body, expected = ROWS[row]
    assert classify(status, {}, body.encode()) is expected


@pytest.mark.parametrize(
    "body", [b'{"audioContent": ""}', b'{"audioContent": "?"}', b'{"audioContent": 7}', b"[]"]
)
async def test_json_without_sound(server: VendorServer, make: Make, body: bytes) -> None:
    """It comes with status 200."""
    server.replies.append(Reply(headers=JSON, body=body))
    with pytest.raises(errors.BadAudio):
        await heard(make())


async def test_its_voices(make: Make) -> None:
    """`refrain voices` shows what can be put into a chain."""
    assert [(one.id, one.language) for one in await make().voices()] == [("en-US-Neural2-A", "en-US")]


def test_a_key_is_needed() -> None:
    """Without one the first listener would find out."""
    assert KINDS["google"].check(ProviderSettings("wire", "google"))
    wrong = ProviderVoice("wire", "v", None, (("pitch", "high"),))
    assert KINDS["google"].check_voice(wrong)

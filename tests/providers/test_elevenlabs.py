"""ElevenLabs' wire: what is sent, and what becomes of every answer that it is known to give."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable

import pytest

from providers import errors
from providers.elevenlabs import CONTEXT, ElevenLabs, problems
from providers.elevenlabs_errors import CODES, classify
from providers.elevenlabs_models import MODELS
from providers.interface import ProviderSettings, ProviderVoice, Timing, Utterance
from providers.kinds import KINDS
from providers.tones import tone_pcm
from tests.providers import elevenlabs_wire
from tests.providers.vendor_server import Reply, VendorServer, vendor_server

TEXT = "A short sentence to say."
VOICE = ProviderVoice("wire", "voiceA")
JSON = (("content-type", "application/json"),)


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(elevenlabs_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Callable[..., ElevenLabs]]:
    """Providers of that server, closed at the end; options by keyword."""
    made: list[ElevenLabs] = []

    def one(**options: str) -> ElevenLabs:
        settings = ProviderSettings(
            "wire", "elevenlabs", base_url=server.url, api_key="k", options=tuple(options.items())
        )
        assert not KINDS["elevenlabs"].check(settings)
        made.append(ElevenLabs(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: ElevenLabs, voice: ProviderVoice = VOICE, **more: object) -> bytes:
    """All the sound."""
    async with provider.speak(Utterance(TEXT, voice, **more)) as sound:  # type: ignore[arg-type]
        return b"".join([piece async for piece in sound.pieces])


def capable(model: str | None = None, **options: str) -> ElevenLabs:
    """One that asks nobody."""
    chosen = tuple({**options, **({"model": model} if model else {})}.items())
    return ElevenLabs(ProviderSettings("wire", "elevenlabs", api_key="k", options=chosen))


async def test_only_what_is_given_is_sent(server: VendorServer, make: Callable[..., ElevenLabs]):
    """The vendor's defaults and a voice's stored settings would be overridden by nulls."""
    await heard(make())
    (plain,) = server.requests
    assert plain.method == "POST"
    assert plain.target == "/v1/text-to-speech/voiceA/stream/with-timestamps?output_format=pcm_24000"
    assert plain.headers["xi-api-key"] == "k"
    assert plain.headers["content-type"] == "application/json"
    assert plain.headers["accept-encoding"] == "identity"
    assert plain.body == {"text": TEXT, "model_id": "eleven_multilingual_v2"}


async def test_all_that_can_be_given_is_sent(server: VendorServer, make: Callable[..., ElevenLabs]):
    """A setting that vanishes on the way is heard by nobody."""
    settings = {"similarity_boost": "1", "stability": "0.5", "style": "0.2", "use_speaker_boost": "false"}
    voice = ProviderVoice("wire", "voiceA", "eleven_flash_v2_5", tuple(settings.items()))
    provider = make(
        timestamps="false",
        seed="7",
        apply_text_normalization="off",
        optimize_streaming_latency="3",
        enable_logging="false",
        output_format="mp3_44100_128",
    )
    await heard(provider, voice, speed=1.1, language="pt-BR", before="Before.", after="After.")
    (full,) = server.requests
    assert full.path == "/v1/text-to-speech/voiceA/stream"
    assert full.query == {
        "output_format": "mp3_44100_128",
        "optimize_streaming_latency": "3",
        "enable_logging": "false",
    }
    assert full.body == {
        "text": TEXT,
        "model_id": "eleven_flash_v2_5",
        "language_code": "pt",
        "voice_settings": {
            "stability": 0.5,
            "similarity_boost": 1.0,
            "style": 0.2,
            "use_speaker_boost": False,
            "speed": 1.1,
        },
        "seed": 7,
        "apply_text_normalization": "off",
        "previous_text": "Before.",
        "next_text": "After.",
    }


async def test_a_voices_own_settings_win(server: VendorServer, make: Callable[..., ElevenLabs]):
    """A seed that was chosen for one voice would be drowned by the account's."""
    settings = (("apply_text_normalization", "on"), ("seed", "8"))
    await heard(make(seed="7"), ProviderVoice("wire", "voiceA", None, settings))
    assert server.requests[0].body["seed"] == 8
    assert server.requests[0].body["apply_text_normalization"] == "on"


@pytest.mark.parametrize(
    ("voice", "segment"),
    [
        ("../../v1/user?", "..%2F..%2Fv1%2Fuser%3F"),
        ("a/b#c", "a%2Fb%23c"),
        ("né %41", "n%C3%A9%20%2541"),
    ],
)
async def test_a_voice_stays_in_its_place(
    server: VendorServer, make: Callable[..., ElevenLabs], voice: str, segment: str
):
    """A voice with a slash in it would ask another route with the account's key."""
    await heard(make(), ProviderVoice("wire", voice))
    assert server.requests[0].path == f"/v1/text-to-speech/{segment}/stream/with-timestamps"


@pytest.mark.parametrize("voice", ["", ".", ".."])
async def test_a_step_in_the_path_is_no_voice(
    server: VendorServer, make: Callable[..., ElevenLabs], voice: str
):
    """Some servers take an escaped step up as well."""
    with pytest.raises(errors.BadVoice):
        await heard(make(), ProviderVoice("wire", voice))
    assert not server.requests


@pytest.mark.parametrize(("model", "sent"), [("eleven_flash_v2_5", "de"), ("eleven_multilingual_v2", None)])
async def test_the_language_is_sent_to_models_that_take_it(
    server: VendorServer, make: Callable[..., ElevenLabs], model: str, sent: str | None
):
    """Multilingual v2 refuses it; Flash guesses the language of a short text without it."""
    await heard(make(model=model), language="de-AT")
    assert server.requests[0].body.get("language_code") == sent


@pytest.mark.parametrize("output_format", ["pcm_16000", "pcm_24000", "wav_24000", "mp3_44100_128"])
@pytest.mark.parametrize("timestamps", ["true", "false"])
async def test_every_form_says_what_it_is(
    make: Callable[..., ElevenLabs], output_format: str, timestamps: str
):
    """Sound at one rate taken for another is too fast and too high."""
    codec, rate = output_format.split("_")[:2]
    if codec == "wav" and timestamps == "true":
        return  # ElevenLabs has no such route
    if codec == "mp3":
        rate = "44100"
    async with make(output_format=output_format, timestamps=timestamps).speak(
        Utterance(TEXT, VOICE)
    ) as sound:
        body = b"".join([piece async for piece in sound.pieces])
        if codec == "pcm":
            assert (sound.encoding, sound.sample_rate, sound.channels) == ("pcm_s16le", int(rate), 1)
            assert body == tone_pcm(TEXT, "voiceA", sample_rate=int(rate))
        else:
            assert (sound.encoding, sound.sample_rate) == ("file", 0)
            assert body.startswith({"wav": b"RIFF", "mp3": (b"ID3", b"\xff")}[codec])  # type: ignore[arg-type]


async def test_wav_is_asked_for_where_it_is_had(server: VendorServer, make: Callable[..., ElevenLabs]):
    """The stream has no WAV: every request would be refused."""
    provider = make(output_format="wav_24000", timestamps="false")
    await heard(provider)
    assert server.requests[0].path == "/v1/text-to-speech/voiceA"
    assert not provider.capabilities(VOICE).streaming


async def test_the_times_of_words_are_told(make: Callable[..., ElevenLabs]):
    """Captions would be guessed although the vendor knows."""
    async with make().speak(Utterance(TEXT, VOICE)) as sound:
        assert list(sound.timings) == []
        async for _ in sound.pieces:
            pass
    expected = [(word.start(), word.end()) for word in re.finditer(r"\S+", TEXT)]
    assert list(sound.timings) == [
        Timing(start, end, round(start * 0.06, 3), round(end * 0.06, 3)) for start, end in expected
    ]


@pytest.mark.parametrize(
    ("model", "billed"), [("eleven_multilingual_v2", 12), ("eleven_flash_v2_5", 24), ("eleven_v9", 12)]
)
async def test_what_is_charged_is_told(make: Callable[..., ElevenLabs], model: str, billed: float):
    """Credits counted as characters would halve what Flash costs, and discounts would never show."""
    provider = make(model=model)
    async with provider.speak(Utterance(TEXT, VOICE)) as sound:
        assert sound.billed == billed
        assert sound.at_once == 10
    assert billed * provider.capabilities(VOICE).price == pytest.approx(12 * 100)


@pytest.mark.parametrize("said", ["", "many", "-1", "nan", "inf", "0"])
async def test_headers_without_sense_say_nothing(
    server: VendorServer, make: Callable[..., ElevenLabs], said: str
):
    """A proxy's odd header would shut the gate, or empty the budget."""
    headers = (("character-cost", said), ("maximum-concurrent-requests", said))
    server.replies.append(Reply(headers=headers))
    async with make().speak(Utterance(TEXT, VOICE)) as sound:
        assert sound.billed == (0 if said == "0" else None)
        assert sound.at_once is None


def refusal(status: int, detail: object) -> Reply:
    """As ElevenLabs words it."""
    return Reply(status, JSON, json.dumps({"detail": detail}).encode())


def new(status: int, code: str, legacy: str | None = None, **more: str) -> Reply:
    """In the present form."""
    fields = {"type": "error", "code": code, "message": "No.", "status": legacy or code, "request_id": "r"}
    return refusal(status, fields | more)


def old(status: int, code: str) -> Reply:
    """In the form of before."""
    return refusal(status, {"status": code, "message": "No."})


REFUSALS = {
    "quota by 401, old": (old(401, "quota_exceeded"), errors.QuotaExceeded),
    "quota by 401, new": (new(401, "quota_exceeded"), errors.QuotaExceeded),
    "quota by 402": (refusal(402, "Payment required."), errors.QuotaExceeded),
    "quota under an older name": (new(401, "something_new", "quota_exceeded"), errors.QuotaExceeded),
    "code before status": (new(401, "quota_exceeded", "invalid_api_key"), errors.QuotaExceeded),
    "key": (old(401, "invalid_api_key"), errors.BadCredentials),
    "permissions": (new(401, "missing_permissions"), errors.BadCredentials),
    "a bare 401": (Reply(401, JSON, b""), errors.BadCredentials),
    "voice by 400": (old(400, "voice_not_found"), errors.BadVoice),
    "voice by 404": (new(404, "voice_not_found"), errors.BadVoice),
    "voice of a plan": (new(402, "paid_plan_required"), errors.BadVoice),
    "voice of a plan, by its parameter": (new(403, "anything", param="voice_id"), errors.BadVoice),
    "model": (new(400, "unsupported_model", param="model_id"), errors.BadVoice),
    "too long": (old(400, "max_character_limit_exceeded"), errors.TooLong),
    "too many at once": (old(429, "too_many_concurrent_requests"), errors.RateLimited),
    "too many at once, new": (new(429, "concurrent_limit_exceeded"), errors.RateLimited),
    "busy": (old(429, "system_busy"), errors.Unavailable),
    "format of a plan": (new(403, "output_format_not_allowed"), errors.BadRequest),
    "list": (
        refusal(422, [{"loc": ["body", "seed"], "msg": "no", "type": "int_parsing"}]),
        errors.BadRequest,
    ),
    "list, of the model": (
        refusal(422, [{"loc": ["body", "model_id"], "msg": "no", "type": "enum"}]),
        errors.BadVoice,
    ),
    "list, of the text": (
        refusal(422, [{"loc": ["body", "text"], "msg": "no", "type": "string_too_long"}]),
        errors.TooLong,
    ),
    "its own fault": (new(500, "internal_error"), errors.Unavailable),
    "far too much": (Reply(body=bytes(20_000_000)), errors.BadAudio),
}


@pytest.mark.parametrize("fault", REFUSALS)
async def test_refusals_become_the_tree(server: VendorServer, make: Callable[..., ElevenLabs], fault: str):
    """A refusal in the wrong class is retried for ever, or never, or shuts an account that is well."""
    reply, expected = REFUSALS[fault]
    server.replies.append(reply)
    provider = make()
    with pytest.raises(errors.ProviderError) as caught:
        await heard(provider)
    assert type(caught.value) is expected
    assert await heard(provider) == tone_pcm(TEXT, "voiceA")


@pytest.mark.parametrize("code", CODES)
def test_every_code_counts_in_both_forms(code: str):
    """A code that is read in one form only falls back to a status that means something else."""
    for detail in ({"code": code}, {"status": code}, {"code": code.upper(), "status": "x"}):
        assert classify(401, {}, json.dumps({"detail": detail}).encode()) is CODES[code]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b'{"detail": []}', b'{"detail": [5]}', b'{"detail": {"code": ["x"]}}',
     b'{"detail": [{"loc": []}]}', b"\xff\xfe", b"[" * 100_000],
)  # fmt: skip
def test_unreadable_refusals_go_by_status(body: bytes):
    """A proxy's odd body must not turn an outage into a crash."""
    assert classify(503, {}, body) is errors.Unavailable
    assert classify(400, {}, body) is errors.BadRequest


async def test_the_server_sees_who_leaves(server: VendorServer, make: Callable[..., ElevenLabs]):
    """The vendor goes on charging, and holds a slot, for a listener who left."""
    server.hold.clear()
    provider = make()
    async with provider.speak(Utterance(TEXT * 9, VOICE)):
        assert not server.requests[0].left.is_set()
    await asyncio.wait_for(server.requests[0].left.wait(), 5)


async def test_voices_of_all_pages(server: VendorServer, make: Callable[..., ElevenLabs]):
    """The second page's voices could be spoken with and not be found."""
    listed = await make().voices()
    assert [(voice.id, voice.name, voice.language) for voice in listed] == [
        ("one", "One", "en"),
        ("two", "two", None),
    ]
    assert [request.query.get("next_page_token") for request in server.requests] == [None, "second"]
    assert all(request.query["page_size"] == "100" for request in server.requests)


async def test_pages_without_end_end(server: VendorServer, make: Callable[..., ElevenLabs]):
    """A server that always has more would be asked for ever."""
    page = json.dumps({"voices": [{"voice_id": "x"}], "has_more": True, "next_page_token": "again"})
    server.replies.extend([Reply(200, JSON, page.encode())] * 60)
    assert len(await make().voices()) == 50


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"voices": 5}', b'{"voices": [{}]}', b'{"voices": ["x"]}']
)
async def test_voices_in_an_unknown_form(server: VendorServer, make: Callable[..., ElevenLabs], body: bytes):
    """A listing would fail with a crash instead of a sentence."""
    server.replies.append(Reply(200, JSON, body))
    with pytest.raises(errors.Unavailable):
        await make().voices()


async def test_a_refused_listing_says_why(server: VendorServer, make: Callable[..., ElevenLabs]):
    """A wrong key would look like an account without voices."""
    server.replies.append(old(401, "invalid_api_key"))
    with pytest.raises(errors.BadCredentials):
        await make().voices()


async def test_health_tells_the_key_and_the_credits(server: VendorServer, make: Callable[..., ElevenLabs]):
    """The doctor would find a wrong key only by paying for speech."""
    provider = make()
    well = await provider.health()
    assert well.ok
    assert "1234 of 100000 credits" in well.detail
    server.replies += [old(401, "invalid_api_key"), old(401, "missing_permissions"), Reply(200, JSON, b"[]")]
    assert not (await provider.health()).ok
    assert (await provider.health()).ok  # a key that may only speak
    assert (await provider.health()).ok
    assert {request.target for request in server.requests} == {"/v1/user"}
    down = ElevenLabs(ProviderSettings("wire", "elevenlabs", base_url="http://127.0.0.1:1"))
    assert not (await down.health()).ok
    await down.aclose()


@pytest.mark.parametrize(
    ("model", "most", "price", "fastest"),
    [
        ("eleven_multilingual_v2", 10_000, 100, 1.2),
        ("eleven_flash_v2_5", 40_000, 50, 1.2),
        ("eleven_flash_v2", 30_000, 50, 1.2),
        ("eleven_v3", 5_000, 100, 1.0),
        ("eleven_v9", 5_000, 100, 1.2),
    ],
)
def test_what_hangs_on_the_model(model: str, most: int, price: float, fastest: float):
    """A text over the model's limit is refused and paid for by nobody's patience; v3 does not do speeds."""
    able = capable().capabilities(ProviderVoice("wire", "voiceA", model))
    assert [limit.most for limit in able.limits] == [most]
    assert able.price == price
    assert able.speed_range[1] == fastest
    default = capable(model).capabilities(VOICE)
    assert (default.identity, default.price) == (able.identity, able.price)
    configured = ProviderSettings("wire", "elevenlabs", api_key="k", price_per_million_chars=40.0)
    assert ElevenLabs(configured).capabilities(ProviderVoice("wire", "voiceA", model)).price == 40


def test_neighbours_are_asked_for_only_where_they_are_taken():
    """Sent to v3, every sentence is refused; and without `stitch` every clip would hang on its neighbours."""
    for model, known in MODELS.items():
        voice = ProviderVoice("wire", "voiceA", model)
        assert capable(stitch="true").capabilities(voice).context == (CONTEXT if known.context else 0)
        assert capable().capabilities(voice).context == 0
    assert not MODELS["eleven_v3"].context


def test_what_changes_the_sound_is_in_the_identity():
    """Sound of other settings would be replayed from the cache."""
    plain = capable().capabilities(VOICE).identity
    for option, value in {
        "model": "eleven_flash_v2_5",
        "output_format": "pcm_16000",
        "timestamps": "false",
        "seed": "1",
        "apply_text_normalization": "on",
        "optimize_streaming_latency": "1",
    }.items():
        assert capable(**{option: value}).capabilities(VOICE).identity != plain
    for option, value in {"stitch": "true", "enable_logging": "true", "chunking": "sentence"}.items():
        assert capable(**{option: value}).capabilities(VOICE).identity == plain


def test_configurations_that_cannot_work():
    """Each would be found by the first listener instead of by `config check`."""
    bare = ProviderSettings("wire", "elevenlabs")
    assert "api_key is needed" in problems(bare)[0]
    assert "without /v1" in problems(ProviderSettings("wire", "elevenlabs", base_url="http://x/v1/"))[0]
    wav = (("output_format", "wav_24000"),)
    assert "timestamps = false" in problems(ProviderSettings("w", "elevenlabs", "k", options=wav))[0]
    assert "printable" in problems(ProviderSettings("w", "elevenlabs", "k\n"))[0]
    check = KINDS["elevenlabs"].check
    for option, value in {
        "output_format": "ulaw_8000", "seed": "-1", "timestamps": "yes", "optimize_streaming_latency": "5",
        "stability": "0.5",
    }.items():  # fmt: skip
        found = check(ProviderSettings("w", "elevenlabs", "k", options=((option, value),)))
        assert len(found) == 1
        assert found[0].startswith(option)


@pytest.mark.parametrize(
    ("key", "value"), [("speed", "1.1"), ("stability", "2"), ("stability", "nan"), ("use_speaker_boost", "1")]
)
async def test_settings_of_a_voice_do_not_vanish(
    server: VendorServer, make: Callable[..., ElevenLabs], key: str, value: str
):
    """A misspelt or impossible setting would be heard by nobody and noticed by nobody."""
    voice = ProviderVoice("wire", "voiceA", None, ((key, value),))
    assert KINDS["elevenlabs"].check_voice(voice)
    with pytest.raises(errors.BadRequest):
        await heard(make(), voice)
    assert not server.requests

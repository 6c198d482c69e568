"""Polly's wire: what is sent and how it is signed, and what becomes of its answers. Faults: test_faults.py."""

import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials

from providers import errors
from providers.interface import ProviderSettings, ProviderVoice, Sound, Timing, Utterance
from providers.kinds import KINDS
from providers.polly import Polly
from providers.polly_errors import classify
from providers.tones import tone_pcm
from tests.providers import polly_wire
from tests.providers.vendor_server import Reply, VendorServer, vendor_server

TEXT = "The canary sings, quietly: “dawn”."
JOANNA = ProviderVoice("wire", "Joanna", None, (("engine", "neural"),))
Make = Callable[..., Polly]


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(polly_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Make]:
    """Providers of that server, closed at the end."""
    made: list[Polly] = []

    def one(api_key: str | None = "AKIDEXAMPLE:secret", **options: str) -> Polly:
        settings = ProviderSettings(
            "wire", "polly", api_key=api_key, base_url=server.url, options=tuple(options.items())
        )
        made.append(Polly(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: Polly, voice: ProviderVoice = JOANNA, **more: Any) -> tuple[Sound, bytes]:
    """Read to the end."""
    async with provider.speak(Utterance(TEXT, voice, **more)) as sound:
        return sound, b"".join([piece async for piece in sound.pieces])


async def test_the_request(server: VendorServer, make: Make) -> None:
    """A rate as a number is refused by the service; an engine left out is standard, which many voices are not."""
    sound, _ = await heard(make())
    sent = server.requests[0]
    assert (sent.method, sent.target) == ("POST", "/v1/speech")
    assert sent.headers["content-type"] == "application/json"
    assert sent.body == {
        "Text": TEXT,
        "TextType": "text",
        "VoiceId": "Joanna",
        "Engine": "neural",
        "OutputFormat": "mp3",
        "SampleRate": "24000",
    }
    assert sound.encoding == "file"
    assert sound.billed == len(TEXT)


async def test_markup_is_sent_whole(server: VendorServer, make: Make) -> None:
    """Marked as plain text, tags are read out."""
    voice = ProviderVoice("wire", "Vicki", None, (("language", "de-DE"), ("lexicons", "b a")))
    await heard(make(), voice, ssml="The <break time='1s'/> canary")
    sent = server.requests[0].body
    assert sent["TextType"] == "ssml"
    assert sent["Text"] == "<speak>The <break time='1s'/> canary</speak>"
    assert (sent["LanguageCode"], sent["LexiconNames"]) == ("de-DE", ["b", "a"])


async def test_the_signature_is_aws_own(server: VendorServer, make: Make) -> None:
    """A signature that AWS does not make itself is refused, and no double of ours would notice."""
    await heard(make())
    sent = server.requests[0]
    parts = sent.headers["authorization"].replace(",", "").split()
    assert parts[0] == "AWS4-HMAC-SHA256"
    assert parts[1].startswith("Credential=AKIDEXAMPLE/")
    assert parts[1].endswith("/us-east-1/polly/aws4_request")
    assert parts[2] == "SignedHeaders=content-type;host;x-amz-date"
    assert parts[3] == "Signature=" + _again(sent, parts[1])


def _again(sent: Any, credential: str) -> str:
    """The signature of what arrived, by AWS's published recipe and nothing of ours or botocore's."""
    headers = sent.headers
    scope = credential.partition("/")[2]
    canonical = "\n".join(
        (
            sent.method,
            sent.path,
            "",
            *(f"{key}:{headers[key]}" for key in ("content-type", "host", "x-amz-date")),
            "",
            "content-type;host;x-amz-date",
            hashlib.sha256(sent.raw).hexdigest(),
        )
    )
    stamp = headers["x-amz-date"]
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4secret"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def test_the_sdk_sends_the_same(make: Make) -> None:
    """Against code that nobody here wrote: the same path, the same body."""
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    client = session.create_client(
        "polly",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        config=Config(retries={"max_attempts": 0}),
    )
    sent: list[Any] = []

    def capture(request: Any, **_: object) -> None:
        sent.append(request)
        raise LookupError("captured")

    client.meta.events.register("before-send.polly.SynthesizeSpeech", capture)
    with pytest.raises(LookupError):
        client.synthesize_speech(
            Text=TEXT,
            VoiceId="Joanna",
            Engine="neural",
            OutputFormat="mp3",
            SampleRate="24000",
            TextType="text",
        )
    provider = make()
    ours = provider._line.request(
        "POST",
        "/v1/speech",
        json={
            "Text": TEXT,
            "VoiceId": "Joanna",
            "Engine": "neural",
            "OutputFormat": "mp3",
            "SampleRate": "24000",
            "TextType": "text",
        },
    )
    assert sent[0].method == ours.method
    assert sent[0].url.endswith(ours.url.path)
    assert json.loads(sent[0].body) == json.loads(ours.content)


async def test_words_are_timed(server: VendorServer, make: Make) -> None:
    """Captions light up words as they are spoken."""
    provider = make(speech_marks="true", response_format="pcm")
    sound, body = await heard(provider)
    assert body == tone_pcm(TEXT, "Joanna", sample_rate=16_000)
    assert list(sound.timings) == [Timing(0, 3, 0.006, 0.25), Timing(4, 10, 0.25, 0.85)]
    asked = server.requests[1].body
    assert (asked["OutputFormat"], asked["SpeechMarkTypes"]) == ("json", ["word"])
    assert provider.capabilities(JOANNA).price == 32


async def test_sound_without_its_marks_is_sound(server: VendorServer, make: Make) -> None:
    """A throttled second request must not cost what was heard already."""
    server.replies += [Reply(), Reply(400, body=b'{"__type": "ThrottlingException"}')]
    sound, body = await heard(make(speech_marks="true"))
    assert body
    assert list(sound.timings) == []


async def test_no_credentials(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has to read what is missing, not a stack of botocore's."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(errors.BadCredentials):
        await heard(make(api_key=None))
    with pytest.raises(errors.BadCredentials):
        await make(api_key=None, profile="nobody").warm()


async def test_the_environments_credentials(
    server: VendorServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On AWS nobody writes keys into files; a session's token has to be sent, and signed."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "tok")
    await heard(make(api_key=None))
    headers = server.requests[0].headers
    assert "AKIDENV" in headers["authorization"]
    assert headers["x-amz-security-token"] == "tok"
    assert "x-amz-security-token" in headers["authorization"]


async def test_credentials_that_were_replaced(
    server: VendorServer, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in files are changed under a running server; kept, the old ones would be refused until its restart."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    file.write_text("[default]\naws_access_key_id = AKIDOLD\naws_secret_access_key = s\n")
    provider = make(api_key=None)
    await heard(provider)
    file.write_text("[default]\naws_access_key_id = AKIDNEW\naws_secret_access_key = s\n")
    server.replies.append(Reply(status=403, body=b'{"__type":"UnrecognizedClientException"}'))
    with pytest.raises(errors.BadCredentials):
        await heard(provider)
    await heard(provider)
    keys = [one.headers["authorization"].split("Credential=")[1].split("/")[0] for one in server.requests]
    assert keys == ["AKIDOLD", "AKIDOLD", "AKIDNEW"]


async def test_a_role_that_cannot_be_renewed(make: Make) -> None:
    """Botocore's own error would be a defect of ours to whoever listens, and nobody after it in the chain asked."""
    provider = make(api_key=None)

    def refused() -> dict[str, str]:
        raise OSError

    past = datetime.now(UTC) - timedelta(hours=1)
    provider._signing._credentials = RefreshableCredentials("a", "s", "t", past, refused, method="test")
    with pytest.raises(errors.Unavailable):
        await heard(provider)


ROWS: dict[str, tuple[int, dict[str, str], str, type[errors.ProviderError]]] = {
    "throttled": (400, {"x-amzn-errortype": "ThrottlingException:http://x/"}, "{}", errors.RateLimited),
    "throttled, body": (400, {}, '{"__type":"com.amazon.x#ThrottlingException"}', errors.RateLimited),
    "long": (400, {}, '{"__type":"TextLengthExceededException"}', errors.TooLong),
    "rate": (400, {}, '{"__type":"InvalidSampleRateException"}', errors.BadRequest),
    "markup": (400, {}, '{"__type":"InvalidSsmlException"}', errors.BadRequest),
    "language": (400, {}, '{"__type":"LanguageNotSupportedException"}', errors.BadVoice),
    "engine": (400, {}, '{"__type":"EngineNotSupportedException"}', errors.BadVoice),
    "marks": (400, {}, '{"__type":"MarksNotSupportedForFormatException"}', errors.BadRequest),
    "lexicon": (404, {}, '{"__type":"LexiconNotFoundException"}', errors.BadRequest),
    "voice": (
        400,
        {},
        '{"__type":"ValidationException","message":"Value \'X\' at \'voiceId\' failed to satisfy constraint"}',
        errors.BadVoice,
    ),
    "other value": (400, {}, '{"__type":"ValidationException","message":"x"}', errors.BadRequest),
    "signature": (403, {}, '{"__type":"InvalidSignatureException","Message":"x"}', errors.BadCredentials),
    "key": (403, {}, '{"__type":"UnrecognizedClientException"}', errors.BadCredentials),
    "rights": (403, {"x-amzn-errortype": "AccessDeniedException"}, "", errors.BadCredentials),
    "token": (403, {}, '{"__type":"ExpiredTokenException"}', errors.BadCredentials),
    "quota": (402, {}, '{"__type":"ServiceQuotaExceededException"}', errors.QuotaExceeded),
    "failure": (500, {}, '{"__type":"ServiceFailureException"}', errors.Unavailable),
    "unreadable": (503, {}, "<html>", errors.Unavailable),
    "a list": (400, {}, "[1]", errors.BadRequest),
}


@pytest.mark.parametrize("row", ROWS)
def test_refusals(row: str) -> None:
    """By status alone, being throttled would look like the caller's fault, and never be retried."""
    status, headers, body, expected = ROWS[row]
    assert classify(status, headers, body.encode()) is expected


def test_what_it_can_do(make: Make) -> None:
    """What is billed and what is counted are two limits; engines differ in price and in markup."""
    able = make().capabilities(JOANNA)
    assert able.price == 16
    assert "emphasis" not in able.ssml
    billed, everything = able.limits
    assert billed.count("x", "<p>a &amp; b</p>") == 5
    assert everything.most < 6000
    assert make().capabilities(ProviderVoice("wire", "Ruth", "generative")).profile == "group"


async def test_its_voices(server: VendorServer, make: Make) -> None:
    """Voices on the second page could not be found."""
    first = b'{"Voices": [{"Id": "Ivy", "Name": "Ivy", "LanguageCode": "en-US"}], "NextToken": "t"}'
    server.replies.append(Reply(body=first))
    assert [voice.id for voice in await make().voices()] == ["Ivy", "Joanna"]
    assert server.requests[1].query == {"NextToken": "t"}


def test_settings_are_checked() -> None:
    """Half a key, or a region that is somebody's host, would be found out by the first listener."""
    assert not KINDS["polly"].check(ProviderSettings("wire", "polly"))
    assert KINDS["polly"].check(ProviderSettings("wire", "polly", api_key="AKID"))
    assert KINDS["polly"].check(ProviderSettings("wire", "polly", options=(("region", "x.evil.example/"),)))
    assert KINDS["polly"].check_voice(ProviderVoice("wire", "x", None, (("engine", "best"),)))

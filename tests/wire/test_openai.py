"""OpenAI's own package, pointed at Refrain: what it gets is decoded and compared with what the provider said."""

import base64
import json
from typing import Any, Literal

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.http.hearing import assert_says, heard
from tests.http.servers import Server

Name = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
FORMATS: list[Name] = ["mp3", "opus", "aac", "flac", "wav", "pcm"]
MEDIA = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg; codecs=opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
EXACT = {"mp3", "opus", "aac", "pcm"}

ONE = (
    "Stand at the foot of the old quarry and say a short sentence. It comes back to you whole.\n\n"
    "Then, if the air is still, it comes back again. Nobody planned an echo! Why does it answer twice?"
)
OTHER = (
    ONE.replace("echo", "answer").replace("short", "plain").replace("still", "cold").replace("whole", "soon")
)


def texts_of(server: Server, text: str) -> list[str]:
    """The chunks that a provider is asked to speak."""
    plan = server.client.post("/v1/speech/plan", json={"input": text}).raise_for_status().json()
    return [chunk["text"] for chunk in plan["chunks"]]


def events(body: str) -> list[dict[str, Any]]:
    """Server-sent events, as the specification splits them."""
    return [json.loads(block.removeprefix("data: ")) for block in body.split("\n\n") if block]


def lengths_of(server: Server, text: str, fmt: str, **body: object) -> dict[str, list[float]]:
    """How long each chunk is with the pause behind it, and that alone, by the report in the last event."""
    answer = server.post(input=text, response_format=fmt, stream_format="sse", **body)
    chunks = events(answer.text)[-1]["refrain"]["chunks"]
    return {
        "seconds": [chunk["seconds"] for chunk in chunks],
        "pauses": [chunk["pause"] for chunk in chunks],
    }


@pytest.mark.parametrize("fmt", FORMATS)
def test_speaks_and_repeats(client: OpenAI, server: Server, fmt: Name):
    """A stock client would hear chunks missing, out of order or cut, or something else the second time."""
    text = f"{fmt.upper()} first. {ONE}"
    chunks = texts_of(server, text)
    assert len(chunks) == 6
    speech = client.audio.speech.with_raw_response
    made = speech.create(model="tts-1", voice="alloy", input=text, response_format=fmt)
    found = speech.create(model="tts-1", voice="alloy", input=text, response_format=fmt)

    lengths = lengths_of(server, text, fmt)
    for answer in (made, found):
        assert answer.headers["content-type"] == MEDIA[fmt]
        assert_says(heard(fmt, answer.content), fmt, chunks, **lengths)
    assert made.headers["cache-status"] == "refrain; fwd=miss"
    assert "content-length" not in made.headers
    assert found.headers["cache-status"].startswith("refrain; hit; detail=")
    assert found.headers["content-length"] == str(len(found.content))
    assert (made.content == found.content) == (fmt in EXACT)

    address = made.headers["content-location"]
    assert found.headers["content-location"] == address
    replayed = server.get(f"{address}.{fmt}")
    assert replayed.content == found.content
    assert replayed.headers["etag"] == found.headers["etag"]


@pytest.mark.parametrize("fmt", FORMATS)
def test_streams(client: OpenAI, server: Server, fmt: Name):
    """A stock client that plays while it loads would hear something else than one that loads first."""
    text = f"{fmt.upper()} streams. {OTHER}"
    streaming = client.audio.speech.with_streaming_response
    with streaming.create(model="tts-1", voice="nova", input=text, response_format=fmt) as answer:
        made = b"".join(answer.iter_bytes(1_000))
    assert_says(heard(fmt, made), fmt, texts_of(server, text), **lengths_of(server, text, fmt))
    with streaming.create(model="tts-1", voice="nova", input=text, response_format=fmt) as answer:
        found = b"".join(answer.iter_bytes(1_000))
    if fmt in EXACT:
        assert found == made
    else:
        assert (heard(fmt, found).sound == heard(fmt, made).sound).all()


def test_wav_headers_tell_the_truth_once_it_is_known(client: OpenAI, server: Server):
    """Players would show a length of hours, or refuse the file."""
    body = {"input": "The length of this is known the second time.", "response_format": "wav"}
    server.post(**body)
    found = server.post(**body).content
    assert found[:4] == b"RIFF"
    assert int.from_bytes(found[4:8], "little") == len(found) - 8
    assert int.from_bytes(found[40:44], "little") == len(found) - 44
    assert int.from_bytes(found[24:28], "little") == 24_000


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("fmt", ["wav", "pcm"])
def test_other_sample_rates(server: Server, fmt: str, rate: int):
    """Telephones want 8 kHz and studios 48: they would hear another pitch, or the wrong length."""
    text = f"Spoken for {rate} hertz.\n\nAnd once more."
    body = {"input": text, "response_format": fmt, "sample_rate": rate}
    answers = [server.post(**body).raise_for_status().content for _ in range(2)]
    lengths = lengths_of(server, text, fmt, sample_rate=rate)
    for answer in answers:
        said = heard(fmt, answer, rate)
        assert said.rate == rate
        assert_says(said, fmt, texts_of(server, text), **lengths)


@pytest.mark.parametrize("speed", [0.25, 0.75, 2.0, 4.0])
def test_speed(client: OpenAI, speed: float):
    """Whoever asks for faster speech would get it slower, or as it was: also past what the provider can do itself."""
    text = "Said at a pace of somebody else's choosing, and long enough for it to be told."
    lengths = [
        heard("wav", client.audio.speech.create(
            model="tts-1", voice="alloy", input=text, response_format="wav", speed=pace
        ).content).audible
        for pace in (1.0, speed)
    ]  # fmt: skip
    assert lengths[0] / lengths[1] == pytest.approx(speed, rel=0.05)


def test_sse_carries_the_very_bytes(client: OpenAI, server: Server):
    """A browser that speaks SSE would play other sound than one that does not."""
    text = "These bytes travel as text. There are two chunks of them."
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=text, response_format="mp3", stream_format="sse"
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        address = answer.headers["content-location"]
        made = events(answer.read().decode())
    found = events(server.post(input=text, voice="alloy", response_format="mp3", stream_format="sse").text)
    for stream, charged, outcome in ((made, len("".join(texts_of(server, text))), "made"), (found, 0, "hit")):
        *deltas, done = stream
        assert {event["type"] for event in deltas} == {"speech.audio.delta"}
        sound = b"".join(base64.b64decode(event["audio"]) for event in deltas)
        assert sound == server.get(address).content
        assert done["type"] == "speech.audio.done"
        assert done["usage"] == {"input_tokens": charged, "output_tokens": 0, "total_tokens": charged}
        assert [chunk["outcome"] for chunk in done["refrain"]["chunks"]] == [outcome] * 2
        assert address == f"/v1/speech/{done['refrain']['digest']}"


async def test_the_async_client(server: Server):
    """Asynchronous clients, which most services use, would wait for ever or get somebody else's sound."""
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        text = "Asked for asynchronously."
        made = await client.audio.speech.create(
            model="tts-1", voice="alloy", input=text, response_format="opus"
        )
    assert_says(heard("opus", made.content), "opus", [text], **lengths_of(server, text, "opus"))


def test_headers_of_the_contract(client: OpenAI):
    """Operators and players go by these names."""
    create = client.audio.speech.with_raw_response.create
    text = "Look at the head of this answer. It says a lot."
    made, found = (
        create(model="tts-1", voice="alloy", input=text, extra_headers={"X-Request-Id": "from.caller-1"})
        for _ in "ab"
    )
    for answer in (made, found):
        assert answer.headers["x-request-id"] == "from.caller-1"
        assert answer.headers["content-location"].startswith("/v1/speech/")
        assert "first_audio;dur=" in answer.headers["server-timing"]
    assert found.headers["cache-status"] == 'refrain; hit; detail="chunks=2 hits=2 joined=0 stale=0"'
    assert found.headers["x-refrain-provider"] == "first"
    assert found.headers["x-refrain-characters"] == "0"
    assert found.headers["etag"].startswith('"')
    assert {"cache", "provider", "first_audio"} == {
        part.split(";")[0].strip() for part in found.headers["server-timing"].split(",")
    }


@pytest.mark.parametrize("given", ["", "with space", "x" * 200, "é", "a\tb", '"', "-leading"])
def test_an_insane_request_id_is_replaced(server: Server, given: str):
    """Logs could be forged by whoever chooses the id."""
    answer = server.client.get("/healthz", headers=[(b"X-Request-Id", given.encode())])
    assert answer.headers["x-request-id"] not in ("", given)


def test_errors_arrive_as_the_clients_own(client: OpenAI, server: Server):
    """Code that catches the client's exceptions by kind would not know what happened."""
    create = client.audio.speech.create
    with pytest.raises(openai.BadRequestError) as refused:
        create(model="tts-1", voice="nobody", input="Hello.")
    assert (refused.value.code, refused.value.param) == ("unknown_voice", "voice")
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id
    with pytest.raises(openai.BadRequestError) as refused:
        create(model="tts-1", voice="alloy", input="")
    assert (refused.value.code, refused.value.param) == ("invalid_input", "input")
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="tts-1", voice="alloy", input="Never said by anyone.", extra_body={"cache": "only"})
    assert missing.value.code == "not_cached"


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_cut_is_an_exception(client: OpenAI, fmt: Name):
    """Code that uses the stock client would take half a sentence for the whole."""
    text = (
        f"{fmt.upper()}: the provider of this voice dies before it has come to the end of what it was to say."
    )
    with pytest.raises((openai.APIConnectionError, httpx.TransportError)):
        client.audio.speech.create(model="tts-1", voice=f"dying-{fmt}", input=text, response_format=fmt)
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=text, response_format=fmt
    ) as whole:
        assert heard(fmt, whole.read()).audible > 4


def test_models_are_listed(client: OpenAI):
    """Clients that list models first would stop there."""
    assert "tts-1" in {model.id for model in client.models.list()}
    assert client.models.retrieve("tts-1").owned_by == "refrain"


def test_a_voice_by_its_id(client: OpenAI, server: Server):
    """OpenAI's newer way of naming a voice would be refused."""
    answers = [
        server.post(input="Named in another way.", voice=voice).content
        for voice in ("alloy", {"id": "alloy"})
    ]
    assert answers[0] == answers[1]
    assert isinstance(answers[0], bytes)


def test_a_broken_download_goes_on(server: Server):
    """Whoever loses the connection would have to hear, or pay for, everything again."""
    text = "Half of this is lost on the way. The other half is fetched. Nobody notices."
    with httpx.stream("POST", f"{server.url}/v1/audio/speech", json={"input": text}) as answer:
        address = answer.headers["content-location"]
        whole = answer.read()
    half = len(whole) // 2
    rest = server.get(address, Range=f"bytes={half}-")
    assert whole[:half] + rest.content == whole

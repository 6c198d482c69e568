"""What clients may ask their sound to come in: formats, sample rates, bit rates."""

import io
import json

import av
import pytest

from app.audio.formats import FORMATS
from app.audio.offers import MP3_BIT_RATES
from tests.http.hearing import assert_says, heard
from tests.http.servers import Server

TEXT = "Heard over the telephone. Heard once more."


def body(**fields: object) -> dict[str, object]:
    """A speech body."""
    return {"input": TEXT, **fields}


@pytest.mark.parametrize("fmt", ["m4a", "ulaw", "alaw"])
def test_formats_that_openai_has_not(server: Server, fmt: str):
    """Telephones and players would get sound that they cannot play, or other sound at the address."""
    made = server.post(**body(response_format=fmt)).raise_for_status()
    found = server.post(**body(response_format=fmt))
    address = made.headers["content-location"]
    replayed = server.get(f"{address}.{fmt}")
    assert found.headers["content-type"] == replayed.headers["content-type"] == FORMATS[fmt].media_type
    assert found.content == replayed.content
    assert int(found.headers["content-length"]) == len(found.content)
    said = heard(fmt, found.content)
    assert (heard(fmt, made.content).sound == said.sound).all()
    plan = server.client.post("/v1/speech/plan", json=body(response_format=fmt)).json()
    events = server.post(**body(response_format=fmt, stream_format="sse")).text.strip().split("\n\n")
    report = json.loads(events[-1].removeprefix("data: "))["refrain"]["chunks"]
    lengths = [chunk["seconds"] for chunk in report]
    assert_says(said, fmt, [chunk["text"] for chunk in plan["chunks"]], lengths)


def test_m4a_shares_the_clips_of_aac(server: Server):
    """A provider would be paid twice for the same sound."""
    text = "Paid for once, heard in two wrappings."
    server.post(input=text, response_format="aac").raise_for_status()
    wrapped = server.post(input=text, response_format="m4a")
    assert wrapped.headers["cache-status"].startswith("refrain; hit")


@pytest.mark.parametrize("bit_rate", MP3_BIT_RATES)
def test_mp3_has_the_bit_rate_that_was_asked_for(server: Server, bit_rate: int):
    """Who pays for traffic, or wants better sound, would not be heard."""
    made = server.post(**body(bit_rate=bit_rate)).raise_for_status()
    found = server.post(**body(bit_rate=bit_rate))
    assert made.content == found.content
    with av.open(io.BytesIO(found.content)) as opened:
        assert opened.bit_rate == bit_rate
    assert found.headers["content-location"] == made.headers["content-location"]


def test_bit_rates_are_different_sounds(server: Server):
    """Somebody else's bit rate would be served."""
    answers = [server.post(**body(response_format="opus", bit_rate=rate)) for rate in (16_000, 96_000)]
    assert len({answer.headers["content-location"] for answer in answers}) == 2
    assert len(answers[1].content) > 2 * len(answers[0].content)


def test_usual_bit_rates_need_not_be_written(server: Server):
    """One sound would be made twice."""
    text = "The same, whether it is written or not."
    server.post(input=text).raise_for_status()
    written = server.post(input=text, bit_rate=64_000, sample_rate=24_000)
    assert written.headers["cache-status"].startswith("refrain; hit")


@pytest.mark.parametrize(
    ("fields", "field", "offered"),
    [
        ({"bit_rate": 63_000}, "bit_rate", "64000"),
        ({"bit_rate": 16_000}, "bit_rate", "32000"),
        ({"bit_rate": 0}, "bit_rate", "32000"),
        ({"bit_rate": 64_000, "response_format": "wav"}, "bit_rate", "Leave it out"),
        ({"bit_rate": 64_000, "response_format": "ulaw"}, "bit_rate", "Leave it out"),
        ({"sample_rate": 16_000}, "sample_rate", "24000, 48000"),
        ({"sample_rate": 24_000, "response_format": "ulaw"}, "sample_rate", "8000"),
        ({"sample_rate": 48_000, "response_format": "opus"}, "sample_rate", "24000"),
        ({"sample_rate": -1, "response_format": "wav"}, "sample_rate", "44100"),
        ({"response_format": "m4b"}, "response_format", "m4a"),
    ],
)
def test_what_there_is_not_is_refused(server: Server, fields: dict[str, object], field: str, offered: str):
    """A client would get something else than it asked for, or not be told what there is."""
    refused = server.post(**body(**fields))
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_format", field)
    assert offered in error["message"]


def test_other_rates_of_flac_and_mp3(server: Server):
    """Studios would have to resample."""
    for fmt, rate in (("flac", 44_100), ("flac", 8_000), ("mp3", 48_000)):
        said = heard(
            fmt, server.post(**body(response_format=fmt, sample_rate=rate)).raise_for_status().content
        )
        assert said.rate == rate
        assert said.audible > 1

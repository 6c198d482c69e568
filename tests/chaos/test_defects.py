"""What no part was told to expect: foreign exceptions, clips remade elsewhere, floods of plans."""

import logging
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.audio.formats import FORMATS, output
from app.audio.joiners import Appending
from app.server import House, open_house
from app.settings import parse
from app.speech.making import Live
from app.speech.plan import SpeechRequest
from cache.purges import Purges
from providers import tones
from providers.interface import Sound, Utterance
from tests.http.servers import VOICES, Inside, Valkey, inside

TEXT = "This sentence is said first, and is long enough to be one. This one is said after it."
CANARY = "xylophone"


def _broken(house: Inside, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Have the provider `first` raise what no adapter may raise, after so many pieces, with the text in it."""
    first = house.scripted["first"]
    speak = first.speak

    @asynccontextmanager
    async def breaking(utterance: Utterance) -> AsyncIterator[Sound]:
        async with speak(utterance) as sound:

            async def pieces() -> AsyncGenerator[bytes]:
                for _ in range(after):
                    yield await anext(sound.pieces)
                raise KeyError(utterance.text)

            yield Sound(sound.encoding, sound.sample_rate, sound.channels, pieces())

    monkeypatch.setattr(first, "speak", breaking)


async def test_a_defect_in_an_adapter_costs_that_provider_alone(
    house: Inside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """One vendor's surprising answer would be a 500 for everybody, though the next in the chain is well."""
    _broken(house, monkeypatch, after=0)
    answer = await house.post(input=f"The {CANARY} is played.", voice="backed")
    assert answer.status_code == 200
    assert len(house.scripted["second"].calls) == 1
    alone = await house.post(input=f"The {CANARY} is played.")
    assert (alone.status_code, alone.json()["error"]["code"]) == (502, "provider_failed")
    assert await house.metric("refrain_provider_requests_total", provider="first", outcome="ok") == 0
    assert "defect: KeyError at" in caplog.text
    assert CANARY not in caplog.text


async def test_a_defect_in_the_middle_is_a_cut_and_tells_no_log_the_text(
    house: Inside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The listener would take half for the whole, and the operator's log would hold what somebody had said."""
    caplog.set_level(logging.DEBUG, logger="refrain")

    def chokes(_self: object, piece: bytes, *, last: bool) -> bytes:
        if last:
            raise ValueError(CANARY)
        return piece

    monkeypatch.setattr(Appending, "add", chokes)
    for number, form in enumerate(
        ({"response_format": "mp3"}, {"response_format": "aac", "stream_format": "sse"})
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await house.client.post(
                "/v1/audio/speech", json={"input": TEXT, **form}, headers={"X-Request-Id": f"caller-{number}"}
            )
    assert "defect: ValueError at" in caplog.text
    assert CANARY not in caplog.text
    # Whoever complains names the request; without it in the log nobody finds what became of it.
    for number in range(2):
        said = [
            record.getMessage()
            for record in caplog.records
            if f"(request caller-{number})" in record.getMessage()
        ]
        assert [line.partition(":")[0] for line in said] == ["defect", "speech cut short"]


async def test_a_clip_remade_for_another_text_does_not_take_a_speech_away(
    house: Inside, monkeypatch: pytest.MonkeyPatch
):
    """Every address that shares a sentence with a refreshed text would be 404, though all its sound is there."""
    made = await house.post(input=TEXT)
    address = made.headers["content-location"]
    before = await house.client.get(address)
    monkeypatch.setattr(tones, "_AMPLITUDE", 0.2)  # the same voice, in another mood
    await house.post(input=TEXT.split(". ")[1], cache="refresh")
    after = await house.client.get(address, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["etag"] != before.headers["etag"]
    assert len(after.content) == int(after.headers["content-length"])
    # Who was in the middle of the old bytes must not be given the rest of the new ones.
    resumed = await house.client.get(
        address, headers={"Range": "bytes=1000-", "If-Range": before.headers["etag"]}
    )
    assert (resumed.status_code, resumed.content) == (200, after.content)


async def test_replicas_disagree_without_taking_a_speech_away(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """A refresh on one replica would make the address 404 on every other that still holds the old clip."""
    valkey.command("FLUSHALL")
    monkeypatch.setattr(
        Purges, "watch", lambda *_, **__: None
    )  # within the second until it hears of the refresh
    async with inside(monkeypatch, valkey.url) as one, inside(monkeypatch, valkey.url) as two:
        made = await one.post(input=TEXT)
        await two.post(input=TEXT.split(". ")[1])  # one clip of it is now in the other's memory
        monkeypatch.setattr(tones, "_AMPLITUDE", 0.2)
        fresh = await one.post(input=TEXT, cache="refresh")
        assert fresh.content != made.content
        answers = [await replica.client.get(made.headers["content-location"]) for replica in (one, two)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert len({answer.headers["etag"] for answer in answers}) == 2  # other bytes, another name


async def test_refused_sound_was_paid_for(house: Inside):
    """The operator's spending would look smaller than the bill, most of all when a vendor goes wrong."""
    first = house.scripted["first"]
    first.script = type(first.script)(answer="silence")
    assert (await house.post(input="A sentence.")).status_code == 502
    assert await house.metric("refrain_spend_total", provider="first") == pytest.approx(11 * 10 / 1e6)


async def test_a_page_of_somebody_elses_cannot_spend(house: Inside):
    """A browser sends a body without a type to any address, unasked, for any page that its user looks at."""
    body = b'{"input": "Spend."}'
    foreign = await house.client.post(
        "/v1/audio/speech", content=body, headers={"Origin": "https://elsewhere.example"}
    )
    assert (foreign.status_code, house.calls) == (403, 0)
    untyped = await house.client.post(
        "/v1/audio/speech", content=body, headers={"Origin": str(house.client.base_url).rstrip("/")}
    )
    assert (untyped.status_code, house.calls) == (415, 0), "its own page says what it sends"
    program = await house.client.post("/v1/audio/speech", content=body)
    assert (program.status_code, house.calls) == (200, 1)


async def test_instructions_are_bounded(house: Inside):
    """They go out with every chunk: a megabyte of them would be sent, hashed and paid for 3,000 times."""
    too_long = await house.post(input="Hello.", instructions="x" * 5_000)
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "instructions")
    assert house.calls == 0


@pytest.fixture
async def parts(valkey: Valkey) -> AsyncIterator[House]:
    """What runs, without a server around it."""
    async with open_house(
        parse(f'[redis]\nurl = "{valkey.url}"\n[cache]\narchive = "off"\n{VOICES}', {})
    ) as opened:
        yield opened


async def test_remembered_plans_are_bounded_with_all_that_hangs_on_them(parts: House):
    """One client that sends long instructions with short texts would fill the memory."""
    voice = parts.voices.find("default")
    tracemalloc.start()
    try:
        for n in range(3_500):
            request = SpeechRequest(
                f"Number {n}.", voice, output(FORMATS["mp3"]), instructions=f"{n:04}" * 1_000
            )
            await parts.studio.plan(request)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 12e6  # of 14 MB of instructions


async def test_a_listener_does_not_hold_what_was_heard(parts: House):
    """Some hundred listeners of long articles would hold all of their sound until they end."""
    request = SpeechRequest(TEXT, parts.voices.find("default"), output(FORMATS["mp3"]), cache="bypass")
    async with parts.studio.perform(await parts.studio.plan(request)) as speech:
        assert isinstance(speech, Live)
        heard = b"".join([piece async for piece in speech.sound()])
        assert sum(clip.size for clip in speech.clips) == len(heard)
        assert not any(clip.entry.payload for clip in speech.clips)

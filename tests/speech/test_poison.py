"""Providers that answer with poison: what the listener hears, what is stored, what the operator can count."""

from collections.abc import AsyncIterator
from typing import Final, Literal

import httpx
import pytest

import app.server
from providers import tones
from providers.scripted import Script
from tests.http.hearing import assert_says, heard
from tests.http.servers import Inside, Valkey, inside

TEXT: Final = "Somebody says a thing once."
TWO: Final = (
    "People found in those months that they missed it more than any of them had expected to. "
    "After that it is just there, and it costs nobody anything to hear it again."
)
# Each of the twelve, as the kind that it is counted as. Where the poison is a file, it is announced as one.
POISON: Final = {
    "empty": (Script(answer="empty"), "empty"),
    "silence": (Script(answer="silence"), "silent"),
    "page": (Script(answer="html"), "not_sound"),
    "JSON": (Script(answer="json"), "not_sound"),
    "random bytes": (Script(answer="noise"), "noise"),
    "random bytes for a file": (Script(answer="noise", announced="file"), "unreadable"),
    "half an MP3": (Script(container="mp3", answer="half"), "cut"),
    "MP3 cut within a frame": (Script(container="mp3", answer="odd"), "cut"),
    "PCM shifted by a byte": (Script(answer="shifted"), "noise"),
    "PCM of half a sample": (Script(answer="odd"), "odd_length"),
    "MP3 for PCM": (Script(container="mp3", announced="pcm"), "not_sound"),
    "no such rate": (Script(announced_rate=7), "unreadable"),
    "endless file": (Script(container="mp3", answer="endless", piece_bytes=1 << 20), "too_long"),
    "frames that hold nothing": (Script(answer="hollow", announced="file"), "unreadable"),
}
# Of these, sound has left before it turns out what they are.
HEARD: Final = ("PCM of half a sample",)


@pytest.fixture
async def house(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain with an empty cache and no memory of failures."""
    monkeypatch.setattr(app.server, "remembered", lambda _: 0.0)
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url) as running:
        yield running


async def stored(house: Inside, text: str, fmt: str) -> list[bool]:
    """Whether each chunk of the text, as `first` speaks it, is in the cache."""
    body = {"input": text, "voice": "default", "response_format": fmt}
    plan = await house.client.post("/v1/speech/plan", json=body)
    return [chunk["hit"] for chunk in plan.json()["chunks"]]


async def counted(house: Inside, kind: str) -> float:
    """How often `first` was refused for this kind of poison."""
    return await house.metric("refrain_bad_audio_total", provider="first", kind=kind)


@pytest.mark.parametrize("name", [name for name in POISON if name not in HEARD])
async def test_the_stand_in_speaks_and_nothing_is_stored(house: Inside, name: str):
    """The listener would hear a provider's failure, and so would everybody after him for a month."""
    script, kind = POISON[name]
    house.scripted["first"].script = script
    answer = await house.post(input=TEXT, voice="backed", response_format="wav")
    assert answer.status_code == 200
    replay = await house.client.get(answer.headers["content-location"])
    assert replay.headers["x-refrain-provider"] == "second"
    said = heard("wav", answer.content)
    assert_says(said, "wav", [TEXT], [said.seconds], "high")
    assert await counted(house, kind) == 1
    assert await house.metric("refrain_bad_audio_total") == 1
    assert await stored(house, TEXT, "wav") == [False]
    # Whoever has nobody to stand in is told, and which provider it was.
    refused = await house.post(input=TEXT, response_format="wav")
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "provider_failed")
    assert "(first: bad_audio)" in refused.json()["error"]["message"]
    assert await counted(house, kind) == 2
    house.scripted["first"].script = Script()
    assert (await house.post(input=TEXT, response_format="wav")).status_code == 200
    assert await stored(house, TEXT, "wav") == [True]


@pytest.mark.parametrize(
    ("script", "kind"),
    [(Script(answer="endless", piece_bytes=1 << 18), "too_long"), POISON["PCM of half a sample"]],
    ids=["endless", "half a sample"],
)
async def test_what_turns_out_too_late_cuts_the_connection(house: Inside, script: Script, kind: str):
    """The listener would take it for the whole, or hear the stand-in begin in the middle."""
    house.scripted["first"].script = script
    body = {"input": TEXT, "voice": "backed", "response_format": "pcm"}
    with pytest.raises(httpx.RemoteProtocolError):
        await house.post(**body)
    assert not house.scripted["second"].calls
    assert await counted(house, kind) == 1
    assert await stored(house, TEXT, "pcm") == [False]


@pytest.mark.parametrize("name", ["PCM of half a sample", "PCM shifted by a byte", "half an MP3"])
async def test_poison_in_a_later_chunk_is_not_heard(house: Inside, name: str):
    """The listener would be cut off although the stand-in could have spoken."""
    script, kind = POISON[name]
    when = {field: getattr(script, field) for field in ("container", "answer", "announced")}
    house.scripted["first"].script = Script(**when, when="After that")
    answer = await house.post(input=TWO, voice="backed", response_format="wav")
    assert answer.status_code == 200
    replay = await house.client.get(answer.headers["content-location"])
    assert replay.headers["x-refrain-provider"] == "first, second"
    assert await counted(house, kind) == 1
    assert await stored(house, TWO, "wav") == [True, False]


@pytest.mark.parametrize("factor", [0.5, 2.0])
async def test_a_wrong_rate_survives(house: Inside, factor: float):
    """Nobody can tell a voice at twice the pace from a fast one; it must not hurt anything else."""
    house.scripted["first"].script = Script(announced_rate=round(24_000 * factor))
    answer = await house.post(input=TEXT, response_format="wav")
    assert answer.status_code == 200
    pitch, seconds = tones.tone(TEXT, "low")
    said = heard("wav", answer.content)
    assert said.pitch == pytest.approx(pitch * factor, abs=6)
    assert said.audible == pytest.approx(seconds / factor, abs=0.03)
    assert await house.metric("refrain_bad_audio_total") == 0


LONG: Final = TWO.partition(". ")[2]


@pytest.mark.parametrize(("pace", "announced"), [(0.03, 48_000), (0.16, 6_000)], ids=["fast", "slow"])
async def test_a_pace_at_which_nobody_speaks_is_not_stored(house: Inside, pace: float, announced: int):
    """All who come after the first listener would hear a mouse, or a bear, for a month."""
    house.scripted["first"].script = Script(seconds_per_character=pace, announced_rate=announced)
    with pytest.raises(httpx.RemoteProtocolError):
        await house.post(input=LONG, voice="backed", response_format="pcm")
    assert await counted(house, "pace") == 1
    assert await stored(house, LONG, "pcm") == [False]


async def test_the_stand_in_speaks_at_its_own_pace(house: Inside):
    """The listener would hear the wrong pace although nothing of the chunk has left."""
    fast = Script(seconds_per_character=0.03, announced_rate=48_000, when="After that")
    house.scripted["first"].script = fast
    answer = await house.post(input=TWO, voice="backed", response_format="wav")
    assert answer.status_code == 200
    replay = await house.client.get(answer.headers["content-location"])
    assert replay.headers["x-refrain-provider"] == "first, second"
    assert await counted(house, "pace") == 1
    assert await stored(house, TWO, "wav") == [True, False]


@pytest.mark.parametrize("announced", [8_000, 144_000])
@pytest.mark.parametrize("container", ["wav", "mp3"])
async def test_a_file_is_believed_more_than_its_sender(
    house: Inside, container: Literal["wav", "mp3"], announced: int
):
    """A right file would sound wrong because an adapter, or a vendor's header, said another rate."""
    house.scripted["first"].script = Script(container=container, announced_rate=announced)
    answer = await house.post(input=LONG, response_format="wav")
    assert answer.status_code == 200
    pitch, seconds = tones.tone(LONG, "low")
    said = heard("wav", answer.content)
    assert said.pitch == pytest.approx(pitch, abs=6)
    assert said.audible == pytest.approx(seconds, abs=0.06)


async def test_what_an_adapter_refuses_is_counted_too(house: Inside):
    """An operator would see a provider fail, and no poison."""
    house.scripted["first"].script = Script(fault="bad_audio")
    assert (await house.post(input=TEXT, voice="backed")).status_code == 200
    assert await counted(house, "adapter") == 1

"""What a vendor tells beside its sound, all the way to who reads it: times of words, and what was charged."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.http.servers import Inside, Valkey, inside
from tests.providers import elevenlabs_wire
from tests.providers.vendor_server import VendorServer, vendor_server

TEXT = "The first sentence is here to be heard. Then comes the second one of them. At last there is a third."
HOUSE = """
[providers.eleven]
kind = "elevenlabs"
base_url = "{url}"
stitch = true
chunking = "sentence"
[voices.eleven]
chain = [{{ provider = "eleven", voice = "voiceA", model = "eleven_flash_v2_5" }}]
"""


@dataclass
class Placed:
    """Refrain, and the vendor that it asks."""

    house: Inside
    vendor: VendorServer


@pytest.fixture
async def eleven(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Placed]:
    """Refrain with an empty cache, and a voice of ElevenLabs."""
    valkey.command("FLUSHALL")
    async with (
        vendor_server(elevenlabs_wire.answer) as vendor,
        inside(monkeypatch, valkey.url, HOUSE.format(url=vendor.url)) as house,
    ):
        yield Placed(house, vendor)


async def test_times_of_words_reach_the_captions(eleven: Placed):
    """Captions would be guessed from the length of words although the vendor told them."""
    made = await eleven.house.post(input=TEXT, voice="eleven", response_format="wav")
    assert made.status_code == 200, made.text
    answer = await eleven.house.client.get(f"{made.headers['content-location']}/captions.json")
    cues = json.loads(answer.text)["cues"]
    assert len(cues) == 3
    for cue in cues:
        # The double says each character in 60 ms; between its word and the sentence's beginning nothing is cut.
        expected = [60 * word.start() for word in re.finditer(r"\S+", cue["text"])]
        begins = [round(1_000 * (word["start"] - cue["words"][0]["start"])) for word in cue["words"]]
        assert all(abs(one - other) <= 2 for one, other in zip(begins, expected, strict=True))


async def test_what_was_charged_is_what_is_counted(eleven: Placed):
    """An operator would budget by list prices what the vendor bills otherwise."""
    await eleven.house.post(input=TEXT, voice="eleven")
    # Three sentences, 12 credits each as the double says, at $100 for a million.
    spent = await eleven.house.metric("refrain_spend_total", provider="eleven")
    assert spent == pytest.approx(3 * 12 * 100 / 1e6)


async def test_neighbours_are_sent(eleven: Placed):
    """Planned and never sent, they would cost the cache and change nothing."""
    await eleven.house.post(input=TEXT, voice="eleven")
    sent = {request.body["text"]: request.body for request in eleven.vendor.requests if request.body}
    first, second, third = (sent[text] for text in re.split(r"(?<=[.]) ", TEXT))
    assert "previous_text" not in first
    assert (first["next_text"], second["previous_text"]) == (second["text"], first["text"])
    assert "next_text" not in third

"""Pauses between clips: heard by every listener, in every form of the answer, and at its address."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from app.audio.formats import FORMATS, output
from app.speech import manifest as manifest_module
from app.speech.manifest import ClipLine, Manifest
from tests.http.hearing import DELAY, heard
from tests.http.servers import VOICES, Inside, Server, Valkey, inside

TEXT = """It comes back to you whole, and it comes soon.

- Then it comes back again, if the air is still.
- Nobody planned an echo, so why does it answer twice?"""
PAUSES = [0.6, 0.25, 0.0]
CONFIG = f"""
[chunking]
paragraph_pause = "600ms"
item_pause = "250ms"
{VOICES}"""


@pytest.fixture
async def paused(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain with an empty cache, and pauses of its own."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, CONFIG) as running:
        yield running


def sse(body: bytes) -> tuple[bytes, list[dict[str, float]]]:
    """The bytes of sound, and the report's chunks."""
    events = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n\n") if line]
    sound = b"".join(base64.b64decode(event["audio"]) for event in events if "audio" in event)
    return sound, events[-1]["refrain"]["chunks"]


@pytest.mark.parametrize("fmt", FORMATS)
async def test_pauses_are_heard_by_all(paused: Inside, fmt: str):
    """One listener would hear a pause and the next one none; a broken download would go on at the wrong place."""
    made = await paused.post(input=TEXT, response_format=fmt)
    again = await paused.post(input=TEXT, response_format=fmt)
    replayed = await paused.client.get(made.headers["content-location"])
    events, chunks = sse((await paused.post(input=TEXT, response_format=fmt, stream_format="sse")).content)
    head = 0 if FORMATS[fmt].streams_exactly else len(output(FORMATS[fmt]).joiner().head(None))
    assert made.content[head:] == again.content[head:] == replayed.content[head:] == events[head:]
    assert again.content == replayed.content == events
    assert again.headers["etag"] == replayed.headers["etag"]
    assert len(again.content) == int(again.headers["content-length"])

    grid = FORMATS[fmt].form.frame / 24_000
    assert [chunk["pause"] for chunk in chunks] == pytest.approx(PAUSES, abs=grid / 2 + 1e-9)
    said = heard(fmt, made.content)
    assert said.seconds == pytest.approx(sum(chunk["seconds"] for chunk in chunks), abs=1e-9)
    at = DELAY.get(fmt, 0) / 24_000
    for chunk in chunks:
        at += chunk["seconds"]
        quiet = said.stretch(at - chunk["pause"] - 0.05, min(at, said.seconds))
        assert np.abs(quiet.sound).max() < 0.001
        assert said.stretch(at - chunk["seconds"] + 0.04, at - chunk["pause"] - 0.3).audible > 1


GUARDED = """
import sys
import av.codec

class Guarded:
    @staticmethod
    def create(name, mode):
        print(f"opened {name} {mode}", file=sys.stderr, flush=True)
        assert mode == "r", "an encoder"
        return real.create(name, mode)

real, av.codec.CodecContext = av.codec.CodecContext, Guarded
from app.cli import main
main()
"""
BREAKS = {
    "input": '<speak><p>It comes back.<break time="400ms"/></p><p>And again.<break time="10s"/></p></speak>',
    "input_type": "ssml",
}


def opened(server: Server) -> set[str]:
    """The codecs that a guarded server has opened."""
    return {line for line in server.log.read_text().splitlines() if line.startswith("opened")}


async def test_a_hit_opens_no_encoder(valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The first listeners after every restart would wait for codecs, and all others of that process with them."""
    valkey.command("FLUSHALL")
    bodies = [
        {**ask, "response_format": fmt.name, **rates}
        for fmt in FORMATS.values()
        for ask, rates in (
            ({"input": TEXT}, {}),
            (BREAKS, {}),
            (BREAKS, {"sample_rate": fmt.sample_rates[-1]}),
            *((BREAKS, {"bit_rate": rate}) for rate in fmt.bit_rates[:1]),
        )
    ]
    bodies.sort(key=lambda body: FORMATS[body["response_format"]].decodes)
    async with inside(monkeypatch, valkey.url, CONFIG) as house:
        made = [await house.post(**body) for body in bodies]
    config = f'[redis]\nurl = "{valkey.url}"\n{CONFIG}'
    restarted = Server(tmp_path, config, program=("-c", GUARDED))
    try:
        for body, first in zip(bodies, made, strict=True):
            fmt = FORMATS[body["response_format"]]
            head = 0 if fmt.streams_exactly else len(output(fmt).joiner().head(None))
            found = [restarted.post(**body), restarted.get(first.headers["content-location"])]
            assert found[0].headers["cache-status"].startswith("refrain; hit")
            assert all(one.content[head:] == first.content[head:] for one in found)
            if not fmt.decodes:
                assert opened(restarted) == set()
        assert opened(restarted) == {"opened flac r"}
        assert restarted.post(input="This one is new.").status_code == 502
        assert opened(restarted) == {"opened flac r", "opened libmp3lame w"}  # the guard is one
    finally:
        restarted.stop()


@pytest.mark.parametrize("fmt", ["mp3", "wav"])
async def test_the_report_of_what_is_made_tells_pauses(paused: Inside, fmt: str):
    """Captions of who heard it first would run ahead of the sound."""
    events, chunks = sse((await paused.post(input=TEXT, response_format=fmt, stream_format="sse")).content)
    assert [chunk["outcome"] for chunk in chunks] == ["made"] * 3
    assert [chunk["pause"] for chunk in chunks] == pytest.approx(PAUSES, abs=0.02)
    assert heard(fmt, events).seconds == pytest.approx(sum(chunk["seconds"] for chunk in chunks), abs=1e-9)


async def test_ranges_across_a_pause(paused: Inside):
    """A player that seeks into a pause would get the wrong bytes."""
    made = await paused.post(input=TEXT)
    address = made.headers["content-location"]
    for start in range(0, len(made.content), 5_000):
        part = await paused.client.get(address, headers={"Range": f"bytes={start}-{start + 4_999}"})
        assert part.content == made.content[start : start + 5_000]
        assert part.headers["content-range"].endswith(f"/{len(made.content)}")


async def test_a_pause_costs_no_clip(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """Whoever sets longer pauses would pay for every text once more, or be given the old sound for ever."""
    valkey.command("FLUSHALL")
    heads, sounds = [], []
    for config in (CONFIG, CONFIG.replace("600ms", "3s")):
        async with inside(monkeypatch, valkey.url, config) as house:
            made = await house.post(input=TEXT)
            replayed = await house.client.get(made.headers["content-location"])
            heads.append(replayed.headers)
            sounds.append(heard("mp3", made.content).seconds)
            assert house.calls == (3 if config is CONFIG else 0)
            assert replayed.content == made.content
    assert heads[0]["etag"] != heads[1]["etag"]
    assert heads[0]["content-location"] != heads[1]["content-location"]
    assert sounds[1] - sounds[0] == pytest.approx(2.4, abs=0.05)


async def test_a_pause_at_the_end(paused: Inside):
    """An author who ends with a pause, so that what follows elsewhere begins later, would not be given it."""
    ask = {
        "input": '<speak><p>It comes back to you whole.</p><break time="1260ms"/></speak>',
        "input_type": "ssml",
        "response_format": "wav",
    }
    made, again = [await paused.post(**ask) for _ in range(2)]
    assert made.content[44:] == again.content[44:]
    said = heard("wav", again.content)
    assert not said.stretch(said.seconds - 1.26, said.seconds).sound.any()
    assert said.stretch(0, said.seconds - 1.26).audible > said.seconds - 1.26 - 0.3


def test_manifests_of_before_are_read():
    """All that was said before the pauses came would be gone."""
    line = {
        "digest": "d", "checksum": "00" * 16, "samples": 24_000, "size": 8_000, "provider": "p",
        "characters": 9, "first_choice": True, "expires": 1e10,
    }  # fmt: skip
    old = msgspec.json.encode({"format": "mp3", "sample_rate": 24_000, "clips": [line]})
    manifest = msgspec.json.decode(old, type=Manifest)
    assert (manifest.samples, manifest.clips[0].rest) == (24_000, 0)
    assert msgspec.json.encode(manifest) == old


def test_an_etag_names_the_pauses():
    """A browser would keep the sound with the old pauses for ever."""
    clips = [ClipLine(str(number), f"{number:032x}", 24_000, 8_000, "p", 9, True, 1e10) for number in (1, 2)]
    rests = [(0, 0), (576, 0), (0, 576), (576, 576), (1_152, 0)]
    etags = {
        Manifest(
            "mp3",
            24_000,
            tuple(msgspec.structs.replace(clip, rest=r) for clip, r in zip(clips, rest, strict=True)),
        ).etag
        for rest in rests
    }
    assert len(etags) == len(rests)


def test_an_etag_names_what_silence_is_made_of(monkeypatch: pytest.MonkeyPatch):
    """A download would go on after an upgrade with other bytes; what has no pause would be loaded again for nothing."""
    line = ClipLine("1", "1" * 32, 24_000, 8_000, "p", 9, True, 1e10)
    paused = msgspec.structs.replace(line, rest=576)
    before = [Manifest("mp3", 24_000, (one,)).etag for one in (line, paused)]
    monkeypatch.setattr(manifest_module, "SILENCE_VERSION", "silence3")
    after = [Manifest("mp3", 24_000, (one,)).etag for one in (line, paused)]
    assert after[0] == before[0]
    assert after[1] != before[1]

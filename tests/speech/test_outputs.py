"""What the operator set for what requests leave out, and speeches of other releases."""

import io

import av
import msgspec
import pytest

from app.audio.formats import FORMATS, output
from app.audio.join import join
from app.speech import ready as ready_module
from app.speech import windows as windows_module
from app.speech.allowance import Allowance
from app.speech.manifest import ClipLine, Manifest
from app.speech.ready import Long, short
from cache.cache import Cache
from cache.interface import Entry
from cache.value import new_entry
from tests.audio.sounds import clip, tone
from tests.http.servers import VOICES, Inside, Valkey, inside


async def test_the_operators_bit_rate_is_the_usual_one(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """Clients would get the bit rate that the operator chose to leave."""
    valkey.command("FLUSHALL")
    config = f"[sound]\nmp3_bit_rate = 96000\naac_bit_rate = 32000\n{VOICES}"
    async with inside(monkeypatch, valkey.url, config) as house:
        made = await house.post(input="As the operator likes it.")
        with av.open(io.BytesIO(made.content)) as opened:
            assert opened.bit_rate == 96_000
        replayed = await house.client.get(made.headers["content-location"])
        assert replayed.content == made.content
        written = await house.post(input="As the operator likes it.", bit_rate=96_000)
        assert written.headers["cache-status"].startswith("refrain; hit")
        for fmt in ("aac", "m4a"):
            usual, same, other = [
                (await house.post(input="Low or high?", response_format=fmt, **rate)).headers[
                    "content-location"
                ]
                for rate in ({}, {"bit_rate": 32_000}, {"bit_rate": 64_000})
            ]
            assert usual == same != other


async def test_speeches_of_another_layout_are_gone(house: Inside, monkeypatch: pytest.MonkeyPatch):
    """Frames of an earlier release would be joined as if they were of this one: a wrong length, or a defect."""
    body = {"input": "Said before the upgrade.", "response_format": "flac"}
    address = (await house.post(**body)).headers["content-location"]
    assert (await house.client.get(address)).status_code == 200
    get_many = Cache.get_many

    async def older(self: Cache, digests: list[str]) -> list[Entry | None]:
        entries = await get_many(self, digests)
        if digests == [address.rsplit("/", 1)[1]] and entries[0]:
            manifest = msgspec.json.decode(entries[0].meta, type=Manifest)
            older = msgspec.json.encode(msgspec.structs.replace(manifest, layout=1))
            return [new_entry(older, b"", made_at=entries[0].made_at, ttl=60.0)]
        return entries

    monkeypatch.setattr(Cache, "get_many", older)
    assert (await house.client.get(address)).status_code == 404


async def nothing_more(first: int, behind: int) -> list[Entry]:
    """All clips are at hand, so none is read."""
    raise AssertionError(f"{first} to {behind} are read again")


@pytest.mark.parametrize("name", ["wav", "mp3", "flac"])
async def test_long_answers_come_in_windows(monkeypatch: pytest.MonkeyPatch, name: str):
    """A listener of an hour would cost the memory of an hour."""
    monkeypatch.setattr(windows_module, "FIRST_WINDOW", 60_000)
    monkeypatch.setattr(windows_module, "WINDOW", 60_000)
    monkeypatch.setattr(ready_module, "SHORT", 60_000)
    wanted = output(FORMATS[name])
    clips = [clip(wanted, tone(1, 200 + 20 * number)) for number in range(12)]
    lines = [ClipLine(f"{n:040}", "00" * 16, samples, len(one), "p", 9, True, 1e10)
             for n, (one, samples) in enumerate(clips)]  # fmt: skip
    manifest = Manifest(name, wanted.sample_rate, tuple(lines), wanted.bit_rate, wanted.form.layout)
    entries = [new_entry(b"{}", payload, made_at=0.0, ttl=1.0) for payload, _ in clips]
    assert short("d", manifest, entries) is None
    speech = Long("d", manifest, nothing_more, Allowance(), entries)
    windows = [window async for window in speech.sound()]
    assert b"".join(b"".join(window) for window in windows) == b"".join(join(wanted, clips))
    assert speech.size == sum(len(part) for window in windows for part in window)
    assert len(windows) > 1
    assert all(sum(map(len, window)) <= 60_000 + 44 for window in windows)


async def test_short_answers_are_joined_at_once():
    """Every hit would cost the bookkeeping of long ones."""
    wanted = output(FORMATS["mp3"])
    payload, samples = clip(wanted, tone(1))
    line = ClipLine("d" * 40, "00" * 16, samples, len(payload), "p", 9, True, 1e10)
    manifest = Manifest("mp3", 24_000, (line,), wanted.bit_rate)
    entry = new_entry(b"{}", payload, made_at=0.0, ttl=1.0)
    speech = short("d", manifest, [entry])
    assert speech is not None
    assert [part is payload for part in speech.parts] == [True]
    assert [window async for window in speech.sound(10, 20)] == [[payload[10:20]]]

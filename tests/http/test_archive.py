"""What was said once is there again after Redis and every process have lost it."""

from pathlib import Path

import pytest

from tests.http.servers import Server, Valkey, inside

STORY = " ".join(f"Sentence number {number} of a long story that goes on and on." for number in range(60))
"""Over a megabyte of clips: such a replay is read while it is sent."""
FEW = "The first of them. Here is the second one, which is longest of all. And this is the third."


@pytest.mark.parametrize("text", ["One sentence.", STORY], ids=["sentence", "story"])
async def test_a_speech_survives_an_empty_redis(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
):
    """A Redis that was lost would cost the vendor's bill of years."""
    valkey.command("FLUSHALL")
    body = {"input": text, "response_format": "mp3"}
    async with inside(monkeypatch, valkey.url, archive=tmp_path.as_uri()) as before:
        first = await before.post(**body)
        address = first.headers["Content-Location"]
        assert before.calls > 0
        assert text != STORY or len(first.content) > 2**20
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, archive=tmp_path.as_uri()) as after:
        replayed = await after.client.get(address)
        assert (replayed.status_code, replayed.content) == (200, first.content)
        assert after.calls == 0
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, archive=tmp_path.as_uri()) as after:
        again = await after.post(**body)
        assert again.content == first.content
        assert again.headers["Cache-Status"].startswith("refrain; hit")
        assert after.calls == 0
        assert await after.metric("refrain_cache_lookups_total", tier="archive", outcome="hit") > 1
    # What was found has been brought back to Redis: without the archive it is there, too.
    async with inside(monkeypatch, valkey.url) as without:
        assert (await without.post(**body)).content == first.content
        assert without.calls == 0


def damage_the_longest(root: Path) -> None:
    """One bit in the middle of the longest file, which is a clip."""
    longest = max((path for path in root.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(longest.read_bytes())
    content[len(content) // 2] ^= 1
    longest.write_bytes(content)


async def test_a_damaged_clip_is_made_anew_and_nothing_else_is(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """One bad block of a disk must be neither heard nor cost the whole article."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, archive=tmp_path.as_uri()) as before:
        first = await before.post(input=FEW)
    damage_the_longest(tmp_path)
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, archive=tmp_path.as_uri()) as after:
        assert (await after.post(input=FEW)).content == first.content
        assert after.calls == 1
        assert await after.metric("refrain_cache_faults_total", tier="archive", kind="damaged") == 1


async def test_a_directory_that_vanishes_costs_no_speech(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A disk that is gone must not take the service with it."""
    valkey.command("FLUSHALL")
    root = tmp_path / "archive"
    async with inside(monkeypatch, valkey.url, archive=root.as_uri()) as running:
        root.rmdir()
        root.write_text("a file in its place")
        for number in range(3):
            answer = await running.post(input=f"Sentence {number}.")
            assert answer.status_code == 200
        assert await running.metric("refrain_cache_faults_total", tier="archive", kind="error") > 0


def test_the_default_archive_outlives_the_server_and_its_valkey(tmp_path: Path):
    """Whoever deletes the saved Valkey, or loses it, would pay again for everything."""
    config = '[providers.local]\nkind = "scripted"\n[voices.default]\nchain = [{ provider = "local", voice = "low" }]\n'
    first = Server(tmp_path, config)
    spoken = first.post(input="What was said once.")
    first.stop()
    with_valkey = {path.name for path in tmp_path.iterdir()}
    assert {"archive", "valkey"} <= with_valkey
    second = Server(tmp_path, config, {"REFRAIN_REDIS__URL": "redis://127.0.0.1:9/0"})
    try:
        assert second.post(input="What was said once.").content == spoken.content
        assert second.samples("refrain_provider_requests_total") == 0
    finally:
        second.stop()

"""The archive in a directory: what lies there, what is damaged, and what is swept."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cache import value
from cache.archive import Archive, open_archive, path_of
from cache.digest import LAYOUT
from cache.errors import NoArchive
from cache.objects import Directory, open_objects
from cache.sweep import Sweep
from tests.cache.bucket import A, B, Clock, stored_in
from tests.cache.conftest import sound, until


async def test_what_is_put_is_there_for_the_next_process(tmp_path: Path):
    """Ending a process must not lose what was paid for a moment ago."""
    archive = open_archive(tmp_path.as_uri())
    entries = {f"{number:040x}": sound(str(number).encode()) for number in range(300)}
    for digest, entry in entries.items():
        await archive.put(digest, entry)
    await archive.aclose()
    again = open_archive(tmp_path.as_uri())
    assert await again.get_many(list(entries)) == list(entries.values())
    await again.aclose()


async def test_paths_name_layout_and_digest_and_are_the_owners_only(tmp_path: Path):
    """Two layouts side by side must not meet, and captions have users' words in them."""
    root = tmp_path / "made" / "archive"
    archive = open_archive(root.as_uri())
    await archive.put(A, sound())
    await archive.aclose()
    assert stored_in(root) == [root / f"v{LAYOUT}" / "aa" / A]
    assert root.stat().st_mode & 0o077 == 0


async def test_layouts_side_by_side_never_read_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An entry of another version, even at our own path, is another sound or none: it must not be played."""
    objects = Directory(tmp_path)
    monkeypatch.setattr(value, "LAYOUT", LAYOUT + 1)
    theirs = value.encode(sound())
    monkeypatch.undo()
    await objects.write(path_of(A).replace(f"v{LAYOUT}", f"v{LAYOUT + 1}"), theirs)
    archive = Archive(objects)
    assert await archive.get_many([A]) == [None]
    assert not [one async for page in archive.stored() for one in page]
    await objects.write(path_of(B), theirs)
    assert await archive.get_many([B]) == [None]
    await archive.aclose()
    # Theirs is as it was: a sweep or a damage of ours is none of their business.
    assert (tmp_path / path_of(A).replace(f"v{LAYOUT}", f"v{LAYOUT + 1}")).exists()


async def test_one_flipped_bit_in_each_of_a_thousand_is_found_and_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A disk that forgets must not be heard."""
    monkeypatch.setattr("cache.archive._LOOK_UP_SECONDS", 60.0)  # a busy disk is not what is tested here
    chance = random.Random(5)
    digests = [f"{number:040x}" for number in range(1000)]
    archive = open_archive(tmp_path.as_uri())
    for digest in digests:
        await archive.put(digest, sound(digest.encode() * 20))
    await until(lambda: not archive._behind._writers)
    await archive.aclose()
    for path in stored_in(tmp_path):
        content = bytearray(path.read_bytes())
        bit = chance.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
    again = Archive(open_objects(tmp_path.as_uri()), timeout=60.0)
    assert await again.get_many(digests) == [None] * 1000
    assert again.statistics().damaged == 1000
    assert stored_in(tmp_path) == []
    await again.aclose()


@pytest.mark.parametrize("length", [0, 3, 59, 100])
async def test_half_a_file_is_no_entry(tmp_path: Path, length: int):
    """A machine that lost its power while writing must not play half a sentence."""
    file = tmp_path / path_of(A)
    file.parent.mkdir(parents=True)
    file.write_bytes(value.encode(sound(b"x" * 1000))[:length])
    archive = open_archive(tmp_path.as_uri())
    assert await archive.get_many([A]) == [None]
    await archive.aclose()


def test_a_writer_that_is_killed_leaves_nothing_that_is_taken_for_an_entry(tmp_path: Path):
    """Killed at any moment of writing: each entry is there whole or not at all."""
    script = textwrap.dedent(
        """
        import asyncio, sys
        from cache.objects import Directory
        from pathlib import Path

        async def main():
            objects = Directory(Path(sys.argv[1]))
            print("ready", flush=True)
            for number in range(10**9):
                await objects.write(f"v1/00/{number:040x}", bytes([number % 256]) * 2_000_000)

        asyncio.run(main())
        """
    )
    whole = 0
    for attempt in range(5):
        root = tmp_path / str(attempt)
        writer = subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        while len(stored_in(root)) < 3 + attempt:
            time.sleep(0.001)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        for file in stored_in(root):
            if "#" not in file.name:
                assert file.stat().st_size == 2_000_000
                whole += 1
    assert whole >= 5


async def test_an_expired_entry_is_deleted_and_not_served(tmp_path: Path):
    """Sound past its hard lifetime must not come back from the grave."""
    clock = Clock()
    archive = open_archive(tmp_path.as_uri(), now=clock)
    await archive.put(A, value.new_entry(b"", b"x", made_at=1000.0, ttl=10.0))
    await archive.aclose()
    again = open_archive(tmp_path.as_uri(), now=clock)
    clock.now += 9.0
    assert (await again.get_many([A]))[0] is not None
    clock.now += 2.0
    assert await again.get_many([A]) == [None]
    assert stored_in(tmp_path) == []
    assert again.statistics().damaged == 0
    await again.aclose()


async def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    """An operator must learn at the start that nothing would be kept."""
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(NoArchive, match=r"redis\.data_dir"):
        open_archive((tmp_path / "file" / "archive").as_uri())


async def test_a_directory_that_goes_away_takes_no_writes_in_silence(tmp_path: Path):
    """A bucket that was deleted would be taken for one that keeps everything."""
    archive = open_archive((tmp_path / "archive").as_uri())
    (tmp_path / "archive").rmdir()
    (tmp_path / "archive").write_text("in the way")
    await archive.put(A, sound())
    await until(lambda: archive.statistics().errors == 1)
    await archive.aclose()


async def filled(root: Path, count: int, size: int, clock: Clock, ttl: float = 1e6) -> list[str]:
    """A directory of so many entries, each a second older than the next."""
    objects = Directory(root)
    digests = [f"{number:040x}" for number in range(count)]
    for number, digest in enumerate(digests):
        entry = value.new_entry(b"", bytes(size), made_at=clock.now, ttl=ttl)
        await objects.write(path_of(digest), value.encode(entry))
        os.utime(root / path_of(digest), (number, number))
    return digests


async def test_the_oldest_go_when_a_directory_is_over_its_bound(tmp_path: Path):
    """A disk that fills up takes everything with it that is on it."""
    clock = Clock()
    digests = await filled(tmp_path, 100, 940, clock)  # 1,000 bytes each as a value
    directory = Directory(tmp_path)
    sweep = Sweep(directory, f"v{LAYOUT}", 80_000, now=clock)
    await sweep.once()
    assert [path.name for path in stored_in(tmp_path)] == digests[25:]
    assert sweep.held == (75, 75_000)
    sweep.wrote(1000)
    assert sweep.held == (76, 76_000)
    await sweep.aclose()
    await directory.aclose()


async def test_what_has_expired_and_what_a_dead_writer_left_is_swept(tmp_path: Path):
    """Nobody asks for it any more, so nothing else would ever delete it."""
    clock = Clock()
    clock.now = 1e6
    await filled(tmp_path, 3, 100, clock, ttl=10.0)
    (lasting,) = await filled(tmp_path / "more", 1, 100, clock)
    (tmp_path / f"v{LAYOUT}" / "bb").mkdir()
    (tmp_path / "more" / path_of(lasting)).rename(tmp_path / path_of(B))
    dying, writing = tmp_path / f"{path_of(A)}#1", tmp_path / f"{path_of(A)}#2"
    dying.parent.mkdir()
    dying.write_bytes(b"half")
    os.utime(dying, (0, 0))
    writing.write_bytes(b"half")
    os.utime(writing, (clock.now, clock.now))
    clock.now += 11.0
    directory = Directory(tmp_path)
    sweep = Sweep(directory, f"v{LAYOUT}", 10**6, now=clock)
    await sweep.once()
    assert {path.name for path in stored_in(tmp_path / f"v{LAYOUT}")} == {B, writing.name}
    await directory.aclose()


async def test_writing_much_brings_on_the_sweep(tmp_path: Path):
    """Between two hourly sweeps a busy server writes more than the disk holds."""
    archive = open_archive(tmp_path.as_uri(), limit=200_000)
    one = sound(bytes(10_000))
    for number in range(100):
        await archive.put(f"{number:040x}", one)
        await until(lambda number=number: archive._behind.peek(f"{number:040x}") is None)
    await until(lambda: archive.statistics().bytes is not None)
    await until(lambda: sum(path.stat().st_size for path in stored_in(tmp_path)) <= 225_000)
    await archive.aclose()

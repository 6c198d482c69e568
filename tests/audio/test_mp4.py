"""Fragmented MP4, against the letter of ISO 14496-12."""

import struct
from collections.abc import Iterator

import numpy as np

from app.audio.formats import FORMATS, output
from app.audio.mp4 import DELAY
from tests.audio.sounds import Samples, clip, decoded, joined, silence, tone

M4A = FORMATS["m4a"]
INSIDE = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"mvex", b"moof", b"traf"}


def boxes(
    data: bytes, start: int = 0, end: int | None = None, path: str = ""
) -> Iterator[tuple[str, int, bytes]]:
    """Every box with its place, outer ones first; all of them must fit exactly."""
    end = len(data) if end is None else end
    while start < end:
        (size,) = struct.unpack_from(">I", data, start)
        kind = data[start + 4 : start + 8]
        name = f"{path}/{kind.decode('ascii')}"
        assert 8 <= size <= end - start
        yield name, start, data[start + 8 : start + size]
        if kind in INSIDE:
            yield from boxes(data, start + 8, start + size, name)
        start += size


def sounds() -> list[Samples]:
    """A short one, a long one, and one in between."""
    return [tone(0.3), tone(4, 220), np.concatenate((tone(0.5), silence(1), tone(0.5)))]


def test_fragments_lead_to_every_frame():
    """A player would read frames at wrong places, or with gaps between them."""
    clips = [clip(M4A, sound) for sound in sounds()]
    data = joined(M4A, clips)
    found = list(boxes(data))
    place = {start: body for name, start, body in found if name == "/mdat"}
    time, got = 0, b""
    starts = [start for name, start, _ in found if name == "/moof"]
    headers = iter([body for name, _, body in found if name == "/moof/mfhd"])
    times = iter([body for name, _, body in found if name == "/moof/traf/tfdt"])
    runs = iter([body for name, _, body in found if name == "/moof/traf/trun"])
    fragments = zip(starts, headers, times, runs, strict=True)
    for number, (start, header, decoding, run) in enumerate(fragments, 1):
        assert struct.unpack(">I", header[4:]) == (number,)
        assert struct.unpack(">Q", decoding[4:]) == (time,)
        count, offset = struct.unpack_from(">Ii", run, 4)
        sizes = struct.unpack_from(f">{count}I", run, 12)
        assert place[start + offset - 8] == data[start + offset : start + offset + sum(sizes)]
        got += data[start + offset : start + offset + sum(sizes)]
        time += 1_024 * count
    samples = sum(samples for _, samples in clips)
    assert time == samples + DELAY
    bare = b"".join(payload for payload, _ in clips)
    assert len(got) == len(bare) - 7 * samples // 1_024 + 4
    assert len(starts) < 10 + samples / 24_576 + len(clips) + 2


def test_lengths_are_told_where_they_are_known():
    """Players would show no length, or that of the codec's delay."""
    clips = [clip(M4A, sound) for sound in sounds()]
    samples = sum(samples for _, samples in clips)
    for known in (samples, None):
        head = output(M4A).joiner().head(known)
        found = {name: body for name, _, body in boxes(head)}
        told = samples if known else 0
        assert struct.unpack_from(">II", found["/moov/mvhd"], 12) == (24_000, told)
        assert struct.unpack_from(">I", found["/moov/trak/tkhd"], 20) == (told,)
        assert struct.unpack_from(">I", found["/moov/mvex/mehd"], 4) == (told,)
        assert struct.unpack_from(">IIi", found["/moov/trak/edts/elst"], 4) == (1, told, DELAY)


def test_it_sounds_as_aac_does_and_is_not_late():
    """Captions would run ahead of the sound."""
    sound = tone(1)
    late = decoded(FORMATS["aac"], joined(FORMATS["aac"], [clip(FORMATS["aac"], sound)]))
    right = decoded(M4A, joined(M4A, [clip(M4A, sound)]))
    assert len(right) == len(late)
    assert np.abs(right[:-DELAY] - late[DELAY:]).max() <= 1

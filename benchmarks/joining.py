"""Joining cached clips, beside what it replaces: decoding them and encoding their sound once more."""

import asyncio
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import av
import numpy as np

from app.audio.check import Samples
from app.audio.encode import Encoder
from app.audio.formats import FORMATS, SAMPLE_RATE, Format, output
from app.audio.join import join
from app.audio.recorder import Recorder
from app.server import open_house
from app.settings import parse
from app.speech.making import Live
from app.speech.plan import SpeechRequest
from benchmarks import asking, tools
from benchmarks.figures import Figure

Clips = Sequence[tuple[bytes | memoryview, int]]

_RUNS = 7
_CLIPS = 20
_SECONDS = 300
_TOOL_RUNS = 3
_MUST = {"mp3": "< 2", "aac": "< 2", "opus": "< 12"}


def measure() -> Iterator[Figure]:
    """The article's own clips as mp3 both ways; then five minutes from twenty clips, beside the usual tools."""
    with tempfile.TemporaryDirectory(prefix="refrain-bench-") as home:
        clips = asyncio.run(_article(Path(home)))
    sound = _decoded(clips)
    mp3 = FORMATS["mp3"]
    here = _times(lambda: b"".join(join(output(mp3), clips)))
    anew = _times(lambda: _encoded_anew(mp3, clips))
    what = f"Article, {len(clips)} warm mp3 clips, {len(sound) / SAMPLE_RATE:.0f} s"
    yield Figure(f"{what}: joined", "ms", tuple(here))
    yield Figure(f"{what}: decoded and encoded anew (PyAV, LAME, 64 kbit/s)", "ms", tuple(anew))
    ratios = tuple(slow / fast for slow, fast in zip(anew, here, strict=True))
    yield Figure(f"{what}: times faster", "ratio", ratios, ">= 20")
    for fmt in FORMATS.values():
        yield from _five_minutes(fmt, sound)
    if None in (tools.FFMPEG, tools.FFPROBE):
        print(f"\n{tools.LEFT_OUT}")


async def _article(home: Path) -> Clips:
    """The sample article, spoken by the default voice: its clips as they stand in the cache."""
    settings = parse("", {"REFRAIN_REDIS__DATA_DIR": str(home)})
    async with open_house(settings) as house:
        text = asking.ARTICLE.read_text(encoding="utf-8")
        request = SpeechRequest(text, house.voices.find("default"), output(FORMATS["mp3"]))
        plan = await house.studio.plan(request)
        async with house.studio.perform(plan) as speech:
            assert isinstance(speech, Live)
            async with aclosing(speech.sound()) as sound:
                async for _ in sound:
                    pass
        known = await house.studio.known(plan)
        entries = await house.cache.get_many([planned.digest for planned in plan.chunks])
        return [
            (entry.payload, known[n].meta.samples) for n, entry in enumerate(entries) if entry is not None
        ]


def _five_minutes(fmt: Format, sound: Samples) -> Iterator[Figure]:
    each = np.array_split(np.resize(sound, _SECONDS * SAMPLE_RATE), _CLIPS)
    clips = [_clip(fmt, part) for part in each]
    wanted, what = output(fmt), f"{fmt.name}: five minutes joined from {_CLIPS} clips"
    ours = tools.cpu(lambda: b"".join(join(wanted, clips)), _RUNS)
    yield Figure(f"{what}, CPU", "ms", tuple(ours), _MUST.get(fmt.name, ""))
    if fmt.name not in _MUST:
        return
    files = [b"".join(join(wanted, [clip])) for clip in clips]
    with tempfile.TemporaryDirectory(prefix="refrain-bench-") as home:
        for tool, work in tools.joiners(fmt.name, files, Path(home)):
            theirs = tools.cpu(work, _TOOL_RUNS)
            yield Figure(f"{what}, CPU: {tool}", "ms", tuple(theirs))
            ratios = tuple(one / statistics.median(ours) for one in theirs)
            yield Figure(f"{what}, CPU: {tool}, times ours", "ratio", ratios)


def _clip(fmt: Format, sound: Samples) -> tuple[bytes, int]:
    characters = len(sound) * 16 // SAMPLE_RATE
    recorder = Recorder(
        encoding="pcm_s16le",
        sample_rate=SAMPLE_RATE,
        channels=1,
        characters=characters,
        output=output(fmt),
    )
    payload = recorder.feed(sound.tobytes())
    recorded = recorder.finish()
    return payload + recorded.tail, recorded.samples


def _encoded_anew(fmt: Format, clips: Clips) -> bytes:
    """The same frames' sound through decoder and encoder, in memory, one thread: nothing is spent on files."""
    encoder = Encoder(fmt.form, SAMPLE_RATE)
    packets = encoder.push(_decoded(clips))
    return b"".join([*packets, *encoder.finish()])


def _decoded(clips: Clips) -> Samples:
    return np.concatenate([_sound(bytes(payload)) for payload, _ in clips])


def _sound(payload: bytes) -> Samples:
    to_int = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(io.BytesIO(payload), "r", format="mp3") as opened:
        parts = [one.to_ndarray()[0] for frame in opened.decode(audio=0) for one in to_int.resample(frame)]
    return np.concatenate(parts)


def _times(work: Callable[[], object]) -> list[float]:
    """Milliseconds of each run. What takes under a millisecond is repeated within a run and divided."""
    work()
    begun = time.perf_counter()
    work()
    repeat = max(1, int(0.02 / (time.perf_counter() - begun)))
    return [_once(work, repeat) for _ in range(_RUNS)]


def _once(work: Callable[[], object], repeat: int) -> float:
    began = time.perf_counter()
    for _ in range(repeat):
        work()
    return 1e3 * (time.perf_counter() - began) / repeat

"""The usual tools for joining sound, measured beside ours: the ffmpeg binary, and pydub with it."""

import io
import resource
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

FFMPEG = shutil.which("ffmpeg")
FFPROBE = shutil.which("ffprobe")
LEFT_OUT = "Tools that are not on the path are left out: ffmpeg, and pydub, which needs it and ffprobe."


def cpu(work: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of CPU time of each run, in all threads of this process and in processes that it waits for."""
    work()
    return [_spent(work) for _ in range(runs)]


def _spent(work: Callable[[], object]) -> float:
    before = _so_far()
    repeat, began = 0, time.perf_counter()
    while not repeat or time.perf_counter() - began < 0.02:  # the clocks of the children tick in ms
        work()
        repeat += 1
    return 1e3 * (_so_far() - before) / repeat


def _so_far() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def joiners(fmt: str, clips: Sequence[bytes], home: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each tool by its name, as a function that makes one file of clips that are files; none without ffmpeg."""
    if FFMPEG is None:
        return
    files = [home / f"{number}.{fmt}" for number in range(len(clips))]
    for file, data in zip(files, clips, strict=True):
        file.write_bytes(data)
    names = home / "list"
    names.write_text("".join(f"file '{file}'\n" for file in files), encoding="utf-8")
    joined = str(home / f"joined.{fmt}")
    read = [FFMPEG, "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(names)]
    yield "ffmpeg, concat without a codec", lambda: _run([*read, "-c", "copy", joined])
    yield "ffmpeg, encoded anew", lambda: _run([*read, "-b:a", "64k", joined])
    if FFPROBE:
        yield "pydub", lambda: _pydub(files, fmt, joined)


def _run(command: list[str]) -> None:
    # It finds fault with every join of ADTS, and goes on.
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _pydub(files: list[Path], fmt: str, joined: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment  # noqa: PLC0415 - it warns while it is imported

    together = AudioSegment.empty()
    for file in files:
        together += AudioSegment.from_file(io.BytesIO(file.read_bytes()))
    together.export(joined, format={"aac": "adts"}.get(fmt, fmt), bitrate="64k")

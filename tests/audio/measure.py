"""Figures for docs/sound.md: `python -m tests.audio.measure`. CPU time of one thread, best of several runs."""

import sys
import time
from collections.abc import Callable

import numpy as np

from app.audio.check import Meter
from app.audio.formats import FORMATS, SAMPLE_RATE, Format, output
from app.audio.join import join
from app.audio.loudness import Leveler, Leveling, measure
from tests.audio.sounds import Clip, Samples, clip, decoded, joined, speech

SECONDS = 300
CLIPS = 20


def _best(work: Callable[[], object], runs: int = 5) -> float:
    """Least CPU time in seconds."""
    times = []
    for _ in range(runs):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def _long_sounds() -> list[Samples]:
    """Twenty sounds, five minutes in all, of real speech."""
    everything = np.concatenate(speech())
    each = SECONDS * SAMPLE_RATE // CLIPS
    return [np.resize(np.roll(everything, -2_000 * number), each) for number in range(CLIPS)]


def _worst_join(fmt: Format, clips: list[Clip]) -> float:
    together, at, worst = decoded(fmt, joined(fmt, clips)), 0, 0.0
    for one in clips:
        alone = decoded(fmt, joined(fmt, [one]))
        worst = max(worst, float(np.abs(alone - together[at : at + len(alone)]).max()))
        at += len(alone)
    return worst


def _report(fmt: Format, sounds: list[Samples]) -> str:
    clips: list[Clip] = []
    encoding = _best(lambda: clips.extend(clip(fmt, sound, characters=250) for sound in sounds), 1)
    joining = _best(lambda: join(output(fmt), clips))
    rate = sum(len(payload) for payload, _ in clips) / sum(samples for _, samples in clips) * SAMPLE_RATE
    error = _worst_join(fmt, [clip(fmt, sound[5_000:40_000]) for sound in sounds])
    return (
        f"{fmt.name:5} made at {SECONDS / encoding:4.0f} times real time, joined in {1e3 * joining:8.3f} ms,"
        f" cached {rate * 8 / 1e3:5.1f} kbit/s, error at joins {error:4.1f} of 32768\n"
    )


def _loudness(sound: Samples) -> str:
    def brought(size: int) -> None:
        leveler = Leveler(Leveling(-19, -26))
        for at in range(0, len(sound), size):
            leveler.push(sound[at : at + size])
        leveler.finish()

    costs = [_best(lambda size=size: brought(size), 25) for size in (len(sound), 4_800, 2_400)]
    told = ", ".join(f"{1e3 * cost:.2f}" for cost in costs)
    measuring = _best(lambda: measure(sound), 25)
    return f"7 dB louder: {told} ms whole, in 200 ms, in 100 ms; measured in {1e3 * measuring:.2f} ms\n"


def main() -> None:
    """Print one line per format, and what checks and loudness cost for 15 s of sound."""
    sounds = _long_sounds()
    for fmt in FORMATS.values():
        sys.stdout.write(_report(fmt, sounds))
    cost = _best(lambda: Meter(SAMPLE_RATE, 300).push(sounds[0]))
    sys.stdout.write(f"checks on 15 s of PCM: {1e3 * cost:.2f} ms\n")
    sys.stdout.write(_loudness(sounds[0]))


if __name__ == "__main__":
    main()

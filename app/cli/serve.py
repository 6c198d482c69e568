"""`refrain serve`."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import click
import uvicorn
from litestar import Litestar

from app.cli import config_option, configured
from app.server import Refrain, create_app
from app.settings import load

GRACE = 30
"""Seconds that requests under way have to end when the server is stopped."""


def register(cli: click.Group) -> None:
    """Add the command."""
    cli.add_command(serve)


@click.command()
@config_option
@click.option("--host", help="Address to listen on; left out: the configuration's.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; left out: the configuration's.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--access-log", is_flag=True, help="A line for every request; never text or keys.")
def serve(
    config_file: Path | None, host: str | None, port: int | None, workers: int, access_log: bool
) -> None:
    """Run the server and its page."""
    settings = configured(config_file)
    if config_file:
        os.environ["REFRAIN_CONFIG"] = str(config_file.resolve())
    host = host or settings.server.host
    port = settings.server.port if port is None else port
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Refrain listens on http://{shown}:{port} (Ctrl-C ends it)", err=True)
    uvicorn.run(
        "app.cli.serve:application",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="auto",
        http="httptools",
        lifespan="on",
        access_log=access_log,
        log_level="info" if access_log else "warning",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
    )


def application() -> Refrain:
    """The app of one worker process, from the environment."""
    return with_signals(create_app(load()))


def with_signals(app: Refrain) -> Refrain:
    """Readiness goes as soon as the process is told to end, while requests under way are still answered."""

    @asynccontextmanager
    async def watched(_: Litestar) -> AsyncIterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)

            def drain(received: int, frame: FrameType | None, before: object = before) -> None:
                app.lifecycle.draining = True
                if callable(before):
                    before(received, frame)

            signal.signal(number, drain)
        yield

    app.add_lifespan(watched)
    return app

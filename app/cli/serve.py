"""`refrain serve`."""

import os
import socket
from pathlib import Path

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from app.cli import Failed, config_option, configured
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
    config = uvicorn.Config(
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
    if workers > 1:
        click.echo(f"Refrain starts {workers} workers on {host}:{port} (Ctrl-C ends them)", err=True)
        Multiprocess(config, sockets=[config.bind_socket()]).run()
        return
    server = _Server(config)
    server.run()
    if not server.started:
        raise Failed("The server could not start; see above.")


class _Server(uvicorn.Server):
    """Says that it is there when it is there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            bound = self.servers[0].sockets[0].getsockname()
            host = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
            click.echo(f"Refrain listens on http://{host}:{bound[1]} (Ctrl-C ends it)", err=True)


def application() -> Refrain:
    """The app of one worker process, from the environment."""
    app = create_app(load())
    app.lifecycle.drain_on_signals()
    return app

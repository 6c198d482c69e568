"""`refrain serve`."""

import asyncio
import functools
import gc
import logging
import math
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection as Lifeline
from pathlib import Path

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from app.cli import Failed, config_option, configured
from app.errors import whereabouts
from app.http.connection import Connection, bound_unsent, log_config
from app.http.operations import Handler, Lifecycle
from app.http.websocket import server_options
from app.reload import Reload
from app.server import Refrain, create_app
from app.settings import BadConfiguration, Settings, check_openness, load
from app.settings.loading import DEFAULT_FILE
from app.stores import archive_url
from app.users import audit
from cache.embedded import start as start_embedded
from cache.objects import open_objects

log = logging.getLogger("refrain")


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
    # Held back until there is somebody to heed it: unheeded it ends a process, and so would a worker that begins.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    settings = configured(config_file)
    _check_archive(settings)
    if config_file is None and "REFRAIN_CONFIG" not in os.environ and DEFAULT_FILE.exists():
        # Named, it must be there when it is read again: while it is being moved there are not the defaults instead.
        config_file = DEFAULT_FILE
    if config_file:
        os.environ["REFRAIN_CONFIG"] = str(config_file.resolve())
    settings = _listening_on(settings, host)
    if settings.auth.takes_tokens and not settings.auth.jwt.audience:
        log.warning("tokens that are made out for other services are taken, too: auth.jwt.audience is empty")
    host = settings.server.host
    port = settings.server.port if port is None else port
    with _bound(host, port) as listening, _share(settings):
        _run(listening, settings, workers=workers, access_log=access_log)


def _listening_on(settings: Settings, host: str | None) -> Settings:
    """The settings with the address that is listened on, which is to be reached by others only where that is meant.

    Raises:
        BadConfiguration: everybody would be let in from anywhere, and nobody has said so.
    """
    if host:
        server = settings.server.model_copy(update={"host": host})
        settings = settings.model_copy(update={"server": server})
    if settings.auth.mode == "open" and not settings.server.is_loopback:
        check_openness(settings)
        log.warning("everybody who reaches %s may speak: auth.mode is open", settings.server.host)
    return settings


def _check_archive(settings: Settings) -> None:
    """Opened here too, so that what is wrong with it is a sentence.

    Raises:
        NoArchive: it cannot be opened.
    """
    if url := archive_url(settings):
        open_objects(url)


@contextmanager
def _share(settings: Settings) -> Iterator[None]:
    """The embedded server, held here too: what is wrong with it is a sentence, and workers can be replaced.

    Raises:
        EmbeddedError: it cannot run here.
    """
    if settings.redis.url:
        yield
        return
    embedded = asyncio.run(start_embedded(settings.redis.data_dir))
    try:
        yield
    finally:
        embedded.release()


def _bound(host: str, port: int) -> socket.socket:
    """Bound before anything else is begun, and not listening yet.

    Raises:
        Failed: somebody else has the port, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound_unsent(listening)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        reason = (error.strerror or "unknown address").lower()
        message = f"Cannot listen on {host}:{port}: {reason}. Choose another with --port or --host."
        raise Failed(message) from None
    listening.set_inheritable(True)
    return listening


def _run(listening: socket.socket, settings: Settings, *, workers: int, access_log: bool) -> None:
    # Closed by the kernel when this process is gone, however it died; the workers have the other end.
    lifeline, _held = Pipe(duplex=False)
    config = uvicorn.Config(
        functools.partial(application, settings, lifeline if workers > 1 else None),
        factory=True,
        workers=workers,
        loop="auto",
        http=Connection,
        **server_options(settings.server.websocket_message),
        lifespan="on",
        log_config=log_config(),
        access_log=access_log,
        log_level="info" if access_log else "warning",
        server_header=False,
        proxy_headers=False,  # believed from server.trusted_proxies only, in app/http/forwarding.py
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.server.grace),
    )
    if workers > 1:
        click.echo(f"Refrain starts {workers} workers on {_address(listening)} (Ctrl-C ends them)", err=True)
        _Supervisor(config, [listening]).run()
        return
    server = _Server(config)
    with suppress(KeyboardInterrupt):  # raised again by the server once it has ended well
        server.run(sockets=[listening])
    if not server.started:
        raise Failed("The server could not start; see above.")


class _Supervisor(Multiprocess):
    """Has its workers read the configuration again, where uvicorn would replace them."""

    def handle_signals(self) -> None:
        # Held back in this process for good, so that its workers begin with it held back.
        if signal.SIGHUP in signal.sigpending():
            signal.sigwait({signal.SIGHUP})
            self.handle_hup()
        super().handle_signals()

    def handle_hup(self) -> None:
        """Pass it on where the configuration has no mistakes, and give it to workers that are to come."""
        try:
            settings = load()
        except BadConfiguration as error:
            log.error("the configuration stays as it was: %s", error)  # noqa: TRY400 - it says all there is
            return
        except Exception as error:  # noqa: BLE001 - with this process all would end
            log.error("the configuration stays as it was; defect: %s", whereabouts(error))  # noqa: TRY400 - see there
            return
        _, *rest = self.config.app.args  # type: ignore[union-attr]  # it is `application` with its arguments
        self.config.app = functools.partial(application, settings, *rest)
        for worker in self.processes:
            if worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, signal.SIGHUP)


class _Server(uvicorn.Server):
    """Says that it is there when it is there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            click.echo(
                f"Refrain listens on {_address(self.servers[0].sockets[0])} (Ctrl-C ends it)", err=True
            )


def _address(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def application(settings: Settings, lifeline: Lifeline | None = None) -> Refrain:
    """The app of one worker process. `lifeline` ends with the process that looks after it."""
    app = create_app(settings, load)
    app.lifecycle.drain_on_signals(_grant)
    _reload_on_signals(app.reload)
    if lifeline is not None:
        asyncio.get_running_loop().add_reader(lifeline.fileno(), _leave, lifeline, app.lifecycle)
    app.on_startup.append(settle)
    audit.heard()
    return app


def _reload_on_signals(reload: Reload) -> None:
    """In the event loop of the main thread. One that was held back until now is heeded."""
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, lambda _number, _frame: loop.call_soon_threadsafe(reload.ask))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _grant(handler: Handler, seconds: float) -> None:
    """Have the server wait for requests as long as is left for them, and not for its own time once more."""
    server = getattr(handler, "__self__", None)
    if isinstance(server, uvicorn.Server):
        server.config.timeout_graceful_shutdown = seconds  # type: ignore[assignment]  # it takes fractions


def _leave(lifeline: Lifeline, lifecycle: Lifecycle) -> None:
    """Nobody would end this process any more, or replace it: it ends as if it had been told to."""
    asyncio.get_running_loop().remove_reader(lifeline.fileno())
    if lifecycle.draining:  # it has been told; told twice, it would be in a hurry
        return
    log.warning("the process that looked after this one is gone; it ends, too")
    signal.raise_signal(signal.SIGTERM)


def settle() -> None:
    """Take what is loaded for good out of the garbage collector's rounds: they stop every thread.

    While four long Markdown texts were read, /healthz waited at worst for 55 to 79 ms with this, 109 to 130 without.
    """
    gc.collect()
    gc.freeze()

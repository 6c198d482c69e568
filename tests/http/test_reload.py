"""`SIGHUP`: providers and voices change under clients who do not notice."""

import functools
import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.http.servers import UNTRUSTING, VOICES, Server
from tests.users.issuer import pem, token

STEADY = """
[providers.kept]
kind = "openai"
base_url = "{vendor}"
api_key = "one"
[providers.changing]
kind = "openai"
base_url = "{vendor}"
api_key = "{key}"
[cache]
archive = "off"
[voices.default]
language = "en"
chain = [{{ provider = "changing", voice = "default" }}]
[voices.kept]
language = "en"
chain = [{{ provider = "kept", voice = "default" }}]
"""
CLIENTS = 8


@contextmanager
def speaking(server: Server, clients: int, tally: Counter[object]) -> Iterator[None]:
    """So many clients who speak new sentences without pause until the block ends, their answers counted."""
    stop = threading.Event()
    numbers = itertools.count()

    def client() -> None:
        with httpx.Client(base_url=server.url, timeout=60, verify=UNTRUSTING) as line:
            while not stop.is_set():
                number = next(numbers)
                text, voice = f"This is number {number}.", "default" if number % 3 else "kept"
                try:
                    answer = line.post("/v1/audio/speech", json={"input": text, "voice": voice})
                    tally[answer.status_code if len(answer.content) > 1_000 else answer.text[:200]] += 1
                except httpx.HTTPError as error:
                    tally[type(error).__name__] += 1

    with ThreadPoolExecutor(clients) as pool:
        for _ in range(clients):
            pool.submit(client)
        try:
            yield
        finally:
            stop.set()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    running: list[Server] = []

    def start(config: str, *options: str) -> Server:
        running.append(Server(tmp_path / str(len(running)), config, options=options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_while_providers_change(started: Callable[..., Server], workers: int):
    """An operator who rotates a key at noon would cut whoever listens, or leak what the old key had open."""
    vendor = started(VOICES)
    config = functools.partial(STEADY.format, vendor=f"{vendor.url}/v1")
    server = started(config(key="0"), *(["--workers", str(workers)] if workers > 1 else []))
    tally: Counter[object] = Counter()
    with speaking(server, CLIENTS, tally):
        wait(lambda: tally[200] >= 4 * CLIENTS or len(tally) > 1)
    before = threads(server)
    with speaking(server, CLIENTS, tally):
        for number in range(1, 21):
            told = server.reload(config(key=str(number)), workers)
            assert told.count("new: changing; gone: changing") == workers
            enough = tally[200] + 2 * CLIENTS
            wait(lambda enough=enough: tally[200] >= enough or len(tally) > 1)
    assert set(tally) == {200}
    # Those of the two accounts in force, and not of twenty.
    wait(lambda: lines(server, vendor) <= 2 * CLIENTS)
    # A pool of six for codecs, and two for plans, are filled as they are needed; one for each reload would be twenty.
    # Codecs have threads of their own while somebody listens, as many as it takes: those have ended, or will have. So
    # would the archive's, in ten seconds.
    wait(lambda: threads(server) <= before + 12 * workers)


def threads(server: Server) -> int:
    """Of all its processes."""
    return sum(one.num_threads() for one in serving(server))


def serving(server: Server) -> list[psutil.Process]:
    """Its processes that speak."""
    process = psutil.Process(server.process.pid)
    workers = (one for one in process.children() if one.status() != psutil.STATUS_ZOMBIE)
    return [process, *(one for one in workers if "spawn_main" in " ".join(one.cmdline()))]


def lines(server: Server, vendor: Server) -> int:
    """Connections that it has open to the vendor."""
    port = httpx.URL(vendor.url).port
    return sum(
        bool(line.raddr) and line.raddr.port == port and line.status == psutil.CONN_ESTABLISHED
        for process in serving(server)
        for line in process.net_connections("tcp")
    )


def wait(condition: Callable[[], bool]) -> None:
    """The test's own time-out is the bound."""
    while not condition():
        time.sleep(0.01)


def test_a_bad_file_leaves_everything_as_it_was(started: Callable[..., Server]):
    """A typing error would take a service down that ran well, or be found out only by its listeners."""
    server = started(VOICES)
    bad = VOICES.replace('provider = "second"', 'provider = "third"') + "[voices.odd]\nchan = 1\n"
    told = server.reload(bad)
    assert f"the configuration stays as it was: {server.file} has 3 mistakes" in told
    assert "line 19: voices.backed.chain[1].provider: no such provider" in told
    assert server.post(input="Still here.", voice="backed").status_code == 200
    server.file.unlink()
    server.process.send_signal(signal.SIGHUP)
    wait(lambda: "no such file" in server.log.read_text())
    assert server.post(input="And here.", voice="backed").status_code == 200


def test_what_the_file_says_is_heeded_by_the_next_request(started: Callable[..., Server]):
    """Whoever takes a voice away, or sends it elsewhere, would hear it go on."""
    server = started(VOICES)
    assert server.post(input="Hello.", voice="backed").headers["content-location"]
    chain = 'chain = [{ provider = "first", voice = "low" }]'
    named = VOICES.replace("[voices.backed]", "[voices.other]").replace(
        chain, 'chain = [{ provider = "second", voice = "low" }]'
    )
    told = server.reload(named)
    assert "new: none; gone: none" in told
    gone = server.post(input="Hello.", voice="backed")
    assert (gone.status_code, gone.json()["error"]["code"]) == (400, "unknown_voice")
    ids = {voice["id"] for voice in server.get("/v1/audio/voices").json()["voices"]}
    assert ids == {"default", "other", "alloy", "nova"}
    server.post(input="Who says this?").raise_for_status()
    assert server.samples("refrain_provider_requests_total", provider="second", outcome="ok") == 1
    failing = named.replace(
        '[providers.second]\nkind = "scripted"', '[providers.second]\nkind = "scripted"\nfault = "auth"'
    )
    assert "new: second; gone: second" in server.reload(failing)
    assert server.post(input="And this?").status_code == 502
    listed = {one["name"]: one["voices"] for one in server.get("/v1/providers").json()["providers"]}
    assert [one["used_by"] for one in listed["first"]] == [["other"]]
    assert {one["voice"]: one["used_by"] for one in listed["second"]} == {
        "low": ["default"],
        "high": ["other"],
    }


def test_what_needs_a_restart_is_named(started: Callable[..., Server]):
    """An operator would believe that the new bound, or the new Redis, is in force."""
    server = started(VOICES)
    told = server.reload("[server]\nmax_input_chars = 3\n[cache]\nmemory = 0\n" + VOICES)
    assert "server.max_input_chars has changed, which needs a restart" in told
    assert "cache.memory has changed, which needs a restart" in told
    assert server.post(input="More than three.").status_code == 200


def test_limits_are_those_of_the_door_in_force(started: Callable[..., Server]):
    """With the door written open for the next start, its users would be without limits until then."""
    server = started(f'[auth]\nmode = "jwt"\n[auth.jwt]\npublic_key = """{pem()}"""\n{VOICES}')
    mine = {"Authorization": f"Bearer {token()}"}

    def limits() -> str | None:
        answer = server.client.post("/v1/audio/speech", json={"input": "Once."}, headers=mine)
        return answer.headers.get("ratelimit-policy")

    before = limits()
    assert before
    assert "auth.mode has changed, which needs a restart" in server.reload(VOICES)
    assert server.post(input="Once.").status_code == 401
    assert limits() == before


def test_a_worker_that_is_replaced_has_what_the_others_have(started: Callable[..., Server]):
    """With a bad file lying there, one crash of one worker would end the whole service."""
    server = started(VOICES, "--workers", "2")
    wait(lambda: len(serving(server)) == 3)
    server.reload(VOICES.replace("voices.backed", "voices.other"), answers=2)
    told = server.reload("[voices.odd]\n")
    assert told.count("the configuration stays as it was") == 1
    before = serving(server)[1:]
    for worker in before:
        worker.kill()
        worker.wait()
    wait(lambda: server.process.poll() is not None or answers(server))
    assert not set(before) & set(serving(server))


def answers(server: Server) -> bool:
    """Whether anybody takes requests, and speaks."""
    try:
        return server.post(input="Who is left?", voice="other").status_code == 200
    except httpx.TransportError:
        return False

"""A server's life: it drains, ends, comes back, and shares its work with others."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.http.servers import ARTICLE, AS_INSTALLED, UNHURT, UNTRUSTING, VOICES, Server, Valkey

SLOW = """
[providers.slow]
kind = "scripted"
pace = 0.05
[voices.slow]
chain = [{ provider = "slow", voice = "low" }]
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short path, as sockets need."""
    # The embedded server may still be saving there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_a_request_under_way_is_completed_while_draining(home: Path, number: signal.Signals):
    """At each roll-out somebody would be cut off, or sent to a server that is about to end."""
    server = Server(home, VOICES + SLOW)
    try:
        text = "This is spoken slowly, while the server is told to end."
        with server.client.stream(
            "POST", "/v1/audio/speech", json={"input": text, "voice": "slow", "response_format": "pcm"}
        ) as answer:
            pieces = answer.iter_bytes()
            got = next(pieces)
            server.process.send_signal(number)
            states = {httpx.get(f"{server.url}/readyz", verify=UNTRUSTING).status_code for _ in range(5)}
            refused = httpx.get(f"{server.url}/readyz", verify=UNTRUSTING)
            got += b"".join(pieces)
        assert states == {503}
        assert refused.json()["code"] == "draining"
        assert refused.headers["retry-after"]
        assert len(got) / 48_000 > len(text) * 0.06
        server.process.wait(10)
    finally:
        server.stop()


def test_an_idle_server_ends_at_once(home: Path):
    """Stopping it by hand would take as long as the longest grace."""
    server = Server(home, VOICES, program=AS_INSTALLED)
    server.get("/readyz")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) in {0, -signal.SIGTERM}
    server.client.close()


def test_what_was_said_is_there_after_a_restart(home: Path):
    """A restart would cost everything that was ever paid for."""
    first = Server(home, VOICES)
    made = first.post(input="It never says anything new.")
    first.stop()
    second = Server(home, VOICES)
    try:
        found = second.post(input="It never says anything new.", cache="only")
        assert (found.status_code, found.content) == (200, made.content)
        assert second.get(made.headers["content-location"]).content == made.content
        assert second.samples("refrain_provider_requests_total") == 0
    finally:
        second.stop()


def test_two_servers_ask_for_each_chunk_once(home: Path):
    """With every replica that is added, everything would be paid for once more."""
    valkey = Valkey(home)
    config = f'[redis]\nurl = "{valkey.url}"\ntimeout = {UNHURT}\n{VOICES}'
    servers: list[Server] = []
    try:
        servers += [Server(home / name, config) for name in ("one", "two")]
        plan = servers[0].client.post("/v1/speech/plan", json={"input": ARTICLE}).json()
        texts = {chunk["text"] for chunk in plan["chunks"]}
        together = threading.Barrier(50)

        def ask(number: int) -> bytes:
            with httpx.Client(base_url=servers[number % 2].url, timeout=60, verify=UNTRUSTING) as client:
                together.wait()
                # The format that costs least: fifty listeners' mp3 would be most of the work.
                wanted = {"input": ARTICLE, "response_format": "ulaw"}
                return client.post("/v1/audio/speech", json=wanted).raise_for_status().content

        with ThreadPoolExecutor(50) as pool:
            bodies = list(pool.map(ask, range(50)))
        assert len(set(bodies)) == 1
        asked = [server.samples("refrain_provider_requests_total") for server in servers]
        assert sum(asked) == len(texts) >= 20
        outcomes = {
            outcome: sum(server.samples("refrain_chunks_total", outcome=outcome) for server in servers)
            for outcome in ("made", "joined", "hit", "failed")
        }
        assert outcomes["failed"] == 0
        assert sum(outcomes.values()) == 50 * len(plan["chunks"])
    finally:
        for server in servers:
            server.stop()
        valkey.stop()


def test_text_and_keys_stay_out_of_the_log(home: Path):
    """Texts are private: whoever reads the log would read them."""
    canary = "Marmalade Canary"
    config = VOICES.replace('[providers.second]\nkind = "scripted"', (
        '[providers.second]\nkind = "openai"\nbase_url = "http://127.0.0.1:9"\napi_key = "sk-canary-4711"'
    )) + '[voices.far]\nchain = [{ provider = "second", voice = "x" }]\n'  # fmt: skip
    server = Server(home, config)
    try:
        assert server.post(input=f"{canary} speaks.").status_code == 200
        refused = server.post(input=f"{canary} is refused.", voice="far")
        assert refused.status_code == 503
        assert "anary" not in refused.text + str(refused.headers)
        for page in ("/metrics", "/docs/openapi.json", "/v1/audio/voices"):
            assert "anary" not in server.get(page).text
    finally:
        server.stop()
    assert "anary" not in server.log.read_text()

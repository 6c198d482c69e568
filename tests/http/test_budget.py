"""A user's money for the month, over servers that share a Redis."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import refrain
from tests.http.servers import UNTRUSTING, Server, Valkey

CENTS = 20
"""Of the budget: one for each character."""

CONFIG = """
[redis]
url = "{url}"
timeout = "2s"
[auth]
mode = "keys"
[limits.default]
requests_per_minute = "off"
spend_per_month = {budget}
[providers.first]
kind = "scripted"
attempts = 1
price_per_million_chars = 10000.0
delay = 0.05
fault = "unavailable"
when = "never"
[providers.dear]
kind = "scripted"
attempts = 1
price_per_million_chars = 20000.0
[providers.slow]
kind = "scripted"
attempts = 1
price_per_million_chars = 10000.0
piece_bytes = 9600
pace = 0.2
[providers.broken]
kind = "scripted"
attempts = 1
price_per_million_chars = 5000.0
answer = "silence"
[voices.slow]
chain = [{{ provider = "slow", voice = "low" }}]
[voices.broken]
chain = [{{ provider = "broken", voice = "low" }}, {{ provider = "first", voice = "low" }}]
[voices.default]
chain = [{{ provider = "first", voice = "low" }}]
[voices.backed]
chain = [{{ provider = "first", voice = "low" }}, {{ provider = "dear", voice = "high" }}]
"""


@pytest.fixture
def replicas() -> Iterator[tuple[Server, Server]]:
    """Two servers and what they share."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, ExitStack() as running:
        valkey = Valkey(Path(home))
        running.callback(valkey.stop)
        config = CONFIG.format(url=valkey.url, budget=CENTS / 100)
        servers = []
        for name in ("one", "two"):
            servers.append(server := Server(Path(home) / name, config))
            running.callback(server.stop)
        yield servers[0], servers[1]


@pytest.fixture
def who(replicas: tuple[Server, Server]) -> dict[str, str]:
    """The header of a user, whose key was made on the command line while the servers ran."""
    made = refrain(replicas[0].file.parent, "keys", "create", "ada")
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {made.stdout.strip()}"}


async def at_once(
    replicas: tuple[Server, Server], who: dict[str, str], texts: list[str], voice: str = "default"
) -> list[httpx.Response]:
    """All of them at the same time, by turns at one server and the other."""
    async with httpx.AsyncClient(headers=who, timeout=60, verify=UNTRUSTING) as client:
        asked = (
            client.post(
                f"{replicas[at % 2].url}/v1/audio/speech",
                json={"input": text, "voice": voice},
            )
            for at, text in enumerate(texts)
        )
        return await asyncio.gather(*asked)


def spent(replicas: tuple[Server, Server]) -> float:
    """By both servers, as they tell their operator."""
    return sum(server.samples("refrain_spend_total") for server in replicas)


async def left(server: Server, who: dict[str, str], expected: float) -> None:
    """Once so much is left of the budget; it is settled behind the answers."""
    while True:
        told = server.get("/v1/usage", **who).json()["limits"]["spend_per_month"]["left"]
        if told == pytest.approx(expected):
            return
        await asyncio.sleep(0.01)


async def test_a_budget_is_never_passed(replicas: tuple[Server, Server], who: dict[str, str]):
    """Sixty requests at once would each find that there is money left, and spend it sixty times."""
    answers = await at_once(replicas, who, [f"Text {at:02}." for at in range(60)])
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in refused} == {
        (429, "budget_exceeded")
    }
    assert {answer.headers["x-should-retry"] for answer in refused} == {"false"}
    assert len(refused) == 58
    assert spent(replicas) == pytest.approx(0.16)
    await left(replicas[1], who, 0.04)
    some = await at_once(replicas, who, ["Four", "Text 98."])
    assert [one.status_code for one in some] == [200, 429]
    assert spent(replicas) == pytest.approx(0.2)
    # What was paid for is heard again, and nothing else.
    again = await at_once(replicas, who, ["Four", "Four", "x", "y"])
    assert [one.status_code for one in again] == [200, 200, 429, 429]
    assert spent(replicas) == pytest.approx(0.2)
    told = replicas[0].get("/v1/usage", **who).json()
    assert told["spend"] == pytest.approx(0.2)
    assert told["characters"] == CENTS


async def test_what_was_not_spoken_is_given_back(replicas: tuple[Server, Server], who: dict[str, str]):
    """A provider's bad hour would use up the month's budget of everybody who tried."""
    answers = await at_once(replicas, who, [f"never {at:02}" for at in range(20)])
    assert not [answer for answer in answers if answer.status_code == 200]
    await left(replicas[0], who, 0.2)
    assert spent(replicas) == 0
    (answer,) = await at_once(replicas, who, ["Sixteen letters."])
    assert answer.status_code == 200
    await left(replicas[1], who, 0.04)


async def test_what_is_reserved_is_enough_for_whoever_speaks(
    replicas: tuple[Server, Server], who: dict[str, str]
):
    """The dearer stand-in would speak on when the budget was asked for the first choice's price only."""
    (answer,) = await at_once(replicas, who, ["Four"], "backed")
    assert answer.status_code == 200
    await left(replicas[0], who, 0.16)  # 0.12 were reserved
    (dear,) = await at_once(replicas, who, ["never!"], "backed")
    assert (dear.status_code, dear.json()["error"]["code"]) == (429, "budget_exceeded")
    (dear,) = await at_once(replicas, who, ["never"], "backed")
    assert dear.status_code == 200
    await left(replicas[1], who, 0.06)
    assert spent(replicas) == pytest.approx(0.14)
    by_provider = replicas[0].get("/v1/usage", **who).json()["days"][0]["providers"]
    assert {name: one["spend"] for name, one in by_provider.items()} == pytest.approx(
        {"first": 0.04, "dear": 0.10}
    )


async def test_a_chain_that_is_paid_twice_is_within_the_budget(
    replicas: tuple[Server, Server], who: dict[str, str]
):
    """Where the first one's sound is refused both are paid, and the second one's money would be above the budget."""
    (answer,) = await at_once(replicas, who, ["Fourteen lette"], "broken")  # 0.07, and 0.14
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "budget_exceeded")
    assert spent(replicas) == 0
    (answer,) = await at_once(replicas, who, ["Twelve lette"], "broken")
    assert answer.status_code == 200
    await left(replicas[1], who, 0.02)
    assert spent(replicas) == pytest.approx(0.18)


async def test_whoever_leaves_before_the_end_has_paid(replicas: tuple[Server, Server], who: dict[str, str]):
    """A client that hangs up before the last byte would speak for nothing, for ever: the vendor bills all of it."""
    async with (
        httpx.AsyncClient(headers=who, timeout=60, verify=UNTRUSTING) as client,
        client.stream(
            "POST", f"{replicas[0].url}/v1/audio/speech", json={"input": "Sixteen letters.", "voice": "slow"}
        ) as answer,
    ):
        await anext(answer.aiter_raw())
    await left(replicas[1], who, 0.04)
    assert spent(replicas) == pytest.approx(0.16)
    told = replicas[0].get("/v1/usage", **who).json()
    assert (told["requests"], told["characters"], told["spend"]) == (1, 16, pytest.approx(0.16))


async def test_sound_that_is_refused_costs_no_characters(
    replicas: tuple[Server, Server], who: dict[str, str]
):
    """What a provider gets wrong is paid for all the same, but not in the user's characters."""
    (answer,) = await at_once(replicas, who, ["Eight le"], "broken")
    assert answer.status_code == 200
    await left(replicas[1], who, 0.08)
    assert spent(replicas) == pytest.approx(0.12)
    told = replicas[0].get("/v1/usage", **who).json()
    assert (told["requests"], told["characters"], told["chunks"]) == (1, 8, 1)
    assert told["spend"] == pytest.approx(0.12)

"""Every provider, bare and within each composite, against the one suite."""

import asyncio
import functools
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from providers.allowance import Allowance
from providers.circuit import Circuit
from providers.espeak import Espeak
from providers.gate import Gated
from providers.guard import Guarded, Watched
from providers.hibari import Hibari
from providers.interface import Provider, ProviderSettings, ProviderVoice
from providers.retry import Retrying
from providers.scripted import Script, Scripted
from tests.providers.conformance import Conformance, Subject
from tests.providers.test_espeak import program
from tests.providers.vendor_server import PAGE, Reply, vendor_server
from tests.providers.wires import WIRES, Wire


@asynccontextmanager
async def scripted() -> AsyncGenerator[Subject]:
    """The double, with a turn of the loop at every piece."""
    provider = Scripted("double", Script(pace=1.0), sleep=lambda _: asyncio.sleep(0))
    yield Subject(
        provider,
        ProviderVoice("double", "low"),
        settled=lambda: all(call.state != "open" for call in provider.calls),
        broken=lambda: setattr(provider, "script", Script(fault="bad_voice")),
    )


@asynccontextmanager
async def wired(wire: Wire) -> AsyncGenerator[Subject]:
    """A vendor's wire against a real server."""
    async with vendor_server(wire.answer) as server:
        provider = wire.provider(server)
        pool = wire.pool(provider)
        yield Subject(
            provider,
            wire.voice,
            settled=lambda: all(each.is_idle() for each in pool.connections),
            broken=lambda: server.replies.extend(
                [Reply(400, (("content-type", "text/html"),), PAGE, to="POST")]
            ),
        )
        await provider.aclose()


@asynccontextmanager
async def espeak() -> AsyncGenerator[Subject]:
    """Processes of the double."""
    with TemporaryDirectory() as folder:
        provider = Espeak(ProviderSettings("last", "espeak", options=(("program", program(Path(folder))),)))
        subject = Subject(
            provider,
            ProviderVoice("last", "en-us"),
            settled=lambda: not provider._running,
            broken=lambda: None,
            # A process takes thousands to begin: from the first dozens on they are all the same await.
            turns=60,
        )
        subject.broken = lambda: setattr(subject, "voice", ProviderVoice("last", "nobody"))
        yield subject
        await provider.aclose()


@asynccontextmanager
async def hibari() -> AsyncGenerator[Subject]:
    """The real engine."""
    provider = Hibari(ProviderSettings("local", "hibari", max_concurrency=2))
    subject = Subject(
        provider, ProviderVoice("local", "heart"), settled=lambda: not provider._running, broken=lambda: None
    )
    subject.broken = lambda: setattr(subject, "voice", ProviderVoice("local", "nobody"))
    provider._engines = ENGINES
    await provider.warm()
    yield subject
    await provider.aclose()


ENGINES: dict[str, object] = {}  # loading takes 0.4 s; once is enough for all tests here


def retrying(inside: Provider) -> Provider:
    """Three attempts without pauses."""
    return Retrying(inside, 3, timeout=10.0, sleep=lambda _: asyncio.sleep(0), random=random.random)


def gated(inside: Provider) -> Provider:
    """One at a time."""
    return Gated(inside, Allowance(1))


def guarded(inside: Provider) -> Provider:
    """As `build` makes it."""
    circuit = Circuit(inside.name)
    return Guarded(Gated(retrying(Watched(inside, circuit)), Allowance(1), circuit), circuit)


KINDS: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {
    "scripted": scripted,
    "espeak": espeak,
    "hibari": hibari,
    **{name: functools.partial(wired, wire) for name, wire in WIRES.items()},
}
WRAPS: dict[str, Callable[[Provider], Provider]] = {
    "bare": lambda inside: inside,
    "retrying": retrying,
    "gated": gated,
    "guarded": guarded,
}


# Bare, and as it is built, around which everything is; a wrapper by itself around the double and around one wire.
ALONE = ("scripted", "openai")


def _params() -> list[Any]:
    return [
        pytest.param(
            (kind, wrap),
            id=f"{kind}-{wrap}",
            marks=() if wrap in {"bare", "guarded"} or kind in ALONE else pytest.mark.soak,
        )
        for kind in KINDS
        for wrap in WRAPS
    ]


@pytest.fixture(params=_params())
async def subject(request: pytest.FixtureRequest) -> AsyncGenerator[Subject]:
    """Each kind in each wrapping."""
    kind, wrap = request.param
    async with KINDS[kind]() as bare:
        bare.provider = WRAPS[wrap](bare.provider)
        yield bare


class TestEveryProvider(Conformance):
    """See `Conformance`."""


@pytest.mark.soak
async def test_a_process_is_left_at_any_of_many_more_turns() -> None:
    """As `test_cancelled_at_every_await_leaves_nothing`: what sixty turns do not show, four hundred may."""
    async with espeak() as subject:
        subject.turns = 400
        await Conformance().test_cancelled_at_every_await_leaves_nothing(subject)

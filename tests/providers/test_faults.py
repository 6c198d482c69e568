"""Every fault that a vendor's server can have, over every vendor's wire."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

import pytest

from app.audio.check import BadSound
from app.audio.formats import FORMATS, Output
from app.audio.recorder import Recorder
from app.speech.pace import believable
from providers import errors
from providers.interface import Provider, Utterance
from tests.providers.vendor_server import PAGE, Reply, VendorServer, vendor_server
from tests.providers.wires import WIRES, Wire

TEXT = "The canary sings quietly at dawn."
JSON = (("content-type", "application/json"),)
AUDIO = (("content-type", "audio/mpeg"),)
NOISE = bytes((index * index * 7919 + index // 3) % 256 for index in range(60_000))

# Fault: the answer, and what the adapter may make of it. BadSound: what it passes on is refused by the check.
FAULTS: dict[str, tuple[Reply, tuple[type[Exception], ...]]] = {
    "429": (Reply(429, JSON, b"{}"), (errors.RateLimited,)),
    "429 with a time": (Reply(429, (*JSON, ("retry-after", "7")), b"{}"), (errors.RateLimited,)),
    "500": (Reply(500, JSON, b"{}"), (errors.Unavailable,)),
    "503 of a proxy": (Reply(503, (("content-type", "text/html"),), PAGE), (errors.Unavailable,)),
    "one byte short": (Reply(short=1), (errors.Unavailable,)),
    "chunks cut": (Reply(chunked=True, cut=True), (errors.Unavailable,)),
    "random bytes": (Reply(200, AUDIO, NOISE), (errors.BadAudio, BadSound)),
    "json 200": (Reply(200, JSON, b'{"ok": true}'), (errors.BadAudio, BadSound)),
    "page 200": (Reply(200, (("content-type", "text/html"),), PAGE), (errors.BadAudio, BadSound)),
    "page that says it is sound": (Reply(200, AUDIO, PAGE * 100), (errors.BadAudio, BadSound)),
    "empty 200": (Reply(200, AUDIO, b""), (errors.BadAudio,)),
    "silence": (Reply(200, AUDIO, bytes(100_000)), (errors.BadAudio, BadSound)),
    "compressed": (Reply(200, (("content-encoding", "gzip"),), b"\x1f\x8b"), (errors.BadAudio,)),
    "elsewhere": (
        Reply(302, (("location", "http://192.0.2.1/"),), b""),
        (errors.BadRequest, errors.Unavailable),
    ),
}


@pytest.fixture(params=WIRES, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Each vendor."""
    return WIRES[request.param]


@pytest.fixture
async def server(wire: Wire) -> AsyncGenerator[VendorServer]:
    """The vendor's server."""
    async with vendor_server(wire.answer) as running:
        yield running


@pytest.fixture
async def make(wire: Wire, server: VendorServer) -> AsyncGenerator[Callable[..., Provider]]:
    """Providers of that vendor, closed at the end."""
    made: list[Provider] = []

    def one(url: str = "", **settings: object) -> Provider:
        made.append(wire.provider(url or server, **settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def recorded(provider: Provider, wire: Wire) -> int:
    """The utterance's sound through the check that stands before the cache; its samples."""
    utterance = Utterance(TEXT, wire.voice)
    async with provider.speak(utterance) as sound:
        recorder = Recorder(
            encoding=sound.encoding,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
            characters=len(TEXT),
            spoken=len(TEXT),
            believable=believable(utterance),
            output=Output(FORMATS["mp3"], 24_000, 64_000),
            tempo=1.0,
            leveling=None,
        )
        try:
            async with aclosing(sound.pieces) as pieces:
                async for piece in pieces:
                    recorder.feed(piece)
            return recorder.finish().samples
        finally:
            recorder.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_an_error_and_the_next_call_is_well(
    server: VendorServer, make: Callable[..., Provider], wire: Wire, fault: str
) -> None:
    """Taken for sound it would be stored and replayed for a month; in the wrong class, nobody would stand in."""
    reply, expected = FAULTS[fault]
    server.replies.append(replace(reply, to="POST"))
    provider = make()
    with pytest.raises(expected):
        await recorded(provider, wire)
    assert await recorded(provider, wire) > 0


async def test_what_the_vendor_asks_to_wait_is_told(
    server: VendorServer, make: Callable[..., Provider], wire: Wire
) -> None:
    """Asked again too soon, a vendor throttles longer."""
    server.replies.append(FAULTS["429 with a time"][0])
    with pytest.raises(errors.RateLimited) as caught:
        await recorded(make(), wire)
    assert caught.value.retry_after == 7


async def test_a_refused_connection_is_unavailable(make: Callable[..., Provider], wire: Wire) -> None:
    """A server that is down is the commonest fault of all."""
    with pytest.raises(errors.Unavailable):
        await recorded(make("http://127.0.0.1:1"), wire)


async def test_a_server_that_does_not_even_connect(make: Callable[..., Provider], wire: Wire) -> None:
    """Behind a firewall that swallows packets a listener would wait for the kernel's two minutes."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (one, two):  # as many as the kernel keeps; it answers nobody else
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(errors.TimedOut):
            await recorded(make(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.2), wire)


async def test_a_server_that_never_answers_is_a_time_out(
    server: VendorServer, make: Callable[..., Provider], wire: Wire
) -> None:
    """A hung vendor would hold the listener for the whole deadline."""
    server.silent.clear()
    with pytest.raises(errors.TimedOut):
        await recorded(make(first_byte_timeout=0.5), wire)  # long enough to arrive on a busy machine
    for request in server.requests:  # on a machine that is busy enough it did not even arrive
        await asyncio.wait_for(request.left.wait(), 5)


async def test_a_drip_runs_into_the_total(
    server: VendorServer, make: Callable[..., Provider], wire: Wire
) -> None:
    """A vendor that stalls in the middle must not stall the listener with it."""
    server.hold.clear()
    provider = make(timeout=0.3)
    await provider.warm()  # what signs for Polly may take longer than that to be imported
    with pytest.raises(errors.TimedOut):
        await recorded(provider, wire)
    await asyncio.wait_for(server.requests[-1].left.wait(), 5)


async def test_who_is_warm_has_a_connection_open(
    server: VendorServer, make: Callable[..., Provider], wire: Wire
) -> None:
    """The first listener would wait for the name, the connection and its keys, half a second to some vendors."""
    provider = make()
    await provider.warm()
    await provider.warm()
    assert [request.method for request in server.requests] == ["HEAD", "HEAD"]
    assert await recorded(provider, wire) > 0
    assert server.connections == 1


async def test_a_vendor_that_is_away_is_not_waited_for(
    server: VendorServer, make: Callable[..., Provider], wire: Wire
) -> None:
    """A server would not start, or would be told by every start that a vendor is slow today."""
    await make("http://127.0.0.1:1").warm()
    server.silent.clear()
    await make(first_byte_timeout=0.05).warm()

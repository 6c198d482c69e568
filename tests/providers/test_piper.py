"""Piper over its server. In process, and against the real server: tests/wire/test_piper.py."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from providers import errors
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from providers.piper import Piper, PiperServer
from tests.providers import piper_wire
from tests.providers.vendor_server import Reply, VendorServer, vendor_server

TEXT = "The canary sings quietly at dawn."
JOE = ProviderVoice("wire", "en_US-joe-medium")
Make = Callable[..., PiperServer]


@pytest.fixture
async def server() -> AsyncGenerator[VendorServer]:
    """A server of our own on a real socket."""
    async with vendor_server(piper_wire.answer) as running:
        yield running


@pytest.fixture
async def make(server: VendorServer) -> AsyncGenerator[Make]:
    """Providers of that server, closed at the end."""
    made: list[PiperServer] = []

    def one(**options: str) -> PiperServer:
        made.append(
            PiperServer(
                ProviderSettings("wire", "piper", base_url=server.url, options=tuple(options.items()))
            )
        )
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def heard(provider: PiperServer | Piper, voice: ProviderVoice = JOE, *, speed: float = 1.0) -> bytes:
    """All the sound."""
    async with provider.speak(Utterance(TEXT, voice, speed)) as sound:
        return b"".join([piece async for piece in sound.pieces])


async def test_the_request(server: VendorServer, make: Make) -> None:
    """What is not asked for is not sent: the voice's own settings are in its file."""
    assert (await heard(make()))[:4] == b"RIFF"
    noisy = ProviderVoice("wire", "en_US-joe-medium", None, (("speaker_id", "3"),))
    await heard(make(noise_scale="0", noise_w_scale="0"), noisy, speed=1.25)
    _, plain, _, full = server.requests
    assert (plain.method, plain.path) == ("POST", "/synthesize")
    assert plain.headers["content-type"] == "application/json"
    assert plain.body == {"text": TEXT, "voice": "en_US-joe-medium"}
    assert full.body == {
        "text": TEXT,
        "voice": "en_US-joe-medium",
        "length_scale": 0.8,
        "noise_scale": 0.0,
        "noise_w_scale": 0.0,
        "speaker_id": 3,
    }


async def test_a_voice_it_does_not_have(server: VendorServer, make: Make) -> None:
    """It answers with its default voice, and that would be kept for a month under the wrong name."""
    provider = make()
    with pytest.raises(errors.BadVoice):
        await heard(provider, ProviderVoice("wire", "en_US-nobody"))
    server.replies.append(Reply(200, body=b'{"en_US-nobody": {}}'))
    assert await heard(provider, ProviderVoice("wire", "en_US-nobody"))  # put there since


async def test_a_speaker_it_does_not_have(server: VendorServer, make: Make) -> None:
    """The server speaks with the default speaker instead; so did we, in process."""
    provider = make()
    server.replies.append(
        Reply(body=b'{"two": {"speaker_id_map": {"ann": 0}, "inference": {"length_scale": 1.5}}}')
    )
    with pytest.raises(errors.BadVoice):
        await heard(provider, ProviderVoice("wire", "two", None, (("speaker", "bob"),)))
    await heard(provider, ProviderVoice("wire", "two", None, (("speaker", "ann"),)), speed=2.0)
    assert server.requests[-1].body["length_scale"] == 0.75


async def test_servers_that_list_nothing(server: VendorServer, make: Make) -> None:
    """Older ones have one voice and no list of it."""
    server.replies.append(Reply(404, body=b""))
    assert await heard(make(), ProviderVoice("wire", "anything"))


async def test_its_voices(make: Make) -> None:
    """`refrain voices` shows what can be put into a chain."""
    assert [(one.id, one.language) for one in await make().voices()] == [("en_US-joe-medium", "en-US")]


async def test_in_process_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has to read what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    engine = Piper(ProviderSettings("local", "piper", options=(("data_dir", str(tmp_path)),)))
    health = await engine.health()
    assert not health.ok
    assert "refrain[piper]" in health.detail
    with pytest.raises(errors.Unavailable, match="refrain"):
        await engine.warm()
    await engine.aclose()


def test_a_place_is_needed() -> None:
    """Without a folder or a server there is nothing to speak with."""
    assert KINDS["piper"].check(ProviderSettings("p", "piper"))
    assert not KINDS["piper"].check(ProviderSettings("p", "piper", options=(("data_dir", "voices"),)))
    assert not KINDS["piper"].check(ProviderSettings("p", "piper", base_url="http://127.0.0.1:5000"))

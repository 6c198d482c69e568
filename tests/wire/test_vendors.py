"""Our adapters against what nobody here wrote: the vendors' own SDKs, and engines that answer like vendors.

All of it lives in an environment of its own (requirements.txt); `make test` makes it.
"""

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.audio.check import BadSound
from app.audio.formats import FORMATS, Output
from app.audio.recorder import Recorded, Recorder
from providers import errors
from providers.interface import Provider, ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from tests.providers.vendor_server import Request, vendor_server
from tests.providers.wires import WIRES
from tests.wire.sdk import TEXT

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PYTHON = ROOT / ".venv-wire" / "bin" / "python"
JOE = "en_US-joe-medium"


@dataclass(frozen=True)
class Call:
    """What sdk.py asks the SDK for, as we are asked for it; `wire` answers both. `secrets` are headers to compare."""

    wire: str
    voice: ProviderVoice
    options: dict[str, str] = field(default_factory=dict)
    utterance: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ("authorization",)
    api_key: str = "k"


CALLS = {
    "openai": Call("openai", ProviderVoice("wire", "alloy", "tts-1"), utterance={"speed": 1.5}),
    "elevenlabs": Call(
        "elevenlabs-plain",
        ProviderVoice(
            "wire",
            "voiceA",
            "eleven_flash_v2_5",
            (("seed", "7"), ("similarity_boost", "0.75"), ("stability", "0.5")),
        ),
        options={"timestamps": "false"},
        utterance={"speed": 1.1, "language": "en"},
        secrets=("xi-api-key",),
    ),
    "elevenlabs_timed": Call(
        "elevenlabs", ProviderVoice("wire", "voiceA", "eleven_flash_v2_5"), secrets=("xi-api-key",)
    ),
    "google": Call(
        "google",
        ProviderVoice("wire", "en-US-Neural2-A", None, (("pitch", "-2.5"),)),
        utterance={"speed": 1.5},
        secrets=(),  # the SDK has no API keys over this transport
    ),
    "google_timed": Call(
        "google timed",
        ProviderVoice("wire", "en-US-Neural2-A"),
        options={"timestamps": "true"},
        secrets=(),
    ),
    "deepgram": Call("deepgram", ProviderVoice("wire", "aura-2-thalia-en")),
    "cartesia": Call(
        "cartesia",
        ProviderVoice("wire", "v1", "sonic-3", (("volume", "1.5"),)),
        utterance={"speed": 1.25, "language": "en"},
        secrets=("authorization", "cartesia-version"),
    ),
    "polly": Call(
        "polly",
        ProviderVoice("wire", "Joanna", None, (("engine", "neural"),)),
        options={"response_format": "mp3"},
        secrets=(),  # signed with the time of day; the signature is checked in tests/providers/test_polly.py
        api_key="AKIDEXAMPLE:secret",
    ),
}


async def run(*arguments: str, cwd: Path = HERE) -> bytes:
    """A program in the environment of the SDKs, to its end; what it prints."""
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(cwd)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    printed, said = await process.communicate()
    assert process.returncode == 0, said.decode()[-2000:]
    return printed


@pytest.mark.parametrize("vendor", CALLS)
async def test_the_sdk_sends_the_same(vendor: str) -> None:
    """A field in the wrong place is found out by whoever pays for the account, and by nobody before."""
    call = CALLS[vendor]
    wire = WIRES[call.wire]
    async with vendor_server(wire.answer) as server:
        await run(str(HERE / "sdk.py"), vendor, server.url)
        provider = wire.provider(server, api_key=call.api_key, options=tuple(call.options.items()))
        await heard(provider, Utterance(TEXT, call.voice, **call.utterance))
        theirs, ours = server.requests
    assert seen(ours, call.secrets) == seen(theirs, call.secrets)


async def test_a_service_account_as_the_sdk_has_it(tmp_path: Path) -> None:
    """A token for another audience, or without the key's name, Google refuses; here nobody else would."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    file = tmp_path / "key.json"
    account = {
        "type": "service_account",
        "client_email": "voice@x.iam.gserviceaccount.com",
        "private_key": pem,
    }
    file.write_text(json.dumps({**account, "private_key_id": "k1", "token_uri": "https://tokens.invalid"}))
    wire = WIRES["google"]
    async with vendor_server(wire.answer) as server:
        await run(str(HERE / "sdk.py"), "google_account", server.url, str(file))
        provider = wire.provider(server, api_key=None, options=(("credentials", f"file:{file}"),))
        await heard(provider, Utterance(TEXT, CALLS["google"].voice))
        theirs, ours = (one.headers["authorization"].removeprefix("Bearer ") for one in server.requests)
    assert jwt.get_unverified_header(ours) == jwt.get_unverified_header(theirs)
    audience = "https://texttospeech.googleapis.com/"
    told = [
        jwt.decode(one, key.public_key(), algorithms=["RS256"], audience=audience) for one in (ours, theirs)
    ]
    lives = {one.pop("exp") - one.pop("iat") for one in told}
    assert told[0] == told[1]
    assert lives == {3_600}


def seen(request: Request, secrets: tuple[str, ...]) -> dict[str, Any]:
    """What a vendor looks at."""
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "body": request.body,
        "type": request.headers["content-type"],
        **{key: request.headers[key] for key in secrets},
    }


async def heard(provider: Provider, utterance: Utterance) -> bytes:
    """All the sound; the provider is closed."""
    try:
        async with provider.speak(utterance) as sound, aclosing(sound.pieces) as pieces:
            return b"".join([piece async for piece in pieces])
    finally:
        await provider.aclose()


async def recorded(provider: Provider, voice: str) -> Recorded:
    """The text's sound through the check that stands before the cache."""
    async with provider.speak(Utterance(TEXT, ProviderVoice("real", voice))) as sound:
        recorder = Recorder(
            encoding=sound.encoding,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
            characters=len(TEXT),
            output=Output(FORMATS["mp3"], 24_000, 64_000),
        )
        try:
            async with aclosing(sound.pieces) as pieces:
                async for piece in pieces:
                    recorder.feed(piece)
            return recorder.finish()
        finally:
            recorder.close()


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def engine(name: str) -> Iterator[str]:
    """A server from the package index; its address."""
    port = free_port()
    process = subprocess.Popen(
        [PYTHON, str(HERE / "engine.py"), name, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not accepts(port):
            assert process.poll() is None, f"{name} did not start"
            time.sleep(0.05)  # another program's start has no event to wait for
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def loudness() -> Iterator[str]:
    """A server of OpenAI's wire."""
    with engine("loudness") as url:
        yield f"{url}/v1"


Make = Callable[..., Provider]


@pytest.fixture
async def make() -> AsyncGenerator[Make]:
    """Providers, closed at the end."""
    made: list[Provider] = []

    def one(kind: str, url: str, api_key: str | None = None, **options: str) -> Provider:
        settings = ProviderSettings(
            "real",
            kind,
            api_key=api_key,
            base_url=url,
            first_byte_timeout=20.0,
            options=tuple(options.items()),
        )
        assert not KINDS[kind].check(settings)
        made.append(KINDS[kind].make(settings))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def test_pipers_own_server(make: Make) -> None:
    """It mislabels its sound, and speaks with its default voice where it does not know one."""
    with engine("piper") as url:
        provider = make("piper", url, noise_scale="0", noise_w_scale="0")
        assert JOE in {voice.id for voice in await provider.voices()}
        assert (await provider.health()).ok
        first = await recorded(provider, JOE)
        assert 1.0 < first.samples / 24_000 < 5.0
        assert (await recorded(provider, JOE)).samples == first.samples
        with pytest.raises(errors.BadVoice):
            await recorded(provider, "en_US-nobody")


@pytest.mark.parametrize("response_format", ["pcm", "wav"])
async def test_a_server_of_openais_wire(make: Make, loudness: str, response_format: str) -> None:
    """Streamed sound in chunks, and errors of another server than the one we have in mind."""
    provider = make("openai", loudness, "sk-up", response_format=response_format)
    assert 1.0 < (await recorded(provider, "joe")).samples / 24_000 < 5.0
    with pytest.raises(errors.BadVoice):
        await recorded(provider, "nobody")
    with pytest.raises(errors.BadCredentials):
        await recorded(make("openai", loudness, "wrong"), "joe")


async def test_a_busy_server_of_openais_wire(make: Make, loudness: str) -> None:
    """It has one worker and no patience: what it refuses is to be asked for again, not to be given up."""
    provider = make("openai", loudness, "sk-up")
    outcomes = await asyncio.gather(*(recorded(provider, "joe") for _ in range(6)), return_exceptions=True)
    assert any(isinstance(one, Recorded) for one in outcomes)
    assert {type(one) for one in outcomes} <= {Recorded, errors.RateLimited}


async def test_piper_in_process() -> None:
    """The extra's engine is called as it wants to be: by nobody who installs the service alone."""
    told = json.loads(await run(str(HERE / "piper_here.py"), cwd=ROOT))
    assert told["voices"] == [JOE]
    assert 1.0 < told["seconds"] < 5.0
    assert told["fast"] == pytest.approx(told["seconds"] / 2, rel=0.25)
    assert told["again"] is True
    assert told["unknown"] == "BadVoice"
    assert told["outside"] == "BadVoice"
    assert told["speaker"] == "BadVoice"


async def test_polly_as_moto_has_it(make: Make) -> None:
    """Signed requests reach the service; its errors have AWS' form; eight NUL bytes are no sound."""
    with engine("moto") as url:
        provider = make("polly", url, "AKIDEXAMPLE:secret", response_format="pcm")
        assert "Joanna" in {voice.id for voice in await provider.voices()}
        with pytest.raises(errors.BadVoice):
            await recorded(provider, "Nobody")
        with pytest.raises(BadSound):
            await recorded(provider, "Joanna")

"""The last resort: a process for each utterance. Conformance: test_conformance.py."""

import asyncio
import shutil
import stat
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from providers import errors
from providers.espeak import Espeak
from providers.interface import ProviderSettings, ProviderVoice, Utterance
from providers.kinds import KINDS
from tests.providers.conformance import unpacked

TEXT = "The canary sings quietly at dawn."
US = ProviderVoice("last", "en-us")


def program(folder: Path) -> str:
    """The double, as a program."""
    path = folder / "espeak-double"
    path.write_text(
        f'#!/bin/sh\nexec {sys.executable} -E {Path(__file__).with_name("espeak_double.py")} "$@"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
async def double(tmp_path: Path) -> AsyncGenerator[Espeak]:
    """A provider of the double."""
    provider = Espeak(ProviderSettings("last", "espeak", options=(("program", program(tmp_path)),)))
    yield provider
    await provider.aclose()


async def heard(provider: Espeak, text: str = TEXT, voice: ProviderVoice = US, **more: Any) -> bytes:
    """All the sound."""
    async with provider.speak(Utterance(text, voice, **more)) as sound:
        return b"".join([piece async for piece in sound.pieces])


async def test_speed_is_its_own(double: Espeak) -> None:
    """Sped up afterwards, its thin sound gets thinner."""
    _, _, plain = unpacked(await heard(double))
    _, _, fast = unpacked(await heard(double, speed=2.0))
    assert len(fast) == pytest.approx(len(plain) / 2, rel=0.01)


async def test_an_unknown_voice(double: Espeak) -> None:
    """As an outage, it would open the circuit of all its voices."""
    with pytest.raises(errors.BadVoice):
        await heard(double, voice=ProviderVoice("last", "nobody"))


async def test_a_program_that_dies(double: Espeak) -> None:
    """Half a sentence would be kept as a whole one."""
    with pytest.raises(errors.Unavailable):
        await heard(double, voice=ProviderVoice("last", "cut"))


async def test_no_program() -> None:
    """The operator has to read what to install."""
    missing = Espeak(ProviderSettings("last", "espeak", options=(("program", "/no/such/program"),)))
    with pytest.raises(errors.Unavailable, match="install espeak-ng"):
        await heard(missing)
    health = await missing.health()
    assert not health.ok
    assert "install" in health.detail


async def test_its_voices_and_health(double: Espeak) -> None:
    """`refrain voices` and `refrain doctor` show what there is."""
    assert [(one.id, one.name) for one in await double.voices()] == [("en-us", "English (America)")]
    assert (await double.health()).detail == "eSpeak NG text-to-speech: 1.51"


async def test_warming_costs_nothing_while_it_speaks(double: Espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is warmed every minute while anybody listens: a process each time is a process for nothing."""
    started: list[tuple[str, ...]] = []
    start = double._process
    monkeypatch.setattr(double, "_process", lambda *flags: started.append(flags) or start(*flags))
    await heard(double)
    await double.warm()
    await double.warm()
    assert len(started) == 1
    monkeypatch.setattr(double, "_program", "/no/such/program")  # uninstalled meanwhile
    with pytest.raises(errors.Unavailable):
        await heard(double)
    with pytest.raises(errors.Unavailable):
        await double.warm()


async def test_closing_ends_what_runs(double: Espeak) -> None:
    """A program that hangs would outlive the server."""
    with pytest.raises(errors.Unavailable):  # noqa: PT012
        async with double.speak(Utterance(TEXT * 20, US)) as sound:
            await anext(sound.pieces)
            await double.aclose()
            async for _ in sound.pieces:
                pass
    assert not double._running


def test_settings_are_checked() -> None:
    """A pitch in words would make the program refuse every text."""
    kind = KINDS["espeak"]
    assert kind.check_voice(ProviderVoice("last", "en", None, (("pitch", "high"),)))
    assert not kind.check_voice(ProviderVoice("last", "en", None, (("pitch", "60"),)))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed; its double is")
async def test_the_real_program() -> None:
    """The double is written by us."""
    provider = Espeak(ProviderSettings("last", "espeak"))
    sound = await heard(provider)
    marked = await heard(provider, ssml='The canary <break time="2s"/> sings quietly at dawn.')
    assert sound[:4] == b"RIFF"
    assert len(marked) - len(sound) > 22_050 * 2
    # By the markup's own account of its language the program took an English voice for this one's words.
    german, words = ProviderVoice("last", "de"), "Guten Morgen, Herr Schmidt."
    plain, marked = await heard(provider, words, german), await heard(provider, words, german, ssml=words)
    assert len(marked) == pytest.approx(len(plain), rel=0.02)
    with pytest.raises(errors.BadVoice):
        await heard(provider, voice=ProviderVoice("last", "nobody"))
    assert any(voice.id.startswith("en") for voice in await provider.voices())
    assert await asyncio.wait_for(provider.health(), 5)

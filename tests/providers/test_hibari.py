"""The local engine: what it makes of hard text, and what it does to the event loop."""

import asyncio
import statistics
from collections.abc import AsyncGenerator

import pytest

from providers.errors import BadRequest, BadVoice, Unavailable
from providers.hibari import Hibari
from providers.hibari_text import readable
from providers.interface import ProviderSettings, ProviderVoice, Utterance

HEART = ProviderVoice("local", "heart")
PROSE = "The quick brown fox jumps over the lazy dog. On the 3rd of March, 1,250 people paid $9.99 each. "


@pytest.fixture(scope="module")
def warm_engines() -> dict[str, object]:
    """Loaded once for all tests here."""
    return {}


@pytest.fixture
async def hibari(warm_engines: dict[str, object]) -> AsyncGenerator[Hibari]:
    """The engine, warm."""
    provider = Hibari(ProviderSettings("local", "hibari", max_concurrency=3))
    provider._engines = warm_engines
    await provider.warm()
    yield provider
    await provider.aclose()


async def pieces(provider: Hibari, text: str, voice: ProviderVoice = HEART) -> list[bytes]:
    """The sound as it comes."""
    async with provider.speak(Utterance(text, voice)) as sound:
        return [piece async for piece in sound.pieces]


async def test_each_sentence_is_a_piece(hibari: Hibari) -> None:
    """First audio would wait for the last sentence."""
    assert len(await pieces(hibari, "One is here. Two is there. Three is gone.")) == 3


@pytest.mark.parametrize(
    "text", ["你好世界", "Привет, мир", "مرحبا", "😀", "[a](/b/)", "9" * 300, "1," * 300]
)
async def test_something_is_said_of_hard_text(hibari: Hibari, text: str) -> None:
    """A text in another script, or one long number, would be silence or a crash."""
    assert sum(map(len, await pieces(hibari, text))) > 4_800


@pytest.mark.parametrize("text", ["\u200b", "\x00", " "])
async def test_nothing_to_say_is_refused(hibari: Hibari, text: str) -> None:
    """Silence would be stored as this text's sound."""
    with pytest.raises(BadRequest):
        await pieces(hibari, text)


async def test_absent_voices_are_refused_not_downloaded(
    hibari: Hibari, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """A server that must work offline would hang on a model hub."""
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    for voice in ("emma", "nobody"):
        with pytest.raises(BadVoice):
            await pieces(hibari, "Hello.", ProviderVoice("local", voice))


@pytest.mark.parametrize("unit", ["a/", "[", "@", ".@,", "A-", "++", "1,", "9"])
def test_no_word_is_long_enough_to_stall_the_rules(unit: str) -> None:
    """The engine's rules are cubic in a word's length: one URL would stop every other voice."""
    assert max(map(len, readable(unit * 1_000).split())) <= 44


async def test_the_event_loop_goes_on(hibari: Hibari) -> None:
    """Every request of the process would stutter while one text is synthesized."""
    loop, lags = asyncio.get_running_loop(), []

    async def listen() -> None:
        while True:
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            lags.append(loop.time() - due)

    listener = asyncio.create_task(listen())
    await asyncio.gather(*(pieces(hibari, PROSE * 4) for _ in range(6)))
    listener.cancel()
    assert len(lags) > 50
    assert statistics.quantiles(lags, n=100)[94] < 0.05


async def test_closing_tells_those_who_wait(hibari: Hibari) -> None:
    """A shutdown would hang on listeners of sound that never comes."""
    async with hibari.speak(Utterance(PROSE * 10, HEART)) as sound:
        await hibari.aclose()
        with pytest.raises(Unavailable):
            [piece async for piece in sound.pieces]
    with pytest.raises(Unavailable):
        await pieces(hibari, "Hello.")
    with pytest.raises(Unavailable):
        await hibari.voices()

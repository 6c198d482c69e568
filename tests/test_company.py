"""Providers that come and go while they are spoken with."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import pytest

import app.company
from app.company import Company
from providers.allowance import Allowance
from providers.errors import BadCredentials
from providers.gate import Gated
from providers.interface import Provider, ProviderSettings, ProviderVoice, Utterance
from providers.scripted import Scripted
from tests.http.servers import until

UTTERANCE = Utterance("Hello there.", ProviderVoice("one", "low"))


@dataclass
class Troupe:
    """A company, and all that it ever built."""

    built: list[Scripted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.company = Company(self._make)

    def _make(self, settings: ProviderSettings) -> Provider:
        self.built.append(Scripted(settings.name))
        return self.built[-1]

    async def change(self, *wanted: ProviderSettings) -> None:
        """Have these and no others."""
        await self.company.change(wanted)


def account(name: str, key: str = "a") -> ProviderSettings:
    """Settings that differ by their key."""
    return ProviderSettings(name, "scripted", api_key=key)


async def close(_what: str, aclose: Callable[[], Awaitable[None]]) -> None:
    """Without a bound."""
    await aclose()


@pytest.fixture
async def troupe() -> AsyncIterator[Troupe]:
    """Nobody yet."""
    troupe = Troupe()
    yield troupe
    await troupe.company.aclose(close)
    assert all(one.closed for one in troupe.built)


async def test_who_is_unchanged_stays(troupe: Troupe):
    """Each reload would cost every vendor's connections, and load the local engine anew."""
    await troupe.change(account("one"), account("two"))
    one, two = troupe.company.providers.values()
    changed = await troupe.company.change([account("one"), account("two", key="b"), account("three")])
    assert (changed.new, changed.gone) == (("two", "three"), ("two",))
    assert list(troupe.company.providers) == ["one", "two", "three"]
    assert troupe.company.providers["one"] is one
    assert troupe.company.providers["two"] is not two


async def test_who_is_spoken_with_is_closed_afterwards(troupe: Troupe):
    """Whoever listens while a key is rotated would be cut."""
    await troupe.change(account("one"))
    (old,) = troupe.built
    old.between.clear()
    begun = asyncio.Event()

    async def speak(provider: Provider) -> int:
        async with provider.speak(UTTERANCE) as sound:
            begun.set()
            return sum([len(piece) async for piece in sound.pieces])

    speaking = asyncio.create_task(speak(troupe.company.providers["one"]))
    await begun.wait()
    await troupe.change(account("one", key="b"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not old.closed
    old.between.set()
    assert await speaking
    del speaking
    await until(lambda: old.closed)
    assert not troupe.built[1].closed


async def test_who_may_yet_be_spoken_with_is_not_closed(troupe: Troupe):
    """A long speech asks for its chunks one by one: between two of them nobody speaks with its provider."""
    await troupe.change(account("one"))
    held = troupe.company.providers["one"]
    await troupe.change()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not troupe.built[0].closed
    async with held.speak(UTTERANCE) as sound:
        assert [piece async for piece in sound.pieces]
    del held
    await until(lambda: troupe.built[0].closed)


async def test_who_is_held_for_ever_is_closed_all_the_same(troupe: Troupe, monkeypatch: pytest.MonkeyPatch):
    """A listener who never ends, or a defect, would keep an old account's connections open for good."""
    monkeypatch.setattr(app.company, "LONGEST_STAY", 0.0)
    await troupe.change(account("one"))
    held = troupe.company.providers["one"]
    await troupe.change()
    await until(lambda: troupe.built[0].closed)
    assert held.name == "one"


async def test_a_defect_in_the_new_leaves_the_old(troupe: Troupe):
    """A reload that goes wrong half-way would leave half of the providers."""

    async def warm(_new: Iterable[Provider]) -> None:
        raise BadCredentials("no", provider="two")

    await troupe.change(account("one"))
    with pytest.raises(BadCredentials):
        await troupe.company.change([account("two")], warm)
    assert list(troupe.company.providers) == ["one"]
    await until(lambda: troupe.built[1].closed)
    assert not troupe.built[0].closed


async def test_who_still_speaks_after_a_reload_is_counted():
    """An operator would see an account idle that is spoken with by as many as it has room for."""
    doubles: list[Scripted] = []

    def make(settings: ProviderSettings) -> Provider:
        doubles.append(Scripted(settings.name))
        return Gated(doubles[-1], Allowance(1))

    company = Company(make)
    await company.change([account("one")])
    doubles[0].before_first.clear()
    speaking = [asyncio.create_task(said(company.providers["one"])) for _ in range(2)]
    await doubles[0].called(1)
    await company.change([account("one", key="b"), account("two")])
    assert company.gates() == {"one": (1, 1), "two": (0, 0)}
    doubles[0].before_first.set()
    await asyncio.gather(*speaking)
    assert company.gates()["one"] == (0, 0)
    await company.aclose(close)


async def said(provider: Provider) -> bytes:
    """All the sound."""
    async with provider.speak(UTTERANCE) as sound:
        return b"".join([piece async for piece in sound.pieces])

"""The providers that are in force, and those that were and are still spoken with."""

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from app.errors import whereabouts
from app.speech.standing import Workload
from providers.gate import Gated
from providers.interface import Provider, ProviderSettings, Sound, Utterance
from providers.kinds import KINDS
from providers.retry import Retrying
from providers.wrapped import Wrapped, layer

LONGEST_STAY = 900.0
"""Seconds after which a provider that is no longer in force is closed, whoever still speaks with it."""
CLOSING = 5.0
"""Seconds for its closing."""

log = logging.getLogger("refrain")


class Engaged(Wrapped):
    """What the house is given in a provider's place: as long as anybody holds this, the provider is kept open.

    Plans, flights and refreshes hold it, each from its beginning to its end and with many ways between: the
    interpreter's own count of them is the one that cannot be forgotten in any.
    """

    @asynccontextmanager
    async def speak(self, utterance: Utterance) -> AsyncGenerator[Sound]:
        """See `Provider`; this is held meanwhile."""
        async with self.inside.speak(utterance) as sound:
            yield sound


@dataclass(frozen=True, slots=True)
class Changed:
    """How many providers a change brought, and how many it did away with, by name; the rest are as they were."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class Company:
    """Builds providers as the configuration says, and closes them: each when nobody holds it any more."""

    def __init__(self, make: Callable[[ProviderSettings], Provider]) -> None:
        self._make = make
        self._engaged: dict[ProviderSettings, Engaged] = {}
        self._leaving: dict[asyncio.Task[None], Provider] = {}

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Those in force, by name."""
        return MappingProxyType({settings.name: one for settings, one in self._engaged.items()})

    def workload(self, name: str) -> Workload:
        """Of the provider in force that has this name. Retries are counted from its being built."""
        settings, engaged = next(pair for pair in self._engaged.items() if pair[0].name == name)
        gate, retrying = layer(engaged, Gated), layer(engaged, Retrying)
        return Workload(
            now=gate.under_way if gate else 0,
            most=KINDS[settings.kind].slots(settings),
            retries=retrying.budget.taken if retrying else 0,
        )

    def gates(self) -> Mapping[str, tuple[int, int]]:
        """By name: how many utterances wait for their turn, and how many are under way.

        With those of providers that are no longer in force, as long as they are spoken with.
        """
        counted: dict[str, tuple[int, int]] = {}
        for provider in (*self._engaged.values(), *self._leaving.values()):
            if gate := layer(provider, Gated):
                waiting, under_way = counted.get(gate.name, (0, 0))
                counted[gate.name] = (waiting + gate.waiting, under_way + gate.under_way)
        return counted

    async def change(
        self,
        wanted: Iterable[ProviderSettings],
        warm: Callable[[Iterable[Provider]], Awaitable[None]] | None = None,
    ) -> Changed:
        """Have these and no others in force. Who has the same settings stays, with its connections.

        The new ones are warmed before anything changes. Then whoever asks for `providers` has them; the others are
        closed once nobody holds them. To be called by one task at a time.
        """
        now: dict[ProviderSettings, Engaged] = {}
        new: list[Engaged] = []
        try:
            for settings in wanted:
                engaged = self._engaged.get(settings)
                if engaged is None:
                    engaged = Engaged(self._make(settings))
                    new.append(engaged)
                now[settings] = engaged
            if warm is not None:
                await warm(new)
        except BaseException:
            for one in new:
                self._part(one)
            raise
        before, self._engaged = self._engaged, now
        gone = [settings for settings in before if settings not in now]
        for settings in gone:
            self._part(before[settings])
        return Changed(tuple(one.name for one in new), tuple(one.name for one in gone))

    async def aclose(self, close: Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]]) -> None:
        """Close all of them at the same time, also those that are held. `close` bounds each, and is told what it is."""
        leaving = dict(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        everybody = [*self._engaged.values(), *leaving.values()]
        self._engaged = {}
        await asyncio.gather(*(close(f"provider {one.name}", one.aclose) for one in everybody))

    def _part(self, engaged: Engaged) -> None:
        """Close it in a task of its own that holds what is inside, and not itself."""
        unheld = asyncio.Event()
        # The last holder may let go in any thread.
        held = weakref.finalize(engaged, asyncio.get_running_loop().call_soon_threadsafe, unheld.set)
        held.atexit = False
        task = asyncio.create_task(_leave(engaged.inside, unheld), name=f"closing {engaged.name}")
        self._leaving[task] = engaged.inside
        task.add_done_callback(lambda done: (held.detach(), self._leaving.pop(done)))


async def _leave(provider: Provider, unheld: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LONGEST_STAY):
            await unheld.wait()
    except TimeoutError:
        log.warning("provider %s is closed although it is still spoken with", provider.name)
    try:
        async with asyncio.timeout(CLOSING):
            await provider.aclose()
    except TimeoutError:
        log.warning("provider %s could not be closed in time", provider.name)
    except Exception as error:  # noqa: BLE001 - nobody waits for it to be raised
        log.error("defect: %s", whereabouts(error))  # noqa: TRY400 - the message may carry an address

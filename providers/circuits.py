"""The circuits of all providers, shared with the other processes, and closed again by probes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from logging import getLogger
from typing import Protocol

from providers.circuit import Circuit, State
from providers.errors import ProviderError, TimedOut

log = getLogger("refrain")

LOOK_SECONDS = 1.0
"""Between two looks at what the others have found out."""
PATIENCE = 2.0
"""For so many pauses between probes one is waited for."""
PROBES = 4.0
"""For so many of its pauses between probes an open circuit is told: if all who probe die, it closes by itself."""


class Fleet(Protocol):
    """What processes tell each other. Names and values are short words of ours."""

    async def post(self, name: str, value: str, seconds: float) -> bool:
        """Tell all, for so many seconds; False: only this process knows, the others cannot be reached."""
        ...

    async def withdraw(self, name: str) -> bool:
        """Tell no more; False: the others cannot be reached."""
        ...

    async def posted(self, names: list[str]) -> Mapping[str, str] | None:
        """What anybody tells under these names; None: nobody can be reached."""
        ...

    async def claim(self, name: str, seconds: float) -> bool:
        """Whether the caller is the one in the fleet that may do this, and nobody else for so many seconds."""
        ...


Probe = Callable[[str], Awaitable[None]]
"""Has the provider of that name say something short. Raises ProviderError: it does not, or not well."""


class Circuits:
    """One for each provider. `watch` keeps them as the fleet knows them, and has open ones probed."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        pause: float = LOOK_SECONDS,
    ) -> None:
        """`pause` is the time between two looks, in seconds."""
        self._sleep = sleep
        self._pause = pause
        self._circuits: dict[str, Circuit] = {}
        self._told: dict[str, str] = {}
        self._renewed: set[str] = set()
        self._probing: dict[str, asyncio.Task[None]] = {}

    def use(self, circuits: Iterable[Circuit]) -> None:
        """Look after these and no others. One in the place of another begins anew, in all processes."""
        before, self._circuits = self._circuits, {circuit.provider: circuit for circuit in circuits}
        for name, circuit in before.items():
            if self._circuits.get(name) is not circuit:
                self._told.pop(name, None)
                self._renewed.add(name)

    def of(self, provider: str) -> Circuit:
        """By the provider's configured name.

        Raises:
            KeyError: there is none of that name.
        """
        return self._circuits[provider]

    def states(self) -> Mapping[str, State]:
        """By provider."""
        return {name: circuit.state for name, circuit in self._circuits.items()}

    def retries(self) -> Mapping[str, int]:
        """By provider, in this process."""
        return {name: circuit.budget.taken for name, circuit in self._circuits.items()}

    async def watch(self, fleet: Fleet, probe: Probe) -> None:
        """Look, tell and probe until cancelled; probes under way then end, too."""
        try:
            while True:
                await self.look(fleet, probe)
                await self._sleep(self._pause)
        finally:
            for task in self._probing.values():
                task.cancel()
            await asyncio.gather(*self._probing.values(), return_exceptions=True)

    async def look(self, fleet: Fleet, probe: Probe) -> None:
        """Once."""
        while self._renewed:
            # What was said of the key that was there before is not said of the one that is there now.
            await fleet.withdraw(self._renewed.pop())
        before = {name: circuit.changes for name, circuit in self._circuits.items()}
        posted = await fleet.posted([*before]) if before else {}
        for name, circuit in tuple(self._circuits.items()):
            # What was read before this process closed it, or opened it, is no news from anybody.
            if posted is not None and circuit.changes == before.get(name):
                self._hear(circuit, posted.get(name))
            if circuit.reason is None:
                continue
            if self._told.get(name) != circuit.reason:
                await self._tell(fleet, circuit)
            if name not in self._probing and await fleet.claim(name, circuit.pause):
                self._probing[name] = asyncio.create_task(
                    self._probe(fleet, circuit, probe), name=f"probe {name}"
                )

    def _hear(self, circuit: Circuit, reason: str | None) -> None:
        """What the others say. Where they say nothing, but were told, somebody has closed it."""
        name = circuit.provider
        if reason is not None:
            if circuit.reason is None:
                log.warning("provider %s: circuit opened elsewhere (%s)", name, reason)
            circuit.open(reason)
            self._told[name] = reason
        elif name in self._told:
            del self._told[name]
            if circuit.reason is not None:
                log.warning("provider %s: circuit closed", name)
            circuit.close()

    async def _tell(self, fleet: Fleet, circuit: Circuit) -> None:
        reason = circuit.reason
        if reason is None:
            return
        name = circuit.provider
        if name not in self._told:
            log.warning("provider %s: circuit opened (%s)", name, reason)
        # Not told unless they were reached: what nobody tells of would look as if somebody had closed it.
        if await fleet.post(name, reason, PROBES * circuit.pause):
            self._told[name] = reason

    async def _probe(self, fleet: Fleet, circuit: Circuit, probe: Probe) -> None:
        name = circuit.provider
        circuit.probing = True
        try:
            # Well within the time for which it is told: a vendor that drips must not let its circuit run out.
            await _patiently(probe, name, PATIENCE * circuit.rules.probe)
        except ProviderError as error:
            circuit.open(error.code)
            if await fleet.post(name, error.code, PROBES * circuit.pause):
                self._told[name] = error.code
        else:
            log.warning("provider %s: circuit closed, it speaks again", name)
            circuit.close()
            self._told.pop(name, None)
            await fleet.withdraw(name)
        finally:
            circuit.probing = False
            del self._probing[name]


async def _patiently(probe: Probe, provider: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await probe(provider)
    except TimeoutError:
        raise TimedOut(f"{provider} took longer than {seconds:g} s.", provider=provider) from None

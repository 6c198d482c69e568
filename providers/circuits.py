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
PATIENCE = 1.6
"""For so many pauses between probes one is waited for: of one that hangs from just before the provider speaks again the
next one is 8 s later, and a look at the most, so that it is back within 10 s."""
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
        # These by account: what the fleet was told, what it has yet to be told is over, and who is being probed.
        self._told: dict[str, str] = {}
        self._unsaid: set[str] = set()
        self._probing: dict[str, asyncio.Task[None]] = {}

    def use(self, circuits: Iterable[Circuit]) -> None:
        """Look after these and no others. One in the place of another begins anew, in all processes."""
        before, self._circuits = self._circuits, {circuit.provider: circuit for circuit in circuits}
        for circuit in before.values():
            if not self._is_ours(circuit):
                self._told.pop(circuit.account, None)
        gone = {circuit.account for circuit in before.values() if not self._is_ours(circuit)}
        # What others still ask, with a key that is not ours any more, is theirs to tell of.
        self._unsaid |= gone & {circuit.account for circuit in self._circuits.values()}

    def _is_ours(self, circuit: Circuit) -> bool:
        return self._circuits.get(circuit.provider) is circuit

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
        await self._withdraw(fleet)
        before = {circuit.account: circuit.changes for circuit in self._circuits.values()}
        posted = await fleet.posted([*before]) if before else {}
        for circuit in tuple(self._circuits.values()):
            account = circuit.account
            # What was read before this process closed it, or opened it, is no news from anybody; nor is what it said
            # itself and could not take back.
            if posted is not None and circuit.changes == before.get(account) and account not in self._unsaid:
                self._hear(circuit, posted.get(account))
            if circuit.reason is None:
                continue
            if self._told.get(account) != circuit.reason:
                await self._tell(fleet, circuit)
            # By the pause, too: a claim for a minute, made when a bill was due, is none in an outage right after that.
            claim = f"{account}-{circuit.pause:g}"
            if account not in self._probing and await fleet.claim(claim, circuit.pause):
                self._probing[account] = asyncio.create_task(
                    self._probe(fleet, circuit, probe), name=f"probe {circuit.provider}"
                )

    async def _withdraw(self, fleet: Fleet) -> None:
        """What was said of an account, and is so no more."""
        for account in tuple(self._unsaid):
            if not await fleet.withdraw(account):
                return
            # Not before: a look meanwhile must not take for news what is still to be read.
            self._unsaid.discard(account)

    def _hear(self, circuit: Circuit, reason: str | None) -> None:
        """What the others say. Where they say nothing, but were told, somebody has closed it."""
        name, account = circuit.provider, circuit.account
        if reason is not None:
            if circuit.reason is None:
                log.warning("provider %s: circuit opened elsewhere (%s)", name, reason)
            circuit.open(reason)
            self._told[account] = reason
        elif account in self._told:
            del self._told[account]
            if circuit.reason is not None:
                log.warning("provider %s: circuit closed", name)
            circuit.close()

    async def _tell(self, fleet: Fleet, circuit: Circuit) -> None:
        reason = circuit.reason
        if reason is None:
            return
        if circuit.account not in self._told:
            log.warning("provider %s: circuit opened (%s)", circuit.provider, reason)
        # Not told unless they were reached: what nobody tells of would look as if somebody had closed it. Nor where
        # another has taken its place meanwhile, of which this is not said.
        if await fleet.post(circuit.account, reason, PROBES * circuit.pause) and self._is_ours(circuit):
            self._told[circuit.account] = reason
            self._unsaid.discard(circuit.account)

    async def _probe(self, fleet: Fleet, circuit: Circuit, probe: Probe) -> None:
        name = circuit.provider
        circuit.probing = True
        try:
            # Well within the time for which it is told: a vendor that drips must not let its circuit run out.
            await _patiently(probe, name, PATIENCE * circuit.rules.probe)
        except ProviderError as error:
            circuit.open(error.code)
            # What became of an old key, or an old address, is no news of the one that is there now.
            if self._is_ours(circuit):
                await self._tell(fleet, circuit)
        else:
            circuit.close()
            if self._is_ours(circuit):
                log.warning("provider %s: circuit closed, it speaks again", name)
                self._told.pop(circuit.account, None)
                self._unsaid.add(circuit.account)
                await self._withdraw(fleet)
        finally:
            circuit.probing = False
            del self._probing[circuit.account]


async def _patiently(probe: Probe, provider: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await probe(provider)
    except TimeoutError:
        raise TimedOut(f"{provider} took longer than {seconds:g} s.", provider=provider) from None

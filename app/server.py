"""The one place where things are constructed: `open_house` the parts, `create_app` the service around them."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import Receive, Scope, Send

from app.company import Company
from app.errors import RefrainError
from app.http.captions import CaptionSurface
from app.http.documentation import document
from app.http.doorway import Doorway
from app.http.envelope import Envelope
from app.http.forgetting import ForgettingSurface
from app.http.forwarding import Proxies
from app.http.frontier import Frontier
from app.http.guards import Guards
from app.http.listings import listings
from app.http.openai import SpeechSurface
from app.http.operations import CLOSING, Lifecycle, operations
from app.http.owner import Owners
from app.http.page import ApiPage, page
from app.http.planning import PlanSurface
from app.http.problems import on_defect, on_http_exception, on_refrain_error
from app.http.providers import providers
from app.http.purging import PurgeSurface
from app.http.replay import ReplaySurface
from app.http.sockets import SocketRoute, SocketRoutes, Sockets
from app.http.tokens import TokenSurface
from app.http.usage import usage
from app.metrics import CacheFigures, Metrics, TierFigures
from app.purging import Purging
from app.reload import Reload, in_force, needs_restart
from app.settings import Settings
from app.speech.cast import Cast, Casting
from app.speech.clips import ClipSource
from app.speech.failures import remembered
from app.speech.levels import Levels
from app.speech.lifetimes import Lifetimes
from app.speech.outputs import Outputs
from app.speech.plan import Planner
from app.speech.plans import Lanes, Plans
from app.speech.probing import Probing
from app.speech.refreshes import Refreshes
from app.speech.standing import Reporter, Standings
from app.speech.studio import Studio
from app.speech.voices import Voices
from app.stores import archive_url, opened
from app.users.desk import Desk, open_desk
from app.warming import UNHURRIED_WARM_UP, WARM_UP, named, warm_cache, warm_providers
from app.warmth import Warmth
from cache.cache import Cache, CacheStatistics, open_cache
from cache.embedded import start as start_embedded
from cache.tending import keep_on
from providers.circuits import Circuits
from providers.guard import circuit_of
from providers.interface import Provider, ProviderSettings
from providers.kinds import build, unguarded

VERSION = "0.1.0"

_LEAST = 0.05
"""Seconds for the closing of each part, however late it is: most take no time at all."""
_CONNECTIONS = 0.5
"""Seconds of what is left that the cache leaves to the closing of what is behind it."""

log = logging.getLogger("refrain")


@dataclass(frozen=True, slots=True)
class House:
    """Everything that runs, with or without a server around it."""

    settings: Settings
    company: Company
    lanes: Lanes
    casting: Casting
    circuits: Circuits
    cache: Cache
    metrics: Metrics
    studio: Studio
    reporter: Reporter
    desk: Desk

    @property
    def voices(self) -> Voices:
        """Those of now."""
        return self.casting.now.voices

    @property
    def outputs(self) -> Outputs:
        """Those of now."""
        return self.casting.now.outputs

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Those of now."""
        return self.casting.now.providers

    @property
    def purging(self) -> Purging:
        """Of what is in its cache, and behind it."""
        return Purging(self.studio, self.casting, self.cache, lambda: opened(self.settings))

    def standings(self) -> Standings:
        """How the providers of now stand."""
        return self.reporter.standings(self.voices, self.providers)

    async def recast(self, settings: Settings) -> str:
        """Heed these settings from the next request on, as far as a running server can; what was changed, in words.

        What is under way ends as it began.
        """
        for key in needs_restart(self.settings, settings):
            log.warning("%s has changed, which needs a restart", key)
        settings = in_force(self.settings, settings)
        idle = {name: one for name, one in self.providers.items() if not named(self.voices, [one])}

        async def warm(new: Iterable[Provider]) -> None:
            """Those, and who is there already and is named for the first time."""
            cold = idle | {provider.name: provider for provider in new}
            await warm_providers(named(Voices(settings.voices), cold.values()), UNHURRIED_WARM_UP)

        changed = await self.company.change(_accounts(settings), warm)
        self.casting.now = _cast(settings, self.settings, self.company.providers, self.lanes)
        self.circuits.use(map(circuit_of, self.company.providers.values()))
        new, gone = ", ".join(changed.new) or "none", ", ".join(changed.gone) or "none"
        return f"{len(settings.voices)} voice(s), {len(settings.providers)} provider(s); new: {new}; gone: {gone}"


@asynccontextmanager
async def open_house(
    settings: Settings, metrics: Metrics | None = None, left: Callable[[], float] = lambda: CLOSING
) -> AsyncIterator[House]:
    """The parts, connected and warm; given back in reverse order when the block ends.

    `left`: how many seconds the closing may take from now on; asked before each part's, which is told.

    Raises:
        cache.errors.EmbeddedError: no `redis.url` is set and the embedded server cannot run here.
        cache.errors.NoArchive: the archive cannot be opened.
    """
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        url = settings.redis.url
        if not url:
            embedded = await start_embedded(settings.redis.data_dir)
            embedded.watch()
            stack.push_async_callback(_close, "the embedded Valkey", embedded.aclose, left)
            url = embedded.url
        # Before the cache, so that they end after it: a flight must not end by its provider's closing.
        company = Company(lambda account: build(account, cache.slots))
        stack.push_async_callback(company.aclose, lambda what, aclose: _close(what, aclose, left))
        cache = open_cache(
            memory_bytes=settings.cache.memory,
            owner_share=settings.cache.owner_share,
            owner_budget=settings.cache.owner_budget,
            redis_url=url,
            timeout=settings.redis.timeout,
            archive_url=archive_url(settings),
            archive_bytes=settings.cache.archive_max,
            remember=remembered,
        )
        stack.push_async_callback(
            _close, "the cache", lambda: cache.aclose(max(0.0, left() - _CONNECTIONS)), left
        )
        await company.change(_accounts(settings))
        metrics.watch(lambda: _figures(cache.statistics()))
        assert cache.errands is not None, "there is a Redis, be it our own"
        # Before all that speaks, so that it closes after it: what is cut at the end is settled, too.
        at_desk = AsyncExitStack()
        desk = await at_desk.enter_async_context(
            open_desk(settings, cache.errands, lambda: casting.now.settings)
        )
        stack.push_async_callback(_close, "limits", at_desk.aclose, left)
        # Before the desk: what is spoken for followers elsewhere ends by this, and is charged then.
        stack.push_async_callback(_close, "flights", lambda: cache.end_flights(left() / 2), left)
        kept = settings.cache
        lifetimes = Lifetimes(kept.ttl, kept.fallback_ttl, kept.soft_ttl)
        refreshes = Refreshes(cache)
        stack.push_async_callback(_close, "refreshes", refreshes.aclose, left)
        lanes = Lanes()
        stack.push_async_callback(_close, "plans", lanes.aclose, left)
        casting = Casting(_cast(settings, settings, company.providers, lanes))
        levels = Levels(cache, kept.ttl)
        stack.push_async_callback(_close, "looks for levels", levels.aclose, left)
        source = ClipSource(cache, levels, lifetimes, refreshes, metrics, clock=time.perf_counter)
        studio = Studio(
            casting=casting,
            source=source,
            cache=cache,
            metrics=metrics,
            hedging=circuit_of,
            deadline=settings.server.deadline,
        )
        stack.push_async_callback(_close, "speeches that are followed", studio.aclose, left)
        metrics.watch_gates(company.gates)
        circuits, watching = _circuits(company, cache, Probing(casting, source, unguarded), metrics)
        stack.push_async_callback(_close, "circuits", functools.partial(_ended, watching), left)
        reporter = Reporter(metrics, company.workload, circuits)
        yield House(settings, company, lanes, casting, circuits, cache, metrics, studio, reporter, desk)


def _circuits(
    company: Company, cache: Cache, probing: Probing, metrics: Metrics
) -> tuple[Circuits, asyncio.Task[None]]:
    """Those of the providers in force, and the task that shares them with other replicas; it is the caller's to end."""
    circuits = Circuits()
    circuits.use(map(circuit_of, company.providers.values()))
    metrics.watch_circuits(circuits.states, circuits.retries)
    watching = asyncio.create_task(
        keep_on("circuits", lambda: circuits.watch(cache.bulletin, probing)), name="circuits"
    )
    return circuits, watching


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _accounts(settings: Settings) -> list[ProviderSettings]:
    return [table.named(name) for name, table in settings.providers.items()]


def _cast(settings: Settings, fixed: Settings, providers: Mapping[str, Provider], lanes: Lanes) -> Cast:
    """`fixed` are the settings of the start: of those that need a restart they are still in force."""
    planner = Planner(
        providers,
        settings.chunking,
        settings.pronunciation,
        fixed.server.max_input_chars,
        settings.sound.loudness,
        keep_text=fixed.cache.keep_text,
    )
    return Cast(Voices(settings.voices), Outputs(settings.sound), Plans(planner, lanes), providers, settings)


async def _close(what: str, aclose: Callable[[], Awaitable[None]], left: Callable[[], float]) -> None:
    """Within the time that is left: what hangs must keep neither the others nor the process."""
    try:
        async with asyncio.timeout(max(left(), _LEAST)):
            await aclose()
    except TimeoutError:
        log.warning("%s could not be closed in time", what)


async def warm(house: House) -> None:
    """Have engines loaded and connections open before the first request; a vendor that is away holds up nobody."""
    async with asyncio.TaskGroup() as together:
        together.create_task(warm_providers(named(house.voices, house.providers.values()), WARM_UP))
        together.create_task(warm_cache(house.cache))
        together.create_task(house.desk.limits.warm())


def _figures(statistics: CacheStatistics) -> CacheFigures:
    tiers = {"memory": statistics.memory, "redis": statistics.redis, "archive": statistics.archive}
    return CacheFigures(
        memory_bytes=statistics.memory.bytes or 0,
        archive_bytes=statistics.archive.bytes if statistics.archive else None,
        flights=statistics.flights.under_way,
        redis_errors=statistics.redis.errors if statistics.redis else 0,
        over_budget=statistics.over_budget,
        tiers={
            name: TierFigures(tier.hits, tier.misses, tier.errors, tier.damaged, tier.dropped)
            for name, tier in tiers.items()
            if tier is not None
        },
    )


class Refrain(Litestar):
    """The service. Every request, also one that no route takes, goes through the envelope."""

    envelope: Envelope
    lifecycle: Lifecycle
    reload: Reload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """ASGI."""
        await self.envelope(scope, receive, send)


def create_app(
    settings: Settings,
    read: Callable[[], Settings] | None = None,
    sockets: Callable[[House], Iterable[SocketRoute]] = lambda _house: (),
) -> Refrain:
    """The service for these settings. Nothing is opened before its lifespan begins.

    `read` has the settings anew when `reload` is asked for; left out, they are the same. `sockets`: WebSockets' routes.
    """
    metrics = Metrics()
    reload = Reload(read or (lambda: settings))
    lifecycle = Lifecycle(settings.server.grace)

    @asynccontextmanager
    async def opened(app: Litestar) -> AsyncIterator[None]:
        assert isinstance(app, Refrain)
        async with open_house(settings, metrics, lifecycle.left) as house:
            max_body = settings.server.max_body
            studio, casting = house.studio, house.casting
            owners = Owners(settings.cache.scope)
            app.register(
                SpeechSurface(studio, casting, owners, house.desk, metrics=metrics, max_body=max_body).route()
            )
            app.register(PlanSurface(studio, casting, owners, house.desk, max_body).route())
            app.register(ReplaySurface(studio, owners).route())
            app.register(CaptionSurface(studio, owners).router())
            app.register(ForgettingSurface(studio, owners).route())
            routes = SocketRoutes(sockets(house))
            app.register(TokenSurface(house.desk.passes, routes, max_body).route())
            app.register(listings(casting))
            app.register(providers(house.standings))
            app.register(usage(house.desk, casting))
            app.register(PurgeSurface(house.purging, max_body).route())
            document(
                app,
                needs_key=settings.auth.mode != "open",
                public_listings=settings.server.public_listings,
            )
            doorway = Doorway(
                house.desk.doorman,
                public_listings=settings.server.public_listings,
                open_role="admin" if settings.server.is_loopback else "user",
            )
            app.envelope.doorway = doorway
            idle_after = settings.server.websocket_idle
            app.envelope.sockets = Sockets(routes, doorway, house.desk, lifecycle, idle_after)
            await warm(house)
            async with reload.answered(house.recast), Warmth(casting, metrics.asked).kept():
                yield
            lifecycle.draining = True

    app = Refrain(
        route_handlers=[operations(lifecycle, metrics), page(keyed=settings.auth.mode != "open")],
        lifespan=[opened],
        exception_handlers={
            RefrainError: on_refrain_error,
            HTTPException: on_http_exception,
            Exception: on_defect,
        },
        openapi_config=OpenAPIConfig(
            title="Refrain",
            version=VERSION,
            path="/docs",
            render_plugins=[ApiPage(), JsonRenderPlugin(path="/openapi.json")],
        ),
        logging_config=None,
    )
    app.lifecycle = lifecycle
    app.reload = reload
    frontier = Frontier(settings.server.hosts, settings.server.allowed_origins)
    is_open = settings.auth.mode == "open"
    guards = Guards(embedded=bool(settings.server.allowed_origins) or not is_open)
    proxies = Proxies(settings.server.trusted_proxies)
    app.envelope = Envelope(
        super(Refrain, app).__call__,
        proxies=proxies,
        frontier=frontier,
        guards=guards,
        metrics=metrics,
        lifecycle=lifecycle,
    )
    return app

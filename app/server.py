"""The one place where things are constructed: `open_house` the parts, `create_app` the service around them."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException
from litestar.logging import LoggingConfig
from litestar.openapi import OpenAPIConfig

from app.errors import RefrainError
from app.http.envelope import Envelope
from app.http.listings import listings
from app.http.openai import SpeechSurface
from app.http.operations import Lifecycle, operations
from app.http.page import page
from app.http.planning import PlanSurface
from app.http.problems import on_defect, on_http_exception, on_refrain_error
from app.http.replay import ReplaySurface
from app.metrics import CacheFigures, Metrics
from app.settings import Settings
from app.speech.clips import ClipSource, Lifetimes
from app.speech.failures import remembered
from app.speech.plan import Planner
from app.speech.studio import Studio
from app.speech.voices import Voices
from cache.embedded import start as start_embedded
from cache.store import Cache, open_cache
from providers.interface import Provider
from providers.kinds import build

log = logging.getLogger("refrain")


@dataclass(frozen=True, slots=True)
class House:
    """Everything that runs, with or without a server around it."""

    settings: Settings
    voices: Voices
    providers: dict[str, Provider]
    cache: Cache
    metrics: Metrics
    studio: Studio


@asynccontextmanager
async def open_house(settings: Settings, metrics: Metrics | None = None) -> AsyncIterator[House]:
    """The parts, connected and warm; given back in reverse order when the block ends.

    Raises:
        cache.embedded.EmbeddedError: no `redis.url` is set and the embedded server cannot run here.
    """
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        url = settings.redis.url
        if not url:
            embedded = await start_embedded(settings.redis.data_dir)
            stack.callback(embedded.release)
            url = embedded.url
        cache = open_cache(url, memory_bytes=settings.cache.memory, remember=remembered)
        stack.push_async_callback(cache.aclose)
        providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
        for provider in providers.values():
            stack.push_async_callback(provider.aclose)
        ...
        yield House(settings, Voices(settings.voices), providers, cache, metrics, studio)

"""The tiers that outlive a process, opened by themselves: for whoever looks after them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.settings import Settings
from cache.archive import Archive, open_archive
from cache.embedded import start as start_embedded
from cache.shared import Shared, share

PATIENCE = 5.0
"""Seconds for one command: nobody listens to this, and a server may be busy."""


def archive_url(settings: Settings) -> str | None:
    """Where the archive is; None: there is none."""
    match settings.cache.archive:
        case "off":
            return None
        case "file":
            return (settings.redis.data_dir.absolute() / "archive").as_uri()
        case url:
            return url


@dataclass(frozen=True, slots=True)
class Stores:
    """Redis, and the archive if there is one."""

    shared: Shared
    archive: Archive | None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Stores]:
    """Both, until the block ends.

    Raises:
        EmbeddedError: no `redis.url` is set and the embedded server cannot run here.
        NoArchive: the archive cannot be opened.
    """
    async with AsyncExitStack() as stack:
        url = settings.redis.url
        if not url:
            embedded = await start_embedded(settings.redis.data_dir)
            stack.callback(embedded.release)
            url = embedded.url
        where = archive_url(settings)
        archive = None if where is None else open_archive(where)
        if archive is not None:
            stack.push_async_callback(archive.aclose)
        shared = share(url, timeout=PATIENCE)
        stack.push_async_callback(shared.link.aclose)
        yield Stores(shared, archive)

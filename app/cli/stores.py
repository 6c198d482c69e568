"""What is kept of users, opened by itself: for commands that look after it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.cli import Failed
from app.settings import Settings
from app.stores import PATIENCE
from app.users.desk import Desk, open_desk
from cache.embedded import start as start_embedded
from cache.errands import Errands
from cache.errors import Away
from cache.link import RedisLink


@asynccontextmanager
async def desk_of(settings: Settings) -> AsyncIterator[Desk]:
    """What is kept of users, until the block ends; at `redis.users_url`, if that is set.

    Raises:
        EmbeddedError: no URL is set and the embedded server cannot run here.
        Failed: Redis did not answer within the block.
    """
    async with AsyncExitStack() as stack:
        url = settings.redis.users_url or settings.redis.url
        # As if users had none apart: it is opened here, with the patience of a command.
        redis = settings.redis.model_copy(update={"url": url, "users_url": ""})
        if not url:
            embedded = await start_embedded(settings.redis.data_dir)
            stack.callback(embedded.release)
            url = embedded.url
        link = RedisLink(url, timeout=PATIENCE)
        stack.push_async_callback(link.aclose)
        errands = Errands(link)
        stack.push_async_callback(errands.aclose)
        alone = settings.model_copy(update={"redis": redis})
        desk = await stack.enter_async_context(open_desk(alone, errands, lambda: settings))
        try:
            yield desk
        except Away:
            where = "redis.users_url" if settings.redis.users_url else "redis.url"
            message = (
                f"Redis does not answer, or is full. Start it, or check {where}; `refrain doctor` says more."
            )
            raise Failed(message) from None

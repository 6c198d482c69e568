"""Everything about users that a process has."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.settings import Settings
from app.users.accounts import Accounts
from app.users.doorman import Doorman, Tokens
from app.users.keys import Keys
from app.users.limits import Limits
from app.users.store import Secret
from app.users.usage import Usage
from app.users.user import User
from app.users.visit import Visit
from cache.errands import Errands
from cache.link import RedisLink


@dataclass(frozen=True, slots=True)
class Desk:
    """Who is let in, and how much he may have."""

    doorman: Doorman
    keys: Keys
    limits: Limits
    usage: Usage
    accounts: Accounts

    def visit(self, user: User) -> Visit:
        """One request of his."""
        return Visit(user, self.limits, self.usage)


@asynccontextmanager
async def open_desk(
    settings: Settings, errands: Errands, current: Callable[[], Settings]
) -> AsyncIterator[Desk]:
    """`errands` go to the Redis of the cache, where users' things are unless they have their own.

    `current` are the settings in force: limits change without a restart.
    """
    async with AsyncExitStack() as stack:
        if settings.redis.users_url:
            link = RedisLink(settings.redis.users_url, timeout=settings.redis.timeout)
            stack.push_async_callback(link.aclose)
            errands = Errands(link)
            stack.push_async_callback(errands.aclose)
        link = errands.link
        secret = Secret(link, settings.auth.secret.get_secret_value())
        keys = Keys(link, secret, saves=not (settings.redis.url or settings.redis.users_url))
        tokens: Tokens | None = None
        doorman = Doorman(keys if settings.auth.takes_keys else None, tokens, secret)
        limits = Limits(errands, lambda plan: current().limits_of(plan), lambda: current().limits.alone)
        stack.push_async_callback(limits.aclose)
        usage = Usage(errands)
        stack.push_async_callback(usage.aclose)
        yield Desk(doorman, keys, limits, usage, Accounts(link, usage))

"""Everything about users that a process has."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.settings import Settings
from app.settings.signing import verifying_keys
from app.settings.tables import Jwt, LimitTable
from app.users.accounts import Accounts
from app.users.doorman import Doorman, Tokens
from app.users.idempotency import Claim, Idempotency
from app.users.jwks import PublishedKeys
from app.users.keys import Keys
from app.users.limits import Limits
from app.users.passes import Passes
from app.users.places import Places
from app.users.revocations import Revocations, open_revocations
from app.users.store import Secret
from app.users.tokens import GivenKey, JwtTokens, VerifyingKeys
from app.users.usage import Usage
from app.users.user import DEFAULT_PLAN, User
from app.users.visit import Visit
from cache.errands import Errands
from cache.link import RedisLink


@dataclass(frozen=True, slots=True)
class Desk:
    """Who is let in, and how much he may have."""

    doorman: Doorman
    keys: Keys
    limits: Limits
    places: Places
    usage: Usage
    idempotency: Idempotency
    passes: Passes
    accounts: Accounts
    revocations: Revocations

    def visit(self, user: User, claim: Claim | None = None) -> Visit:
        """One request of his."""
        return Visit(user, self.limits, self.usage, claim)


class Plans:
    """What plans have, by the settings in force; put together once, since it is asked for with every request."""

    def __init__(self, current: Callable[[], Settings]) -> None:
        self._current = current
        self._settings: Settings | None = None
        self._known: dict[str, LimitTable] = {}

    def __call__(self, plan: str) -> LimitTable:
        """Of a user with this plan."""
        settings = self._current()
        if settings is not self._settings:
            self._settings, self._known = settings, {}
        found = self._known.get(plan)
        if found is None:
            found = settings.limits_of(plan)
            # Plans that are not configured are named by tokens, which others make: they are not kept.
            if plan in settings.limits.plans or plan == DEFAULT_PLAN:
                self._known[plan] = found
        return found


@asynccontextmanager
async def open_desk(
    settings: Settings, errands: Errands, current: Callable[[], Settings]
) -> AsyncIterator[Desk]:
    """`errands` go to the Redis of the cache, where users' things are unless they have their own.

    `current` are the settings in force: limits change without a restart.
    """
    async with AsyncExitStack() as stack:
        if settings.redis.users_url:
            link = RedisLink(
                settings.redis.users_url, timeout=settings.redis.timeout, what="The users' Redis"
            )
            stack.push_async_callback(link.aclose)
            errands = Errands(link)
            stack.push_async_callback(errands.aclose)
        link = errands.link
        ours = not (settings.redis.url or settings.redis.users_url)
        secret = Secret(link, settings.auth.secret.get_secret_value(), saves=ours)
        keys = Keys(link, secret, saves=ours)
        revocations = open_revocations(link, settings)
        tokens: Tokens | None = None
        if settings.auth.takes_tokens:
            tokens = await stack.enter_async_context(_open_tokens(settings.auth.jwt, revocations, secret))
        passes = Passes(secret, revocations)
        doorman = Doorman(keys if settings.auth.takes_keys else None, tokens, secret, passes=passes)
        plans = Plans(current)
        limits = Limits(errands, plans, lambda: current().limits.alone)
        stack.push_async_callback(limits.aclose)
        places = Places(errands, plans, lambda: current().limits.alone)
        stack.push_async_callback(places.aclose)
        usage = Usage(errands)
        stack.push_async_callback(usage.aclose)
        accounts = Accounts(link, usage)
        once = Idempotency(errands, secret)
        yield Desk(doorman, keys, limits, places, usage, once, passes, accounts, revocations)


@asynccontextmanager
async def _open_tokens(rules: Jwt, revocations: Revocations, secret: Secret) -> AsyncIterator[Tokens]:
    async with AsyncExitStack() as stack:
        keys: VerifyingKeys
        if rules.jwks_url:
            published = PublishedKeys(rules.jwks_url)
            stack.push_async_callback(published.aclose)
            keys = published
        else:
            keys = GivenKey(verifying_keys(rules.public_key.get_secret_value(), rules.algorithms))
        yield JwtTokens(rules, keys, revocations, secret)

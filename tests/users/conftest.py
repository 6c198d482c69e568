"""A real Valkey, and users of each test's own in it."""

import itertools
import uuid
from collections.abc import AsyncIterator

import pytest

from app.users.user import User
from cache.errands import Errands
from cache.link import RedisLink
from tests.cache.conftest import Server, valkey, victim

__all__ = ["valkey", "victim"]

_numbers = itertools.count()


@pytest.fixture
async def link(valkey: Server) -> AsyncIterator[RedisLink]:
    """To the common server."""
    link = RedisLink(valkey.url, timeout=5)
    yield link
    await link.aclose()


@pytest.fixture
async def errands(link: RedisLink) -> AsyncIterator[Errands]:
    """To the common server."""
    errands = Errands(link)
    yield errands
    await errands.aclose()


@pytest.fixture
def user() -> User:
    """Nobody has asked as him before."""
    name = f"user-{next(_numbers)}-{uuid.uuid4().hex}"
    return User(name, "user", "default", "key:test", name)

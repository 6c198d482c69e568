"""The ways to one server: TLS, a user with few rights, a database; and addresses that cannot be one."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio.connection import UnixDomainSocketConnection

from cache.address import Secure, parse
from cache.cache import Cache, open_cache
from cache.flight import Made
from cache.lease import Lead
from cache.shared import Shared
from tests.cache.conftest import Server, sound, until
from tests.cache.proxy import AUTHORITY, Proxy, proxied, tls

A, B = "a" * 40, "b" * 40
PAGE = Path(__file__).parents[2] / "docs" / "cache.md"


class At:
    """Something with an address."""

    def __init__(self, url: str) -> None:
        self.url = url


@pytest.fixture
async def secure(valkey: Server) -> AsyncIterator[Proxy]:
    """TLS in front of the common server, which has none."""
    async with proxied(valkey.socket, tls=tls()) as proxy:
        yield proxy


async def test_tls_with_the_operators_authority(secure: Proxy, open_shared: Callable[..., Shared]):
    """Sound and leases cross a network that others read."""
    shared = open_shared(At(f"{secure.url}?ssl_ca_certs={AUTHORITY}"), timeout=5.0)
    await shared.tier.put(A, entry := sound(b"x" * 300_000))
    assert await asyncio.gather(*(shared.tier.get_many([A]) for _ in range(50))) == [[entry]] * 50
    assert await shared.leases.join(B, "one") == Lead()
    async with shared.leases.ear(B) as ear:
        await ear.listen()
        await shared.leases.fail(B, "one")
        await ear.wait(60.0)
    assert shared.link.errors == 0
    contexts = {
        id(one.ssl_context.context) for one in shared.link.client.connection_pool._available_connections
    }
    assert len(contexts) == 1  # each would cost 28 ms of the event loop


async def test_a_certificate_that_is_not_trusted_is_not_talked_to(
    secure: Proxy, open_shared: Callable[..., Shared]
):
    """Whoever sits in between would be told everything, and could answer with sound of his own."""
    shared = open_shared(At(secure.url))
    await shared.tier.put(A, sound())
    assert await shared.tier.get_many([A]) == [None]
    assert shared.link.outage.open


async def test_the_least_rights_that_the_page_gives_are_enough(victim: Server):
    """Operators copy that line: one right too few, and nothing is shared, without a word in any log."""
    line = re.search(r"^ACL SETUSER refrain .+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    assert victim.command(*line[0].replace("SECRET", "p@ss").split()) == b"+OK\r\n"
    url = f"unix://refrain:p%40ss@{victim.socket}"
    one, other = (open_cache(memory_bytes=0, redis_url=url, lease=100.0, timeout=5.0) for _ in range(2))
    go = asyncio.Event()

    async def make(emit: Callable[[bytes], None]) -> Made:
        emit(b"first ")
        await go.wait()
        return Made(b"{}", b"first and last", 60.0)

    async def failing(_emit: Callable[[bytes], None]) -> Made:
        raise ValueError("x")

    async def listen(cache: Cache) -> tuple[bytes, str | None]:
        async with cache.board(A, make) as seat:
            return (await seat.entry()).payload, seat.outcome

    try:
        leading = asyncio.create_task(listen(one))
        await until(lambda: one.statistics().flights.under_way == 1 and b"lease" in _names(victim))
        following = asyncio.create_task(listen(other))
        await until(lambda: b"notice" in victim.command("PUBSUB", "CHANNELS"))
        go.set()
        assert {(await leading)[1], (await following)[1]} == {"made", "joined"}
        victim.command("SCRIPT", "FLUSH")
        with pytest.raises(ValueError, match="x"):
            async with one.board(B, failing) as seat:
                await seat.entry()
        await one.put(B, sound())
        assert await other.has_all([A, B])
        assert None not in await other.get_many([A, B])
        assert await one.delete_many([B]) == 1
        for cache in (one, other):
            assert cache.statistics().redis.errors == 0
    finally:
        await one.aclose()
        await other.aclose()
    denied = re.findall(rb"acl_access_denied_\w+:(\d+)", victim.command("INFO", "stats"))
    assert set(denied) == {b"0"}


def _names(server: Server) -> bytes:
    return server.command("KEYS", "*")


async def test_a_wrong_password_is_an_outage(victim: Server, open_shared: Callable[..., Shared]):
    """It would be a stack trace at every request, with the password in it."""
    victim.command("CONFIG", "SET", "requirepass", "right")
    shared = open_shared(At(f"unix://:wrong@{victim.socket}"))
    assert await shared.tier.get_many([A]) == [None]
    assert shared.link.outage.open


async def test_a_database_of_its_own(victim: Server, open_shared: Callable[..., Shared]):
    """Somebody else's keys in database 0 may be flushed at any time."""
    shared = open_shared(At(f"unix://{victim.socket}?db=3"))
    await shared.tier.put(A, sound())
    assert b"db3:keys=1" in victim.command("INFO", "keyspace")


def test_addresses_of_every_kind_are_read():
    """What the documentation offers must be understood, down to the last option."""
    plain = parse("redis://user:p%40ss@cache:1234/5")
    assert (plain.kind, plain.hosts) == ("server", (("cache", 1234),))
    assert plain.options.items() >= {"username": "user", "password": "p@ss", "db": 5}.items()
    assert parse("redis://[::1]").hosts == (("::1", 6379),)
    socket = parse("unix:///run/redis.sock?db=2")
    assert socket.options == {
        "connection_class": UnixDomainSocketConnection,
        "path": "/run/redis.sock",
        "db": 2,
    }
    watched = parse("rediss+sentinel://u:p@a,b:2/main/1?sentinel_password=s&ssl_cert_reqs=none")
    assert (watched.kind, watched.service, watched.hosts) == ("sentinel", "main", (("a", 26379), ("b", 2)))
    assert watched.options["connection_class"] is Secure
    assert watched.options.items() >= {"username": "u", "password": "p", "db": 1}.items()
    assert watched.sentinel_options.items() >= {"password": "s", "ssl_cert_reqs": "none"}.items()
    assert watched.sentinel_options.keys().isdisjoint({"username", "db"})
    many = parse("redis+cluster://a:1,b:2")
    assert (many.kind, many.hosts) == ("cluster", (("a", 1), ("b", 2)))


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://h", "has to begin with one of redis://, rediss://, unix://"),
        ("redis://:canary@", "names no host"),
        ("redis://:can/ry@h:1", "%2F for /"),
        ("redis://h:0", "names no host and port"),
        ("redis://h:65536", "names no host and port"),
        ("redis://[zz]", "brackets"),
        ("redis://h/canary", "has a database that is no number"),
        ("redis://a,b", "names several hosts"),
        ("unix://", "names no socket"),
        ("redis+sentinel://a", "names no service"),
        ("redis+cluster://a/1", "a cluster has only 0"),
        ("redis+cluster://a?db=1", "a cluster has only 0"),
        ("redis://h?socket_timeout=60", "the option socket_timeout, which is not known"),
        ("redis://h?decode_responses=true", "the option decode_responses"),
        ("redis://h?ssl_cert_reqs=none", "an option behind the ?"),
        ("rediss://h?ssl_cert_reqs=canary", "an option behind the ?"),
        ("rediss://h?ssl_ca_certs=/canary", "ssl_ca_certs, which names no file"),
    ],
)
def test_an_address_that_can_be_none_says_what_to_do(url: str, advice: str):
    """Found out at start, in words, and without the password: not at every request, in a stack trace."""
    with pytest.raises(ValueError, match=re.escape(advice)) as refused:
        parse(url)
    assert "can" not in str(refused.value)


def test_an_address_is_not_shown_with_its_password():
    """A defect's log line would carry it."""
    assert "canary" not in repr(parse("redis+sentinel://u:canary@h/s?sentinel_password=canary"))

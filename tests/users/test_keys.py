"""API keys: shown once, kept as a hash, stopped when revoked."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from app.users.keys import Keys, is_key
from app.users.store import LOOKED_EVERY, Secret, named
from cache.errors import Away
from cache.link import Answer, RedisLink
from tests.cache.conftest import Server


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Of the test's own."""
    return Clock()


@pytest.fixture
def keys(link: RedisLink, clock: Clock) -> Keys:
    """In the common server."""
    return Keys(link, Secret(link), now=clock)


async def test_what_was_created_is_found(keys: Keys):
    """Nobody could get in."""
    key, presented = await keys.create("alice", user="a@example.org", role="admin", plan="pro")
    assert await keys.find(presented) == key
    assert (key.name, key.user, key.role, key.plan) == ("alice", "a@example.org", "admin", "pro")
    assert re.fullmatch(r"rf_[a-z2-7]{16}_[a-z2-7]{32}", presented), "160 bits are 32 letters of base32"
    assert is_key(presented)


async def test_without_a_user_the_name_is_his(keys: Keys):
    """Limits of keys without a user would be counted together."""
    key, _ = await keys.create("bob")
    assert (key.user, key.role, key.plan) == ("bob", "user", "default")


@pytest.mark.parametrize("change", [lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
                                    lambda key: key[:-1], str.upper, lambda _: "", lambda _: "rf_x_y",
                                    lambda key: key + "\n"])  # fmt: skip
async def test_what_is_nearly_a_key_is_none(keys: Keys, change: Callable[[str], str]):
    """A guess that is nearly right would do."""
    _, presented = await keys.create("carol")
    assert await keys.find(change(presented)) is None


async def test_redis_has_only_a_hash(keys: Keys, valkey: Server, link: RedisLink):
    """Who reads a backup of Redis would have everybody's keys."""
    _, presented = await keys.create("dora the canary")
    secret = presented.rpartition("_")[2]
    found = 0
    async for name in link.client.scan_iter(match="refrain-users:*"):
        assert b"dora" not in name
        assert presented.encode() not in name
        if await link.client.type(name) == b"hash":
            found += 1
            fields = await link.client.hgetall(name)
            assert not any(secret.encode() in value for value in fields.values())
    assert found


async def test_another_secret_knows_no_key(keys: Keys, link: RedisLink):
    """A stolen copy of Redis would serve to make keys that are taken elsewhere."""
    _, presented = await keys.create("erin")
    assert await Keys(link, Secret(link, given="x" * 32)).find(presented) is None


async def test_the_secret_is_the_same_for_all(link: RedisLink):
    """A key would be good at the replica that made it only."""
    assert await Secret(link).get() == await Secret(link).get()


async def test_a_secret_that_was_lost_comes_back(victim: Server, clock: Clock):
    """One evicted or flushed key would make all keys void with the next server that starts."""
    link = RedisLink(victim.url, timeout=5)
    running = Secret(link, clock=clock)
    known = await running.get()
    await link.client.delete(named("secret"))
    clock.now += LOOKED_EVERY
    assert await running.get() == known
    assert await Secret(link).get() == known
    await link.aclose()


async def test_a_server_goes_by_the_secret_of_now(victim: Server, clock: Clock):
    """After Redis has lost everything, keys that are made anew would be refused by every server that still runs."""
    link = RedisLink(victim.url, timeout=5)
    keys = Keys(link, Secret(link, clock=clock))
    await keys.create("lost")
    victim.command("FLUSHALL")
    _, presented = await Keys(link, Secret(link)).create("anew")
    clock.now += LOOKED_EVERY
    assert await keys.find(presented)
    await link.aclose()


async def test_a_known_secret_serves_while_redis_is_away(victim: Server, clock: Clock):
    """Nobody would get an address for his player, although all that it takes is known."""
    link = RedisLink(victim.url)
    secret = Secret(link, clock=clock)
    known = await secret.get()
    victim.stop()
    clock.now += LOOKED_EVERY
    assert await secret.get() == known
    await link.aclose()


async def test_what_must_outlive_a_power_cut_is_saved_at_once(victim: Server):
    """The embedded server saves once an hour: keys, and whose sound is whose, would be lost with the secret."""
    link = RedisLink(victim.url, timeout=5)

    async def saved() -> int:
        state = await link.client.info("persistence")
        return 0 if state["rdb_bgsave_in_progress"] else int(state["rdb_saves"])

    async def until_saved(more_than: int) -> int:
        while (count := await saved()) <= more_than:
            pass
        return count

    secret = Secret(link, saves=True)
    before = await saved()
    await secret.get()
    before = await until_saved(before)
    keys = Keys(link, secret, saves=True)
    key, _ = await keys.create("alice")
    before = await until_saved(before)
    await keys.revoke(key.id)
    await until_saved(before)
    await link.aclose()


async def test_a_secret_that_is_none_is_not_signed_with(victim: Server):
    """Where something has emptied it, anybody could sign."""
    link = RedisLink(victim.url, timeout=5)
    await link.client.set(named("secret"), b"")
    with pytest.raises(Away):
        await Secret(link).get()
    await link.aclose()


async def test_a_full_redis_knows_keys_all_the_same(victim: Server):
    """A server that is started while Redis is full would lock everybody out."""
    link = RedisLink(victim.url, timeout=5)
    _, presented = await Keys(link, Secret(link)).create("alice")
    victim.command("CONFIG", "SET", "maxmemory", "1")
    later = RedisLink(victim.url, timeout=5)
    found = await Keys(later, Secret(later)).find(presented)
    assert found is not None
    for one in (link, later):
        await one.aclose()


async def test_a_full_redis_ends_keys_all_the_same(victim: Server, clock: Clock):
    """A stolen key would be good for as long as nobody finds memory."""
    link = RedisLink(victim.url, timeout=5)
    keys = Keys(link, Secret(link), now=clock)
    key, presented = await keys.create("alice")
    ended, _ = await keys.create("bob")
    before = await keys.revoke(ended.id)
    victim.command("CONFIG", "SET", "maxmemory", "1")
    assert await keys.revoke(key.id) == replace(key, revoked=clock.now)
    assert await keys.find(presented) is None
    clock.now += 1
    assert await keys.revoke(ended.id) == before
    assert await keys.all() == [before], "that one was written down already"
    await link.aclose()


async def test_a_revoked_key_is_told_from_none(keys: Keys, clock: Clock):
    """Its user would look for a mistake of his own."""
    key, presented = await keys.create("frank")
    clock.now += 5
    revoked = await keys.revoke(key.id)
    assert revoked is not None
    assert revoked.revoked == clock.now
    clock.now += 5
    assert await keys.revoke(key.id) == revoked, "the first time counts"
    assert await keys.find(presented) == revoked
    assert await keys.revoke("nobody") is None


async def test_a_list_has_all_with_their_last_use(keys: Keys, clock: Clock):
    """Nobody could tell which keys are still needed."""
    clock.now = 3.0
    first, presented = await keys.create("first")
    clock.now += 100
    second, _ = await keys.create("second")
    key = await keys.find(presented)
    assert key is not None
    await keys.note_use(key)
    listed = [one for one in await keys.all() if one.id in {first.id, second.id}]
    assert [(one.name, one.used) for one in listed] == [("first", 103.0), ("second", 0.0)]
    clock.now += 59
    await keys.note_use(listed[0])
    again = next(one for one in await keys.all() if one.id == first.id)
    assert again.used == 103.0, "not for every request"


async def test_a_forgotten_user_has_no_keys(keys: Keys):
    """What was promised to be gone would still let somebody in."""
    _, presented = await keys.create("grace", user="gone")
    key, other = await keys.create("heidi", user="stays")
    assert await keys.forget("gone") == 1
    assert await keys.find(presented) is None
    assert await keys.find(other) == key
    stale = await keys.find(other)
    assert stale is not None
    await keys.forget("stays")
    await keys.note_use(stale)
    assert await keys.find(other) is None, "a late note must not bring half a key back"


async def test_a_use_leaves_nothing_of_a_key_that_is_deleted_meanwhile(
    keys: Keys, link: RedisLink, monkeypatch: pytest.MonkeyPatch
):
    """A user who was forgotten while he spoke would leave when that was, for good."""
    key, _ = await keys.create("judy")
    call = link.call

    async def then_forgotten(operation: Callable[[], Awaitable[Answer]]) -> Answer:
        monkeypatch.undo()
        answer = await call(operation)
        await call(lambda: link.client.delete(named("key", key.id)))
        return answer

    monkeypatch.setattr(link, "call", then_forgotten)
    await keys.note_use(key)
    assert not await link.client.exists(named("key", key.id))


async def test_without_redis_it_says_so(victim: Server, clock: Clock):
    """A key that could not be checked would be taken for a wrong one."""
    link = RedisLink(victim.url)
    victim.stop()
    keys = Keys(link, Secret(link), now=clock)
    with pytest.raises(Away):
        await keys.find("rf_" + "a" * 16 + "_" + "b" * 32)
    with pytest.raises(Away):
        await keys.create("ivan")
    await link.aclose()

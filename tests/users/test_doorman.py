"""Who is let in: what was checked a moment ago is believed, for a few seconds only."""

import gc
import signal
import sys
import uuid
import weakref

import pytest

from app.errors import InvalidKey, MissingKey, Revoked, UsersUnavailable
from app.users.doorman import BELIEVED, DISBELIEVED, Doorman
from app.users.keys import Key, Keys
from app.users.store import Secret
from app.users.user import anybody
from cache.link import RedisLink
from tests.cache.conftest import Server
from tests.users.test_keys import Clock
from tests.users.test_tokens import tokens


class Counted(Keys):
    """How often Redis was looked at."""

    looks = 0

    async def find(self, presented: str) -> Key | None:
        """As it does."""
        self.looks += 1
        return await super().find(presented)


@pytest.fixture
def clock() -> Clock:
    """Of the test's own."""
    return Clock()


@pytest.fixture
def keys(link: RedisLink) -> Counted:
    """In the common server."""
    return Counted(link, Secret(link))


@pytest.fixture
def doorman(keys: Counted, link: RedisLink, clock: Clock) -> Doorman:
    """Who takes keys only."""
    return Doorman(keys, None, Secret(link), clock=clock)


async def test_a_checked_key_costs_no_look_for_a_while(doorman: Doorman, keys: Counted, clock: Clock):
    """Each hit would cost a second trip to Redis."""
    key, presented = await keys.create("alice", role="admin", plan="pro")
    user = await doorman.check(presented)
    assert (user.id, user.role, user.plan, user.credential) == ("alice", "admin", "pro", f"key:{key.id}")
    assert doorman.recall(presented) is user
    clock.now += BELIEVED - 0.01
    assert await doorman.check(presented) is user
    assert keys.looks == 1
    clock.now += 0.02
    assert doorman.recall(presented) is None
    assert await doorman.check(presented) == user
    assert keys.looks == 2


async def test_a_revoked_key_stops_within_five_seconds(doorman: Doorman, keys: Counted, clock: Clock):
    """Whoever has stolen it would go on."""
    key, presented = await keys.create("bob")
    await doorman.check(presented)
    await keys.revoke(key.id)
    clock.now += 5
    with pytest.raises(Revoked):
        await doorman.check(presented)


async def test_a_slow_look_does_not_lengthen_belief(
    doorman: Doorman, keys: Counted, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """Where Redis takes seconds, a key that was revoked during the look would be believed for as long on top."""
    key, presented = await keys.create("slow")
    look = keys.note_use

    async def slowly(found: Key) -> None:
        await look(found)
        await keys.revoke(key.id)
        clock.now += 3

    monkeypatch.setattr(keys, "note_use", slowly)
    await doorman.check(presented)
    clock.now += 2
    with pytest.raises(Revoked):
        await doorman.check(presented)


async def test_what_is_none_is_not_looked_up_again_at_once(doorman: Doorman, keys: Counted, clock: Clock):
    """A client with a wrong key would keep Redis busy."""
    wrong = "rf_" + "a" * 16 + "_" + "b" * 32
    for _ in range(5):
        with pytest.raises(InvalidKey):
            await doorman.check(wrong)
    assert keys.looks == 1
    clock.now += DISBELIEVED
    with pytest.raises(InvalidKey):
        await doorman.check(wrong)
    assert keys.looks == 2


class Watched(str):
    """A credential of which it can be told whether it is still there."""

    __slots__ = ("__weakref__",)


async def test_what_was_refused_is_kept_as_a_hash(doorman: Doorman):
    """Memory would have keys that were mistyped, and all of the requests that they came with."""
    wrong = Watched("rf_" + "c" * 16 + "_" + "d" * 32)
    kept = weakref.ref(wrong)

    async def refused(credential: str) -> None:
        with pytest.raises(InvalidKey):
            await doorman.check(credential)

    await refused(wrong)
    del wrong
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("credential", ["nonsense", "sk-1234", "a.b.c", "\udce4", "x" * 100_000])
async def test_what_is_no_key_costs_no_look(doorman: Doorman, keys: Counted, credential: str):
    """Rubbish would keep Redis busy, or be a defect of ours."""
    with pytest.raises(InvalidKey):
        await doorman.check(credential)
    assert keys.looks == 0


async def test_without_a_key_it_says_how_to_send_one(doorman: Doorman):
    """A newcomer would not know what is missing."""
    with pytest.raises(MissingKey, match="your key as `Authorization"):
        await doorman.check("")


async def test_where_tokens_are_taken_it_asks_for_one(keys: Counted, link: RedisLink, clock: Clock):
    """Who has a log-in would be told to have a key made, with which he is not let in either."""
    issued = tokens()
    by_token = Doorman(None, issued, Secret(link), clock=clock)
    by_both = Doorman(keys, issued, Secret(link), clock=clock)
    with pytest.raises(MissingKey, match="your token as `Authorization"):
        await by_token.check("")
    with pytest.raises(MissingKey, match="your key or token as `Authorization"):
        await by_both.check("")
    _, key = await keys.create("alice")
    for presented in (key, "mistyped"):
        with pytest.raises(InvalidKey, match="your log-in gives"):
            await by_token.check(presented)
    assert (await by_both.check(key)).id == "alice"


async def test_a_key_that_cannot_be_checked_is_refused(victim: Server, clock: Clock):
    """An outage of Redis would let everybody in; who was checked a moment ago goes on."""
    link = RedisLink(victim.url, timeout=0.1)
    keys = Keys(link, Secret(link))
    doorman = Doorman(keys, None, Secret(link), clock=clock)
    _, presented = await keys.create("carol")
    _, other = await keys.create("dave")
    user = await doorman.check(presented)
    victim.send(signal.SIGSTOP)
    assert await doorman.check(presented) is user
    with pytest.raises(UsersUnavailable):
        await doorman.check(other)
    clock.now += 5
    with pytest.raises(UsersUnavailable):
        await doorman.check(presented)
    victim.send(signal.SIGCONT)
    await link.aclose()


async def test_two_keys_of_one_user_own_the_same(doorman: Doorman, keys: Counted):
    """Who renews his key would lose his sound; and what is his must not be guessed from his name."""
    _, first = await keys.create("one", user="erin")
    _, second = await keys.create("two", user="erin")
    _, other = await keys.create("three", user="frank")
    users = [await doorman.check(presented) for presented in (first, second, other)]
    assert users[0].owner == users[1].owner != users[2].owner
    assert len(users[0].owner) == 40


def test_what_nobody_checks_is_not_kept():
    """Stock clients send the key of another service where none is needed: a process would have thousands of them."""
    credential = f"sk-{uuid.uuid4()}"
    before = sys.getrefcount(credential)
    assert anybody(credential, "user").owner != anybody("", "user").owner
    assert sys.getrefcount(credential) == before


def test_without_keys_and_tokens_it_is_open(link: RedisLink):
    """At home nobody wants keys."""
    assert Doorman(None, None, Secret(link)).is_open

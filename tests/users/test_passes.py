"""Passes: what they open, for how long, and what ends them; with a real Valkey."""

import asyncio
import base64
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from app.errors import InvalidKey, Revoked, UsersUnavailable
from app.settings.signing import verifying_keys
from app.settings.tables import Jwt
from app.users.doorman import BELIEVED, UNCHECKED, Doorman
from app.users.keys import Keys
from app.users.passes import LONGEST, Passes
from app.users.revocations import Revocations
from app.users.store import Secret
from app.users.tokens import GivenKey, JwtTokens
from app.users.user import User, anybody
from cache.link import RedisLink
from tests.http.servers import Valkey, until
from tests.users.issuer import AUDIENCE, pem, token

SECRET = "of 32 characters and a few more than that"
DIGEST = "0123456789abcdef0123456789abcdef01234567"
PATH = f"/v1/speech/{DIGEST}"


class Clock:
    """The time, of day and other, as the test has it."""

    def __init__(self) -> None:
        self.seconds = time.time()

    def __call__(self) -> float:
        """Now."""
        return self.seconds


class Door:
    """A door with all that is behind it."""

    def __init__(self, link: RedisLink, clock: Clock, mode: str = "keys+jwt") -> None:
        secret = Secret(link, SECRET)
        self.link = link
        self.clock = clock
        self.slept: list[float] = []
        self.turn = asyncio.Event()
        self.keys = Keys(link, secret, now=clock)
        self.revocations = Revocations(link, kept=3600)
        self.passes = Passes(secret, self.revocations, now=clock)
        rules = Jwt(audience=AUDIENCE)
        given = GivenKey(verifying_keys(pem(), rules.algorithms))
        tokens = JwtTokens(rules, given, self.revocations, secret, now=clock)
        self.doorman = Doorman(
            self.keys if "keys" in mode else None,
            tokens if "jwt" in mode else None,
            secret,
            passes=self.passes,
            clock=clock,
            now=clock,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.seconds += seconds
        await self.turn.wait()
        self.turn.clear()

    async def user(self, **more: str) -> User:
        """One with a key, which he has just shown."""
        _, presented = await self.keys.create("ann", **more)
        return await self.doorman.check(presented)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A Valkey for this module."""
    with tempfile.TemporaryDirectory() as home:
        server = Valkey(Path(home))
        yield server
        server.stop()


@pytest.fixture
async def link(valkey: Valkey) -> AsyncIterator[RedisLink]:
    """The way to it, empty."""
    valkey.command("FLUSHALL")
    way = RedisLink(valkey.url, timeout=5)
    yield way
    await way.aclose()


@pytest.fixture
def door(link: RedisLink) -> Door:
    """For keys and tokens."""
    return Door(link, Clock())


def inside(presented: str) -> dict[str, object]:
    """What anybody can read in a pass."""
    middle = presented.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


async def test_a_pass_is_its_user_without_his_role(door: Door):
    """A player would hear another's sound or none; or a leaked address would purge the cache."""
    user = await door.user(plan="gold", role="admin")
    presented, seconds = await door.passes.issue(user, 60)
    assert seconds == 60
    assert await door.doorman.check_pass(presented, PATH) == replace(user, role="user")


async def test_it_expires(door: Door):
    """An address in somebody's history would be good for ever."""
    presented, _ = await door.passes.issue(await door.user(), 60)
    door.clock.seconds += 59
    await door.doorman.check_pass(presented, PATH)
    door.clock.seconds += 1
    with pytest.raises(InvalidKey, match="expired"):
        await door.doorman.check_pass(presented, PATH)


async def test_one_of_a_path_is_for_it_and_what_is_below(door: Door):
    """A page that plays one speech would open all of them, or could not show its captions."""
    presented, _ = await door.passes.issue(await door.user(), 60, PATH)
    for path in (PATH, f"{PATH}.mp3", f"{PATH}/captions.vtt"):
        await door.doorman.check_pass(presented, path)
    for path in (f"{PATH}0", f"/v1/speech/{'f' * 40}", "/v1/speech/", f"/v1/speech/x{PATH}"):
        with pytest.raises(InvalidKey):
            await door.doorman.check_pass(presented, path)


async def test_it_ends_with_its_key(door: Door):
    """Who was shut out would go on hearing for a quarter of an hour."""
    user = await door.user()
    presented, _ = await door.passes.issue(user, 900)
    await door.doorman.check_pass(presented, PATH)
    await door.keys.revoke(user.credential.removeprefix("key:"))
    door.clock.seconds += BELIEVED
    with pytest.raises(Revoked):
        await door.doorman.check_pass(presented, PATH)


async def test_it_ends_when_its_key_is_deleted(door: Door):
    """The same for a user who was forgotten."""
    user = await door.user()
    presented, _ = await door.passes.issue(user, 900)
    await door.keys.forget("ann")
    with pytest.raises(Revoked):
        await door.doorman.check_pass(presented, PATH)


async def test_it_ends_with_its_token(door: Door):
    """A token that was revoked would live on in its passes."""
    user = await door.doorman.check(token(jti="this one"))
    presented, _ = await door.passes.issue(user, 900)
    await door.doorman.check_pass(presented, PATH)
    await door.revocations.revoke_token("this one")
    door.clock.seconds += BELIEVED
    with pytest.raises(Revoked):
        await door.doorman.check_pass(presented, PATH)


async def test_it_does_not_outlive_its_token(door: Door):
    """A token of a minute would be a pass of a quarter of an hour."""
    user = await door.doorman.check(token(exp=int(door.clock.seconds) + 60))
    _, seconds = await door.passes.issue(user, 900)
    assert 60 <= seconds <= 71, "with the leeway"


async def test_a_users_passes_end_with_his_tokens(door: Door):
    """Thrown out, he would still hear by a pass that he had from his key; and with a new one he must."""
    user = await door.user()
    old, _ = await door.passes.issue(user, 900)
    await door.revocations.revoke_user("ann")
    door.clock.seconds += 600  # Redis has a clock of its own
    with pytest.raises(Revoked):
        await door.doorman.check_pass(old, PATH)
    new, _ = await door.passes.issue(user, 900)
    assert (await door.doorman.check_pass(new, PATH)).id == "ann"


async def test_none_is_taken_for_the_other(door: Door):
    """A pass in a header would do all that its user may; or any token in an address would be one."""
    user = await door.user()
    presented, _ = await door.passes.issue(user, 900)
    await door.doorman.check_pass(presented, PATH)
    for credential in (presented, f"{PATH}\n{presented}", f"Bearer {presented}"):
        with pytest.raises(InvalidKey):
            door.doorman.recall(credential) or await door.doorman.check(credential)
    for other in (token(), token(aud="refrain:pass:1"), "", "a.b.c", "x" * 9000):
        with pytest.raises(InvalidKey):
            await door.doorman.check_pass(other, PATH)


@pytest.mark.parametrize("key", [SECRET, "another secret of thirty-two characters"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none"])
async def test_nobody_else_can_make_one(door: Door, key: str, algorithm: str):
    """Who knows a secret that is used elsewhere, or none, could hear whatever he likes."""
    good, _ = await door.passes.issue(await door.user(), 900)
    written = {"HS256": key, "HS512": key * 2, "none": ""}[algorithm]
    forged = jwt.encode(inside(good), written, algorithm=algorithm)
    with pytest.raises(InvalidKey):
        await door.doorman.check_pass(forged, PATH)


async def test_a_changed_one_is_none(door: Door):
    """A pass for one path or user would be one for all."""
    good, _ = await door.passes.issue(await door.user(), 900, PATH)
    head, _, signature = good.split(".")
    for changed in ({"sub": "bob"}, {"path": ""}, {"exp": 9e9}):
        middle = (
            base64.urlsafe_b64encode(json.dumps({**inside(good), **changed}).encode()).decode().rstrip("=")
        )
        with pytest.raises(InvalidKey):
            await door.doorman.check_pass(f"{head}.{middle}.{signature}", PATH)


async def test_the_longest_fits(door: Door):
    """Users with long names would get passes that nobody takes."""
    user = User("\U0001f600" * 255, "user", "\U0001f600" * 64, (await door.user()).credential, "")
    presented, _ = await door.passes.issue(user, 900, PATH)
    assert len(presented) <= LONGEST
    assert (await door.doorman.check_pass(presented, PATH)).id == user.id


async def test_it_does_not_give_away_what_it_is_made_from(door: Door):
    """Who reads an address over somebody's shoulder would have his key."""
    _, key = await door.keys.create("ann")
    presented, _ = await door.passes.issue(await door.doorman.check(key), 900)
    assert key.rsplit("_", 1)[1] not in str(inside(presented))
    assert (await door.doorman.check(key)).owner not in str(inside(presented))


async def test_it_is_checked_once_in_four_seconds(door: Door, valkey: Valkey):
    """A player asks for range after range: each would cost two trips to Redis."""
    presented, _ = await door.passes.issue(await door.user(), 900)
    await door.doorman.check_pass(presented, PATH)
    valkey.command("CONFIG", "RESETSTAT")
    for _ in range(20):
        await door.doorman.check_pass(presented, PATH)
    assert b"cmdstat_zmscore" not in valkey.command("INFO", "commandstats")
    assert b"cmdstat_hgetall" not in valkey.command("INFO", "commandstats")


async def test_where_everybody_is_let_in_it_says_whose_sound(link: RedisLink):
    """With sound kept apart, a player without headers would not hear what its page has had made."""
    door = Door(link, Clock(), "open")
    page = anybody("something that the page sends", "admin")
    presented, _ = await door.passes.issue(page, 900)
    assert await door.doorman.check_pass(presented, PATH) == replace(page, role="user")


async def test_one_of_an_open_door_is_none_at_a_closed_one(link: RedisLink):
    """Made while everybody was let in, it would let everybody in; and the other way round it would be somebody."""
    opened, closed = Door(link, Clock(), "open"), Door(link, Clock())
    from_open, _ = await opened.passes.issue(anybody("x", "user"), 900)
    from_closed, _ = await closed.passes.issue(await closed.user(), 900)
    with pytest.raises(InvalidKey):
        await closed.doorman.check_pass(from_open, PATH)
    with pytest.raises(InvalidKey):
        await opened.doorman.check_pass(from_closed, PATH)


async def test_what_cannot_be_checked_is_refused(tmp_path: Path):
    """With Redis away a revoked key's passes would be good."""
    valkey = Valkey(tmp_path)
    link = RedisLink(valkey.url, timeout=5)
    door = Door(link, Clock())
    presented, _ = await door.passes.issue(await door.user(), 900)
    valkey.stop()
    with pytest.raises(UsersUnavailable):
        await door.doorman.check_pass(presented, PATH)
    await link.aclose()


async def test_without_its_secret_none_is_made(tmp_path: Path):
    """With Redis away the first page of a process would get an error of ours, or a pass that nobody takes."""
    valkey = Valkey(tmp_path)
    link = RedisLink(valkey.url, timeout=5)
    passes = Passes(Secret(link), Revocations(link, kept=3600))
    valkey.stop()
    with pytest.raises(UsersUnavailable):
        await passes.issue(anybody("", "user"), 60)
    await link.aclose()


async def test_a_connection_learns_that_its_key_is_revoked(door: Door):
    """A WebSocket would go on for hours with a key that was stolen."""
    user, other = await door.user(), await door.user()
    waiting = asyncio.create_task(door.doorman.until_revoked(user))
    door.turn.set()
    await until(lambda: len(door.slept) == 2)
    assert await door.doorman.still_good(user)
    await door.keys.revoke(user.credential.removeprefix("key:"))
    door.turn.set()
    await waiting
    assert max(door.slept) <= BELIEVED
    assert not await door.doorman.still_good(user)
    assert await door.doorman.still_good(other)


async def test_a_connection_is_not_ended_because_redis_is_away(tmp_path: Path):
    """An outage of a second would cut everybody who is speaking."""
    valkey = Valkey(tmp_path)
    link = RedisLink(valkey.url, timeout=5)
    door = Door(link, Clock())
    user = await door.doorman.check(token(jti="this one"))
    waiting = asyncio.create_task(door.doorman.until_revoked(user))
    valkey.stop()
    with pytest.raises(UsersUnavailable):
        await door.doorman.still_good(user)
    door.turn.set()
    await until(lambda: len(door.slept) == 2)
    valkey = Valkey(tmp_path)
    await until(lambda: not link.outage.open)
    await door.revocations.revoke_token("this one")
    door.turn.set()
    await waiting
    await link.aclose()
    valkey.stop()


async def test_a_connection_is_looked_at_as_soon_as_it_is_there(door: Door):
    """Its key may have been believed for seconds: with the next look in as many, that is twice what is promised."""
    user = await door.user()
    await door.keys.revoke(user.credential.removeprefix("key:"))
    await door.doorman.until_revoked(user)
    assert door.slept == []


async def test_a_connection_is_ended_when_redis_stays_away(tmp_path: Path):
    """A server that is cut off would never hear of what is revoked."""
    valkey = Valkey(tmp_path)
    link = RedisLink(valkey.url, timeout=5)
    door = Door(link, Clock())
    user = await door.doorman.check(token())
    valkey.stop()
    waiting = asyncio.create_task(door.doorman.until_revoked(user))
    while not waiting.done():
        door.turn.set()
        await asyncio.sleep(0)
    with pytest.raises(UsersUnavailable):
        await waiting
    assert UNCHECKED <= sum(door.slept) < UNCHECKED + 2 * BELIEVED
    await link.aclose()


async def test_where_something_is_spoken_only_its_own_pass_will_do(door: Door):
    """By the address of a sound, which many see, anybody could speak at its user's cost."""
    user = await door.user()
    room = "/rooms/one"
    own, _ = await door.passes.issue(user, 60, room)
    assert await door.doorman.check_pass(own, room, speaks=True) == user
    for path in ("", PATH, "/rooms", "/rooms/two"):
        other, _ = await door.passes.issue(user, 60, path)
        with pytest.raises(InvalidKey):
            await door.doorman.check_pass(other, room, speaks=True)
    for path in (f"{room}/two", f"{room}.mp3"):
        with pytest.raises(InvalidKey):
            await door.doorman.check_pass(own, path, speaks=True)


async def test_a_connection_outlives_its_tokens_expiry(door: Door):
    """A conversation would be cut in the middle because it has lasted longer than a log-in."""
    user = await door.doorman.check(token())
    door.clock.seconds += 7200
    assert await door.doorman.still_good(user)


async def test_where_everybody_is_let_in_nothing_is_revoked(link: RedisLink):
    """Connections of an open server would be cut by the first look."""
    door = Door(link, Clock(), "open")
    assert await door.doorman.still_good(anybody("", "user"))
    closed = Door(link, Clock())
    assert not await closed.doorman.still_good(anybody("", "user"))

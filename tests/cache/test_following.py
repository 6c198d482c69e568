"""Sound of a flight as other replicas hear it while it is made: pieces through a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest

from cache.cache import Cache, open_cache
from cache.errors import Away, FlightFailed
from cache.flight import Made
from cache.lease import Follow
from cache.link import Keys
from cache.passage import Seat
from cache.shared import Shared
from tests.cache.conftest import Server, sound, until
from tests.cache.leader import leader_process

A = "a" * 40
Replicas = Callable[..., Cache]


@pytest.fixture
async def replica(valkey: Server, keys: Keys) -> AsyncIterator[Replicas]:
    """Makes caches that share a server but no memory, as those of several machines do."""
    made: list[Cache] = []

    def more(**arguments: object) -> Cache:
        # A server that takes its time on a busy machine is no outage, in which more than one would make it.
        settings = {"memory_bytes": 1 << 20, "redis_url": valkey.url, "keys": keys, "timeout": 10.0}
        settings |= arguments
        made.append(open_cache(**settings))
        return made[-1]

    yield more
    for cache in made:
        await cache.aclose()


class Speaker:
    """A synthesis that says a piece whenever the test gives it one; None is its end."""

    def __init__(self) -> None:
        self.calls = 0
        self.words: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, emit: Callable[[bytes], None]) -> Made:
        """Emits what it is given."""
        self.calls += 1
        said = b""
        while (word := await self.words.get()) is not None:
            said += word
            emit(word)
        return Made(b"{}", said, 60.0)

    def say(self, *words: bytes | None) -> None:
        """Go on."""
        for word in words:
            self.words.put_nowait(word)


class Listener:
    """Somebody who listens in a task of his own, and what he has heard."""

    def __init__(self, cache: Cache, make: Speaker, *, live: bool = True) -> None:
        self.heard = b""
        self.task = asyncio.create_task(self._listen(cache, make, live=live))

    async def _listen(self, cache: Cache, make: Speaker, *, live: bool) -> str | None:
        async with cache.board(A, make) as seat:
            return await (self._live(seat) if live else self._whole(seat))

    async def _live(self, seat: Seat) -> str | None:
        async with aclosing(seat.pieces()) as pieces:
            async for piece in pieces:
                self.heard += piece
        return seat.outcome

    async def _whole(self, seat: Seat) -> str | None:
        self.heard = (await seat.entry()).payload
        return seat.outcome

    async def hears(self, what: bytes) -> None:
        """Wait until he has heard just this."""
        await until(lambda: self.heard == what or self.task.done())
        assert self.heard == what


async def test_a_follower_hears_what_there_is_before_the_end(replica: Replicas):
    """Those who ask at another replica would wait for the end of a synthesis that others hear already."""
    speaker, spare = Speaker(), Speaker()
    leading = Listener(replica(lease=100.0), speaker)
    speaker.say(b"one ")
    await leading.hears(b"one ")
    following = Listener(replica(), spare)
    await following.hears(b"one ")
    speaker.say(b"two ")
    await following.hears(b"one two ")
    late = Listener(replica(), spare)
    await late.hears(b"one two ")
    speaker.say(b"three", None)
    outcomes = [await one.task for one in (leading, following, late)]
    assert outcomes == ["made", "joined", "joined"]
    assert {one.heard for one in (leading, following, late)} == {b"one two three"}
    assert (speaker.calls, spare.calls) == (1, 0)


async def test_nothing_of_the_pieces_stays_behind(replica: Replicas, shared: Shared):
    """Every clip would lie twice in Redis, and push out as much again."""
    speaker, cache = Speaker(), replica()
    listener = Listener(cache, speaker)
    key = shared.link.keys.of("pieces", A)
    speaker.say(b"one ")
    await listener.hears(b"one ")
    following = Listener(replica(), Speaker())
    await following.hears(b"one ")
    assert 0 < await shared.link.client.pttl(key) <= 1000
    speaker.say(None)
    await listener.task
    await until(lambda: cache.statistics().flights.under_way == 0)
    assert await shared.link.client.exists(key) == 0


async def test_five_hundred_followers_cost_redis_as_much_as_one(replica: Replicas, victim: Server):
    """A crowd that asks the server each for himself is the load that this is here to prevent."""
    speaker, spare = Speaker(), Speaker()
    leader, follower = replica(redis_url=victim.url, lease=100.0), replica(redis_url=victim.url, lease=100.0)
    leading = Listener(leader, speaker)
    speaker.say(b"0 ")
    await leading.hears(b"0 ")
    crowd = [Listener(follower, spare) for _ in range(500)]
    for number in range(1, 5):
        await asyncio.gather(*(one.hears(leading.heard) for one in crowd))
        speaker.say(b"%d " % number)
        await leading.hears(leading.heard + b"%d " % number)
    speaker.say(None)
    await asyncio.gather(leading.task, *(one.task for one in crowd))
    assert {one.heard for one in crowd} == {b"0 1 2 3 4 "}
    # The leader: join, five times pieces, finish. The follower: join, subscribe, join, and again at each notice.
    assert _calls(victim) <= 40


def _calls(server: Server) -> int:
    """Commands that clients sent: scripts and subscriptions, not what scripts call inside."""
    stats = server.command("INFO", "commandstats").decode()
    names = ("evalsha", "eval", "subscribe", "unsubscribe", "get", "mget", "lrange", "exists")
    counts = dict(line.removeprefix("cmdstat_").split(":", 1) for line in stats.splitlines() if ":" in line)
    # `get` and `lrange` are called by scripts only; the client's own commands are the others.
    own = [name for name in names if name not in {"get", "lrange"}]
    return sum(int(counts[name].split(",")[0].removeprefix("calls=")) for name in own if name in counts)


async def test_the_next_leader_says_the_same_and_nobody_notices(replica: Replicas, shared: Shared):
    """A replica that dies takes its listeners' sound with it, elsewhere too, though the engine would repeat it."""
    speaker, second = Speaker(), Speaker()
    leading = Listener(replica(lease=0.3), speaker)
    speaker.say(b"one ")
    await leading.hears(b"one ")
    following = Listener(replica(lease=0.3), second)
    await following.hears(b"one ")
    third = Listener(replica(lease=0.3), second)  # whoever of them takes over
    await third.hears(b"one ")
    await _lose(shared, leading)
    successor = Listener(replica(lease=100.0), second)
    await until(lambda: second.calls == 1)
    second.say(b"on", b"e two", None)
    assert await successor.task in {"made", "joined"}
    for listener in (following, third):
        await listener.task
        assert listener.heard == b"one two"
    assert second.calls == 1


async def _lose(shared: Shared, leading: Listener) -> None:
    """The leader's process stops: it says nothing more, renews nothing more, and its lease runs out."""
    leading.task.get_coro()
    for task in asyncio.all_tasks():
        if "Leading.renew" in repr(task.get_coro()):
            task.cancel()
    await shared.link.client.delete(shared.link.keys.of("lease", A))


async def test_the_next_leader_says_it_otherwise_and_no_bytes_are_mixed(replica: Replicas, shared: Shared):
    """Half of one sound and half of another would be heard, and be cached by whoever hears it."""
    speaker, second = Speaker(), Speaker()
    leading = Listener(replica(), speaker)
    speaker.say(b"one ")
    await leading.hears(b"one ")
    follower = replica()
    following, patient = Listener(follower, second), Listener(follower, second, live=False)
    await following.hears(b"one ")
    await _lose(shared, leading)
    successor = Listener(replica(lease=100.0), second)
    await until(lambda: second.calls == 1)
    second.say(b"un ", b"deux", None)
    await successor.task
    with pytest.raises(FlightFailed, match="broken"):
        await following.task
    assert following.heard == b"one "
    # Who wants the whole has heard nothing yet, and gets all of the other.
    await patient.task
    assert (patient.heard, successor.heard) == (b"un deux", b"un deux")


async def test_pieces_of_a_leader_that_lost_its_lease_are_refused(shared: Shared):
    """Two who both believe that they lead would be heard in turns."""
    leases = shared.leases
    for number in range(100):
        old, new = f"old-{number}", f"new-{number}"
        await leases.join(A, old)
        assert await leases.publish(A, old, 0, [b"old"]) == 1
        await shared.link.client.delete(shared.link.keys.of("lease", A))
        await leases.join(A, new)
        assert await leases.publish(A, old, 1, [b"late"]) is None
        standing = await leases.join(A, "follower")
        assert standing == Follow(standing.left, new, ())
        assert await leases.publish(A, new, 0, [b"new"]) == 1
        standing = await leases.join(A, "follower", leader=old, had=1)
        assert standing == Follow(standing.left, new, (b"new",))
        await leases.fail(A, new)


async def test_a_lost_reply_doubles_no_piece(shared: Shared):
    """A leader that sends again what it cannot know to have arrived would stutter elsewhere."""
    leases = shared.leases
    await leases.join(A, "leader")
    assert await leases.publish(A, "leader", 0, [b"a", b"b"]) == 2
    assert await leases.publish(A, "leader", 0, [b"a", b"b", b"c"]) == 2  # its answer never came
    assert await leases.publish(A, "leader", 2, [b"c"]) == 3
    standing = await leases.join(A, "follower")
    assert isinstance(standing, Follow)
    assert standing.pieces == (b"a", b"b", b"c")


async def test_pieces_that_were_evicted_are_sent_again(replica: Replicas, shared: Shared):
    """A server short of memory drops what it can: a late follower misses nothing, an early one hears nothing twice."""
    speaker, spare = Speaker(), Speaker()
    leading = Listener(replica(lease=100.0), speaker)
    speaker.say(b"one ")
    await leading.hears(b"one ")
    early = Listener(replica(), spare)
    await early.hears(b"one ")
    await shared.link.client.delete(shared.link.keys.of("pieces", A))
    speaker.say(b"two ")
    late = Listener(replica(), spare)
    await late.hears(b"one two ")
    await early.hears(b"one two ")
    speaker.say(b"three", None)
    await asyncio.gather(leading.task, early.task, late.task)
    assert early.heard == late.heard == b"one two three"


async def test_redis_goes_away_in_the_middle_and_the_follower_makes_it_itself(
    replica: Replicas, victim: Server
):
    """Without the server no more pieces come: the sound must come all the same, and not twice."""
    speaker, own = Speaker(), Speaker()
    leading = Listener(replica(redis_url=victim.url), speaker)
    speaker.say(b"one ")
    await leading.hears(b"one ")
    following = Listener(replica(redis_url=victim.url, lease=0.3), own)
    await following.hears(b"one ")
    victim.stop()
    await until(lambda: own.calls == 1)
    for each in (own, speaker):
        each.say(*([b"one "] if each is own else []), b"two", None)
    assert await following.task == "made"
    assert following.heard == b"one two"
    assert await leading.task == "made"


async def test_a_server_that_comes_back_learns_who_is_making_it(replica: Replicas, victim: Server):
    """What was begun in an outage would be made once more by every replica that asks after it."""
    cache, speaker, spare = replica(redis_url=victim.url, lease=0.3), Speaker(), Speaker()
    await cache.get_many([A])
    victim.stop()
    await cache.get_many([A])
    assert cache.statistics().redis_away
    leading = Listener(cache, speaker)
    await until(lambda: speaker.calls == 1)
    victim.start()
    await until(lambda: b"lease" in victim.command("KEYS", f"*lease*{A}*"))
    following = Listener(replica(redis_url=victim.url), spare)
    speaker.say(b"one ")
    await following.hears(b"one ")
    speaker.say(None)
    assert (await leading.task, await following.task) == ("made", "joined")
    assert spare.calls == 0


async def test_a_clip_in_many_pieces_arrives_in_order(replica: Replicas):
    """Where Redis lags, pieces are sent many at once, and in parts where they are large."""
    speaker, spare = Speaker(), Speaker()
    words = [b"%06d" % number * 1000 for number in range(600)]
    leading = Listener(replica(memory_bytes=1 << 24, lease=100.0), speaker)
    speaker.say(words[0])
    await leading.hears(words[0])
    following = Listener(replica(), spare)
    speaker.say(*words[1:])
    await following.hears(b"".join(words))
    speaker.say(None)
    await asyncio.gather(leading.task, following.task)
    assert spare.calls == 0


async def test_the_leading_process_is_killed_after_it_was_heard(
    replica: Replicas, valkey: Server, keys: Keys
):
    """SIGKILL of a replica: who has heard its beginning elsewhere hears the same sound to its end."""
    process = await leader_process(valkey.url, keys, A, b"one ")
    speaker = Speaker()
    following = Listener(replica(), speaker)
    await following.hears(b"one ")
    process.kill()
    await process.wait()
    speaker.say(b"one ", b"two", None)
    assert await following.task == "made"
    assert following.heard == b"one two"


async def test_a_value_by_another_maker_is_not_joined_to_what_was_heard(replica: Replicas, shared: Shared):
    """A refresh elsewhere replaces the sound in the middle of a flight: its end must not follow our beginning."""
    speaker = Speaker()
    leading = Listener(replica(), speaker)
    speaker.say(b"one ")
    await leading.hears(b"one ")
    following = Listener(replica(lease=0.3), Speaker())
    await following.hears(b"one ")
    await shared.tier.put(A, sound(b"something else"))
    speaker.say(b"two ")
    with pytest.raises(FlightFailed, match="broken"):
        await following.task
    assert following.heard == b"one "
    speaker.say(None)
    assert await leading.task == "made"
    assert leading.heard == b"one two "


async def test_what_arrives_is_waited_for_past_notices_of_pieces(replica: Replicas, shared: Shared):
    """A notice of something else would be taken for the end, and a follower be cut for no reason."""
    arriving = asyncio.create_task(replica().arriving(A, 5.0))
    channel = shared.leases._channel(A)
    for _ in range(3):
        while not await shared.link.client.publish(channel, ""):  # noqa: ASYNC110 - the server has no event here
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
    await shared.tier.put(A, sound())
    await shared.link.client.publish(channel, "")
    assert await arriving is not None


async def test_one_lost_reply_makes_no_second_maker(replica: Replicas):
    """A moment in which Redis is busy would cost a second synthesis, and cut those who have heard the first."""
    speaker, spare = Speaker(), Speaker()
    leading = Listener(replica(lease=100.0), speaker)
    speaker.say(b"one ")
    await leading.hears(b"one ")
    follower = replica()
    following = Listener(follower, spare)
    await following.hears(b"one ")
    link = follower._shared.link
    call, lost = link.call, 1

    async def losing(operation: Callable[[], Awaitable[object]]) -> object:
        nonlocal lost
        answer = await call(operation)
        if lost:
            lost -= 1
            raise Away("the reply was lost")
        return answer

    link.call = losing
    speaker.say(b"two ")
    await following.hears(b"one two ")
    speaker.say(None)
    assert (await leading.task, await following.task) == ("made", "joined")
    assert (lost, spare.calls) == (0, 0)

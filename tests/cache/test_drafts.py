"""Drafts: values that are being made, followed from this process and from others."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, aclosing

import pytest

from cache.draft import Draft, DraftCut, Piece
from cache.drafts import Drafts, Following
from cache.link import Keys
from cache.shared import Shared
from tests.cache.conftest import Server, until

DIGEST = "d" * 40
LIFETIME = 0.6


@pytest.fixture
async def open_drafts(
    open_shared: Callable[..., Shared], valkey: Server
) -> AsyncIterator[Callable[..., Drafts]]:
    """Makes the drafts of one more process."""
    made: list[Drafts] = []

    def more(token: str = "maker", lifetime: float = LIFETIME, server: Server = valkey) -> Drafts:
        shared = open_shared(server)
        made.append(Drafts(shared.link, shared.notices, lifetime=lifetime, token=lambda: token))
        return made[-1]

    yield more
    for one in made:
        await one.aclose()


async def followed(drafts: Drafts) -> Following:
    """Somebody follows."""
    following = await drafts.follow(DIGEST)
    assert following is not None
    return following


async def until_followed(drafts: Drafts) -> Following:
    """As soon as somebody can."""
    while (following := await drafts.follow(DIGEST)) is None:  # noqa: ASYNC110 - other processes have no event here
        await asyncio.sleep(0.005)
    return following


async def all_lines(following: Following) -> list[bytes]:
    """To the clean end."""
    async with aclosing(following.lines) as lines:
        return [line async for line in lines]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_lines_are_followed_as_they_come(open_drafts: Callable[..., Drafts], elsewhere: bool):
    """Who asks for the address of what is being made would wait for its end, or be refused."""
    here = open_drafts()
    there = open_drafts() if elsewhere else here
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"one")
        following = await followed(there)
        assert following.head == b"head"
        async with aclosing(following.lines) as lines:
            assert await anext(lines) == b"one"
            waiting = asyncio.ensure_future(anext(lines))
            await asyncio.sleep(0)
            draft.add(b"two")
            assert await waiting == b"two"
            late = await followed(there)
            draft.add(b"three")
            draft.end(whole=True)
            assert [line async for line in lines] == [b"three"]
    assert await all_lines(late) == [b"one", b"two", b"three"]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_is_not_completed_ends_with_an_error(open_drafts: Callable[..., Drafts], elsewhere: bool):
    """A follower would take half a speech for a whole one."""
    here = open_drafts()
    there = open_drafts() if elsewhere else here
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"one")
        following = await followed(there)
    async with aclosing(following.lines) as lines:
        assert await anext(lines) == b"one"
        with pytest.raises(DraftCut):
            await anext(lines)


async def test_a_maker_that_was_killed_is_found_out(open_drafts: Callable[..., Drafts]):
    """Followers would wait for ever for a process that is gone."""
    here, there = open_drafts(), open_drafts()
    with here.open(DIGEST, b"head") as draft:
        draft.add(b"one")
        await draft.announced()
        following = await followed(there)
        for task in here._tasks:  # as if the process had ended: nobody says that it is over
            task.cancel()
        with pytest.raises(DraftCut):
            [line async for line in following.lines]


async def test_a_maker_that_takes_its_time_stays(open_drafts: Callable[..., Drafts]):
    """Followers of a slow provider would be cut off while all is well."""
    here, there = open_drafts(), open_drafts()
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        following = asyncio.create_task(all_lines(await followed(there)))
        await asyncio.sleep(3 * LIFETIME)
        assert not following.done()
        draft.add(b"one")
        draft.end(whole=True)
        assert await following == [b"one"]


async def test_two_makers_are_never_mixed(open_drafts: Callable[..., Drafts]):
    """Followers would hear a mixture of two voices that nobody ever made."""
    one, two, there = open_drafts("one"), open_drafts("two"), open_drafts()
    with one.open(DIGEST, b"one") as first:
        await first.announced()
        first.add(b"1a")
        with two.open(DIGEST, b"two") as second:
            await second.announced()
            second.add(b"2a")
            async with aclosing((await followed(there)).lines) as lines:
                assert await anext(lines) == b"1a"
                first.add(b"1b")
                second.add(b"2b")
                assert await anext(lines) == b"1b"
                first.end(whole=False)
                with pytest.raises(DraftCut):
                    await anext(lines)
            # The first one's has ended: the other's takes its place, from its beginning.
            following = await until_followed(there)
            assert following.head == b"two"
            second.end(whole=True)
            assert [line async for line in following.lines] == [b"2a", b"2b"]


async def test_a_replaced_draft_cuts_its_followers(open_drafts: Callable[..., Drafts], valkey: Server):
    """A follower at the third line would go on with the third line of something else."""
    one, two, there = open_drafts("one"), open_drafts("two"), open_drafts()
    with one.open(DIGEST, b"one") as first:
        first.add(b"1a")
        await first.announced()
        async with aclosing((await followed(there)).lines) as lines:
            assert await anext(lines) == b"1a"
            for task in one._tasks:
                task.cancel()
            await until(lambda: not one._tasks)
            with two.open(DIGEST, b"two") as second:
                second.add(b"2a")
                second.add(b"2b")
                with pytest.raises(DraftCut):
                    await anext(lines)


async def test_thousands_of_lines_are_followed(open_drafts: Callable[..., Drafts]):
    """The longest texts could not be followed: scripts take some thousand arguments only."""
    here, there = open_drafts(), open_drafts()
    with here.open(DIGEST, b"head") as draft:
        wanted = [b"%d" % number for number in range(10_000)]
        for line in wanted:
            draft.add(line)
        await draft.announced()
        following = asyncio.create_task(all_lines(await followed(there)))
        draft.end(whole=True)
        assert await following == wanted


async def test_a_draft_that_redis_forgot_is_written_again(open_drafts: Callable[..., Drafts], victim: Server):
    """After an eviction or a flush nobody could follow what goes on for an hour yet."""
    here, there = open_drafts(server=victim), open_drafts(server=victim)
    with here.open(DIGEST, b"head") as draft:
        draft.add(b"one")
        await draft.announced()
        victim.command("FLUSHALL")
        draft.add(b"two")
        async with aclosing((await until_followed(there)).lines) as lines:
            assert [await anext(lines), await anext(lines)] == [b"one", b"two"]


async def test_without_redis_it_is_followed_here_only():
    """A process alone would refuse what it is making itself."""
    drafts = Drafts()
    assert await drafts.follow(DIGEST) is None
    with drafts.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"one")
        following = await followed(drafts)
        draft.end(whole=True)
        assert await all_lines(following) == [b"one"]
    assert await drafts.follow(DIGEST) is None


async def test_the_maker_goes_on_while_redis_is_away(open_drafts: Callable[..., Drafts], victim: Server):
    """Speech would stand still because nobody can be told of it."""
    here, there = open_drafts(server=victim), open_drafts(server=victim)
    victim.stop()
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"one")
        assert await there.follow(DIGEST) is None
        following = await followed(here)
        draft.end(whole=True)
        assert await all_lines(following) == [b"one"]


async def test_a_closing_process_says_so(open_drafts: Callable[..., Drafts]):
    """At each roll-out followers elsewhere would wait until a draft has run out."""
    here, there = open_drafts(lifetime=60.0), open_drafts(lifetime=60.0)
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        following = await followed(there)
        await here.aclose()
        with pytest.raises(DraftCut):
            await anext(following.lines)


async def test_what_has_ended_is_not_followed(open_drafts: Callable[..., Drafts]):
    """It would be told from the draft for some seconds, also where the value itself has gone since."""
    here, there = open_drafts(lifetime=60.0), open_drafts()
    for whole in (True, False):
        with here.open(DIGEST, b"head") as draft:
            await draft.announced()
            draft.end(whole=whole)
        await until(lambda: not here._tasks)
        assert await there.follow(DIGEST) is None


def test_nothing_is_added_behind_the_end():
    """A follower who came late would read on into what was given up."""
    draft = Draft(b"head")
    draft.end(whole=False)
    draft.add(b"one")
    draft.end(whole=True)
    assert draft.elements[2:] == [b"!"]


async def test_many_makers_in_a_process_are_one_to_redis(open_drafts: Callable[..., Drafts], victim: Server):
    """A crowd that asks for one cold speech would write each of its clips down once for each of them."""
    here = open_drafts(server=victim)
    there = open_drafts(server=victim)
    with ExitStack() as making:
        drafts = [making.enter_context(here.open(DIGEST, b"head")) for _ in range(50)]
        for draft in drafts:
            await draft.announced()
        following = await followed(there)
        async with aclosing(following.lines) as lines:
            for line in (b"one", b"two", b"three"):
                for draft in drafts:
                    draft.add(line)
                assert await anext(lines) == line
        calls = re.search(rb"cmdstat_evalsha:calls=(\d+)", victim.command("INFO", "commandstats"))
        # Those of the one who tells, and of the follower's readings.
        assert calls is not None
        assert int(calls[1]) < 20


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_pieces_come_before_their_line(open_drafts: Callable[..., Drafts], elsewhere: bool):
    """Of what has one part only, a follower would hear nothing before its end."""
    here = open_drafts()
    there = open_drafts() if elsewhere else here
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        async with aclosing((await followed(there)).lines) as lines:
            draft.add_piece(b"so")
            assert await anext(lines) == Piece(b"so")
            draft.add_piece(b"")
            draft.add_piece(b"und")
            draft.add(b"sound")
            draft.end(whole=True)
            assert [told async for told in lines] == [Piece(b"und"), b"sound"]
        draft.add_piece(b"behind the end")


async def test_a_long_piece_is_not_read_in_one_trip(open_drafts: Callable[..., Drafts]):
    """Megabytes in one answer take longer than its time-out, and would look like an outage."""
    here, there = open_drafts(), open_drafts()
    content = bytes(range(256)) * 2**13
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add_piece(content)
        draft.end(whole=True)
        await until(lambda: not here._tasks)
        found = await there._read(DIGEST, 2)
        assert found is not None
        assert 2 < len(found.elements) < 6
        lines = there._lines(DIGEST, b"maker")
        assert b"".join([told.content async for told in lines if isinstance(told, Piece)]) == content


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_the_maker_learns_who_follows_and_when_the_last_leaves(
    open_drafts: Callable[..., Drafts], elsewhere: bool
):
    """A speech would be ended under its listeners, or made to its end for nobody."""
    here = open_drafts()
    there = open_drafts() if elsewhere else here
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"one")
        following = [await followed(there) for _ in range(2)]
        assert not await here.is_followed(DIGEST, draft)  # who only looks does not follow
        for one in following:
            assert await anext(one.lines) == b"one"
        assert await here.is_followed(DIGEST, draft)
        deserted = asyncio.create_task(here.deserted(DIGEST, draft))
        await following[0].lines.aclose()
        await until(lambda: not there._tasks - here._tasks)
        assert await here.is_followed(DIGEST, draft)
        assert not deserted.done()
        await following[1].lines.aclose()
        await deserted


async def test_others_followers_are_not_ours(open_drafts: Callable[..., Drafts]):
    """Of two who make the same, the one nobody hears would go on for ever."""
    one, two, there = open_drafts("one"), open_drafts("two"), open_drafts()
    with one.open(DIGEST, b"head") as first, two.open(DIGEST, b"head") as second:
        await first.announced()
        await second.announced()
        first.add(b"line")
        async with aclosing((await followed(there)).lines) as lines:
            assert await anext(lines) == b"line"
            assert await one.is_followed(DIGEST, first)
            assert not await two.is_followed(DIGEST, second)


async def test_a_follower_that_was_killed_counts_no_more(
    open_drafts: Callable[..., Drafts], monkeypatch: pytest.MonkeyPatch
):
    """A process that could not say goodbye would have speeches made for nobody until they end."""
    monkeypatch.setattr("cache.drafts.NOTED", 0.2)
    here, there = open_drafts(), open_drafts()
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        await there._read(DIGEST, 2, "somebody")
        assert await here.is_followed(DIGEST, draft)
        await here.deserted(DIGEST, draft)


async def test_a_follower_who_takes_nothing_still_counts(
    open_drafts: Callable[..., Drafts], monkeypatch: pytest.MonkeyPatch
):
    """A listener who stalls for some seconds would find that the rest was given up behind his back."""
    monkeypatch.setattr("cache.drafts.NOTED", 0.6)
    here, there = open_drafts(), open_drafts()
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"line")
        async with aclosing((await followed(there)).lines) as lines:
            assert await anext(lines) == b"line"
            deserted = asyncio.create_task(here.deserted(DIGEST, draft))
            done, _ = await asyncio.wait([deserted], timeout=1.5)
            assert not done
        await deserted


async def test_it_is_wanted_at_the_pace_of_those_elsewhere(open_drafts: Callable[..., Drafts]):
    """An hour would be made, and paid for, while its only listener, at another replica, is at the first minute."""
    here, there = open_drafts(), open_drafts()
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"one")
        draft.add(b"two")
        async with aclosing((await followed(there)).lines) as lines:
            assert await anext(lines) == b"one"
            wanted = asyncio.create_task(here.wanted(DIGEST, draft))
            assert await anext(lines) == b"two"
            done, _ = await asyncio.wait([wanted], timeout=0.3)
            assert not done, "he has not taken the last yet"
            waiting = asyncio.ensure_future(anext(lines))
            await wanted
            draft.add(b"three")
            # What is on its way to him is not wanted before he has it.
            wanted = asyncio.create_task(here.wanted(DIGEST, draft))
            assert await waiting == b"three"
            done, _ = await asyncio.wait([wanted], timeout=0.3)
            assert not done
            # Who listens here and has taken nothing does not hold him up.
            async with aclosing((await followed(here)).lines) as stalled:
                assert await anext(stalled) == b"one"
                waiting = asyncio.ensure_future(anext(lines))
                await wanted
                waiting.cancel()
                await asyncio.wait([waiting])
        await here.wanted(DIGEST, draft)  # nobody's pace


async def test_who_cannot_be_asked_how_far_he_is_sets_no_pace(
    open_drafts: Callable[..., Drafts], keys: Keys, valkey: Server
):
    """A full server evicts what it can: a listener would wait for the rest, and his maker for him."""
    here, there = open_drafts(), open_drafts()
    with here.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add(b"one")
        async with aclosing((await followed(there)).lines) as lines:
            assert await anext(lines) == b"one"
            wanted = asyncio.create_task(here.wanted(DIGEST, draft))
            done, _ = await asyncio.wait([wanted], timeout=0.3)
            assert not done
            valkey.command("DEL", keys.of("reached", DIGEST))
            await wanted


async def test_it_is_wanted_at_the_pace_of_the_quickest():
    """An hour would be made, and paid for, while its only listener is at the first minute."""
    drafts = Drafts()
    with drafts.open(DIGEST, b"head") as draft:
        await drafts.wanted(DIGEST, draft)  # nobody follows here: nobody's pace
        slow, quick = [(await followed(drafts)).lines for _ in range(2)]
        draft.add(b"one")
        draft.add(b"two")
        assert [await anext(slow), await anext(quick)] == [b"one", b"one"]
        wanted = asyncio.create_task(drafts.wanted(DIGEST, draft))
        assert await anext(quick) == b"two"
        assert not wanted.done()
        waiting = asyncio.ensure_future(anext(quick))
        await wanted
        draft.add(b"three")
        wanted = asyncio.create_task(drafts.wanted(DIGEST, draft))
        assert await waiting == b"three"
        assert not wanted.done()
        # A listener who leaves while he waits is not waited for, and wants nothing.
        waiting = asyncio.ensure_future(anext(quick))
        await wanted
        waiting.cancel()
        await asyncio.wait([waiting])
        wanted = asyncio.create_task(drafts.wanted(DIGEST, draft))
        assert [await anext(slow), await anext(slow)] == [b"two", b"three"]
        assert not wanted.done()
        await slow.aclose()
        await wanted


async def test_what_is_given_up_is_not_followed_from_that_moment_on(open_drafts: Callable[..., Drafts]):
    """Who asks before Redis knows would be given a beginning, and then be cut, where it is not there at all."""
    drafts = open_drafts()
    with drafts.open(DIGEST, b"head") as draft:
        await draft.announced()
        draft.add_piece(b"beginning")
        draft.end(whole=False)
        assert await drafts.follow(DIGEST) is None
    assert await drafts.follow(DIGEST) is None
    await until(lambda: not drafts._tasks)


async def test_the_end_is_told_though_one_that_was_withdrawn_goes_on(open_drafts: Callable[..., Drafts]):
    """A speech that is asked for again while who hears the deleted one still listens: its followers would be cut."""
    tokens = iter(("withdrawn", "maker"))
    here, there = open_drafts(), open_drafts()
    here._token = lambda: next(tokens)
    with here.open(DIGEST, b"old") as old:
        await old.announced()
        await here.withdraw(DIGEST)
        with here.open(DIGEST, b"head") as draft:
            await draft.announced()
            following = await followed(there)
            assert following.head == b"head"
            draft.add(b"line")
            draft.end(whole=True)
        assert await all_lines(following) == [b"line"]


async def test_who_never_had_his_turn_to_tell_leaves_no_task(open_drafts: Callable[..., Drafts]):
    """A thousand who come and go while one listens to the end would be remembered until then."""
    drafts = open_drafts()
    with drafts.open(DIGEST, b"head") as first:
        await first.announced()
        for _ in range(20):
            with drafts.open(DIGEST, b"head") as draft:
                await draft.announced()
        await until(lambda: len(drafts._tasks) == 1)
        assert await drafts.follow(DIGEST) is not None

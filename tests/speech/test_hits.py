"""What was said before: how often Redis is asked, how much of it is held, and what if some of it goes meanwhile."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing

import pytest
from redis import Redis

import app.speech.studio
import app.speech.windows
from app.audio.formats import FORMATS, output
from app.errors import BudgetExceeded
from app.server import House, open_house
from app.settings import parse
from app.speech.making import Live
from app.speech.plan import Plan, SpeechRequest
from app.speech.ready import Long, Ready
from app.users.tally import Tally, begin, end
from cache.cache import Cache
from providers import tones
from tests.http.servers import VOICES, Inside, Valkey, inside, until

MIB = 2**20
REDIS_ONLY = f'[cache]\nmemory = "0B"\narchive = "off"\n{VOICES}'
SENTENCE = "The keeper of the bridge counted {n} boats and wrote their number down before evening came."
"""Some 45 kB as mp3 by the scripted voice."""


@pytest.fixture
async def parts(valkey: Valkey) -> AsyncIterator[House]:
    """What runs, without a server around it and without a memory tier."""
    valkey.command("FLUSHALL")
    async with open_house(parse(f'[redis]\nurl = "{valkey.url}"\n{REDIS_ONLY}', {})) as opened:
        # A hundred megabytes are read here, traced and on a busy machine: no outage is to be seen in that.
        opened.cache._shared.link.timeout = 10.0
        yield opened


@pytest.fixture
def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """The server, seen by an operator."""
    with Redis(unix_socket_path=valkey.socket) as client:
        yield client


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests that are read from the cache."""
    seen: list[str] = []
    get_many = Cache.get_many

    async def watched(self: Cache, digests: list[str]) -> list[object]:
        seen.extend(digests)
        return list(await get_many(self, digests))

    monkeypatch.setattr(Cache, "get_many", watched)
    return seen


def text(sentences: int) -> str:
    """So many different sentences."""
    return " ".join(SENTENCE.format(n=n) for n in range(sentences))


def key(digest: str) -> str:
    """Where a clip or a manifest lies."""
    return f"refrain:1:clip:{{{digest}}}"


async def planned(
    parts: House, sentences: int, fmt: str = "mp3", *, cache: str = "default", bit_rate: int | None = None
) -> Plan:
    """A text's plan."""
    wanted = output(FORMATS[fmt], bit_rate=bit_rate)
    return await parts.studio.plan(
        SpeechRequest(text(sentences), parts.voices.find("default"), wanted, cache=cache)
    )


async def seeded(
    parts: House, redis: Redis, sentences: int, fmt: str = "mp3", bit_rate: int | None = None
) -> Plan:
    """Clips for all of a text, without an hour of synthesis: each is a copy of one."""
    one = await planned(parts, 1, fmt, bit_rate=bit_rate)
    await heard(parts, one)
    await until_stored(redis, one)
    value = redis.get(key(one.chunks[0].digest))
    plan = await planned(parts, sentences, fmt, bit_rate=bit_rate)
    for chunk in plan.chunks:
        redis.set(key(chunk.digest), value, px=10**8)
    return plan


async def heard(parts: House, plan: Plan) -> bytes:
    """All of it."""
    async with parts.studio.perform(plan) as speech, aclosing(speech.sound()) as sound:
        if isinstance(speech, Live):
            return b"".join([piece async for piece in sound])
        return b"".join([b"".join(window) async for window in sound])


async def until_labelled(parts: House) -> None:
    """What was kept is put into the index behind its listener."""
    labels = parts.cache._shared.labels
    await until(lambda: labels._writer is None and not labels._waiting)


def commands(redis: Redis) -> dict[str, int]:
    """How often each was called since the last reset, our own aside."""
    ours = {"config|resetstat", "info", "client|setinfo", "hello"}
    ours |= {"xrevrange", "xrange"}  # the look at what was forgotten elsewhere, once a second
    stats = redis.info("commandstats")
    counted = {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}
    return {name: calls for name, calls in counted.items() if name not in ours}


@pytest.mark.parametrize(
    ("bit_rate", "sentences", "trips"), [(64_000, 1, 1), (64_000, 45, 1), (32_000, 80, 2)]
)
async def test_up_to_two_megabytes_cost_one_round_trip(
    parts: House, redis: Redis, bit_rate: int, sentences: int, trips: int
):
    """Each further trip would be a millisecond and more where Redis is another machine.

    MGETs of 64 keys each leave together: that is still one trip.
    """
    plan = await seeded(parts, redis, sentences, bit_rate=bit_rate)
    size = redis.strlen(key(plan.chunks[0].digest)) * sentences
    assert size < 2 * MIB
    assert sentences == 1 or size > 1.6 * MIB
    await heard(parts, plan)
    await until_labelled(parts)
    redis.config_resetstat()
    await heard(parts, plan)
    await until_labelled(parts)
    assert commands(redis) == {"mget": trips}


async def test_a_long_speech_begins_before_it_is_read(parts: House, redis: Redis, looks: list[str]):
    """Who asks for an hour would wait until an hour is read, and the process would hold it."""
    plan = await seeded(parts, redis, 200)
    await heard(parts, plan)
    looks.clear()
    async with parts.studio.perform(plan) as speech:
        assert isinstance(speech, Long)
        assert len(looks) <= 1 + 4, "the manifest, and the first few clips"
        async with aclosing(speech.sound()) as sound:
            first = await anext(sound)
            assert sum(map(len, first)) <= app.speech.windows.FIRST_WINDOW
            assert len(looks) <= 1 + 12, "the next window is read while the first is sent"
            rest = [len(part) async for window in sound for part in window]
    assert sum(map(len, first)) + sum(rest) == speech.size
    assert len(looks) == 1 + 200, "no clip is read twice"


@pytest.mark.parametrize("fmt", ["mp3", pytest.param("wav", marks=pytest.mark.soak)])
async def test_fifty_listeners_of_an_hour_share_a_bound(parts: House, redis: Redis, fmt: str):
    """Fifty times 30 MB, or as wav 185 MB, would end the process."""
    plan = await seeded(parts, redis, 850, fmt)
    async with parts.studio.perform(plan) as speech:  # from now on the manifest is there
        assert speech.manifest.samples / 24_000 > 3_600
    async with AsyncExitStack() as stack:

        async def listener() -> AsyncGenerator[list[bytes]]:
            found = await stack.enter_async_context(parts.studio.perform(plan))
            assert isinstance(found, Ready)
            return await stack.enter_async_context(aclosing(found.sound()))

        tracemalloc.start()
        try:
            listening = [await listener() for _ in range(50)]
            # Every listener is in the middle, and holds what he was given last.
            held = [await asyncio.gather(*map(anext, listening)) for _ in range(4)][-1]
            now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(held) == 50
    assert peak < 120 * MIB, f"{now / MIB:.0f} MiB, at worst {peak / MIB:.0f}"


async def test_all_known_from_elsewhere_is_a_hit(parts: House, redis: Redis, looks: list[str]):
    """A long text whose sentences were all said in others would have no length, or be made again."""
    await seeded(parts, redis, 200)
    only = await planned(parts, 200, cache="only")
    first = await heard(parts, only)
    looks.clear()
    async with parts.studio.perform(only) as speech:
        assert isinstance(speech, Long)
        assert (speech.size, len(looks)) == (len(first), 1 + 3), "now there is a manifest"


async def test_known_clips_wait_in_the_cache_until_it_is_their_turn(
    parts: House, redis: Redis, looks: list[str]
):
    """Of an hour of which one sentence is new, each listener would hold all the rest."""
    plan = await seeded(parts, redis, 200)
    redis.delete(key(plan.chunks[199].digest))
    looks.clear()
    async with parts.studio.perform(plan) as speech:
        assert isinstance(speech, Live)
        assert len(looks) <= 1 + 4
        async with aclosing(speech.sound()) as sound:
            async for _ in sound:
                pass
        assert [clip.outcome for clip in speech.clips] == ["hit"] * 199 + ["made"]


async def test_what_is_evicted_while_it_is_heard_is_made_anew(
    parts: House, redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    """The listener would be cut off, or hear the rest of another sentence."""
    monkeypatch.setattr(app.speech.studio, "AT_ONCE_BYTES", 0)
    plan = await planned(parts, 16)
    said = await heard(parts, plan)
    await until_stored(redis, plan)
    async with parts.studio.perform(plan) as speech, aclosing(speech.sound()) as sound:
        assert isinstance(speech, Long)
        got = await anext(sound)
        redis.flushall()
        assert b"".join(got) + b"".join([b"".join(window) async for window in sound]) == said
    made = sum(
        sample.value
        for metric in parts.metrics.provider_requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
    assert 16 < made < 32


async def test_what_is_made_anew_while_it_is_heard_is_paid_for(
    parts: House, redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    """A long text that is heard from a cache that forgets would be spoken again and again beyond every limit."""
    monkeypatch.setattr(app.speech.studio, "AT_ONCE_BYTES", 0)
    plan = await planned(parts, 16)
    await heard(parts, plan)
    await until_stored(redis, plan)
    asked: list[int] = []

    async def afford(characters: int, _cost: float) -> None:
        asked.append(characters)
        if len(asked) == 3:
            raise BudgetExceeded("No more.")

    own = Tally(afford=afford)
    token = begin(own)
    async with parts.studio.perform(plan) as speech, aclosing(speech.sound()) as sound:
        assert own.sum.saved == plan.characters
        await anext(sound)
        redis.flushall()
        with pytest.raises(BudgetExceeded):
            async for _ in sound:
                pass
    end(token)
    assert own.sum.charged == sum(asked[:2]), "two were made, the third was refused"
    assert own.sum.saved == plan.characters - sum(asked)


async def until_stored(redis: Redis, plan: Plan) -> None:
    """Clips are written behind."""
    keys = [key(chunk.digest) for chunk in plan.chunks]
    await until(lambda: redis.exists(*keys) == len(keys))


@pytest.mark.parametrize("known", [True, False])
async def test_no_flipped_bit_is_heard(
    parts: House, redis: Redis, monkeypatch: pytest.MonkeyPatch, known: bool
):
    """Noise, or somebody else's words: every damaged clip is found before a byte of it leaves, and made anew.

    `known`: whether the speech's manifest is there, so that the clips are read as they are listened to.
    """
    monkeypatch.setattr(app.speech.studio, "AT_ONCE_BYTES", 0)
    plan = await planned(parts, 10)
    said = await heard(parts, plan)
    await until_stored(redis, plan)
    for number, chunk in enumerate(plan.chunks):
        value = bytearray(redis.get(key(chunk.digest)))
        at = (number * 7_919) % len(value)
        value[at] ^= 1 << number % 8
        redis.set(key(chunk.digest), bytes(value), px=10**8)
    if not known:
        redis.delete(key(plan.digest))
    assert await heard(parts, plan) == said


async def digests_of(house: Inside, redis: Redis, ask: dict[str, object]) -> list[str]:
    """Of its clips, once it has been said and stored."""
    (await house.post(**ask)).raise_for_status()
    plan = (await house.client.post("/v1/speech/plan", json=ask)).json()
    digests = [chunk["digest"] for chunk in plan["chunks"]]
    await until(lambda: redis.exists(*map(key, digests)) == len(digests))
    return digests


def replaced(redis: Redis, digests: list[str], number: int) -> str:
    """The digest of a clip in whose place another sentence's was put."""
    redis.set(key(digests[number]), redis.get(key(digests[-1])), px=10**8)
    return digests[number]


@pytest.fixture
async def house(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain on a real port, without a memory tier; a dozen sentences are long."""
    valkey.command("FLUSHALL")
    monkeypatch.setattr(app.speech.studio, "AT_ONCE_BYTES", 200_000)
    monkeypatch.setattr(app.speech.studio, "FIRST_WINDOW", 100_000)
    monkeypatch.setattr(app.speech.windows, "FIRST_WINDOW", 100_000)
    monkeypatch.setattr(app.speech.windows, "WINDOW", 100_000)
    async with inside(monkeypatch, valkey.url, REDIS_ONLY) as running:
        yield running


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
async def test_a_clip_replaced_further_on_cuts_the_answer(house: Inside, redis: Redis, stream_format: str):
    """The announced length would be wrong, or two versions be mixed; asked again, it is whole."""
    ask = {"input": text(12), "stream_format": stream_format}
    digests = await digests_of(house, redis, ask)
    whole = await house.post(input=text(12))
    replaced(redis, digests, 9)
    if stream_format == "sse":
        events = (await house.cut(ask)).decode()
        assert "speech.audio.delta" in events
        assert "speech.audio.done" not in events
        assert '"type":"error"' in events
    else:
        got = await house.cut(ask)
        assert 0 < len(got) < len(whole.content)
        assert whole.content.startswith(got)
    again = await house.post(input=text(12))
    assert again.status_code == 200
    assert len(again.content) == int(again.headers["content-length"])
    assert again.headers["etag"] != whole.headers["etag"]
    assert (await house.client.get(again.headers["content-location"])).content == again.content


async def test_a_clip_replaced_at_the_beginning_is_noticed_in_time(house: Inside, redis: Redis):
    """Whoever asks first after a clip was made anew would be cut off for nothing."""
    ask = {"input": text(12)}
    digests = await digests_of(house, redis, ask)
    whole = await house.post(**ask)
    replaced(redis, digests, 0)
    again = await house.post(**ask)
    assert len(again.content) == int(again.headers["content-length"])
    assert again.headers["etag"] != whole.headers["etag"]


async def test_what_cannot_be_made_again_alike_cuts_the_answer(
    house: Inside, redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    """Sound of another length would shift all that follows; the retry, which has it already, is whole."""
    ask = {"input": text(12)}
    digest = replaced(redis, await digests_of(house, redis, ask), 9)
    has_all = Cache.has_all

    async def then_lost(self: Cache, digests: list[str]) -> bool:
        found = await has_all(self, digests)
        redis.delete(key(digest))
        return found

    monkeypatch.setattr(Cache, "has_all", then_lost)
    monkeypatch.setattr(tones, "_AMPLITUDE", 0.2)
    got = await house.cut(ask)
    assert got
    monkeypatch.setattr(Cache, "has_all", has_all)
    again = await house.post(**ask)
    assert again.headers["cache-status"].startswith("refrain; hit")
    assert len(again.content) == int(again.headers["content-length"])

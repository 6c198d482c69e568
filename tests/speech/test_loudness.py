"""One loudness over all providers: heard in answers, learned once, kept for everybody."""

import asyncio
import io
import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import av
import msgspec
import numpy as np
import pytest
import soxr

import app.speech.levels
from app.audio.formats import FORMATS, output
from app.audio.loudness import Leveling, Measured, measure
from app.settings import BadConfiguration, parse
from app.speech.levels import ENOUGH, LOOK_AGAIN, Level, Levels
from app.speech.plan import Candidate, Planner, SpeechRequest
from app.speech.voices import Voices
from cache.cache import Cache, open_cache
from cache.interface import Entry
from cache.value import new_entry
from providers import tones
from providers.kinds import build
from tests.http.servers import Inside, Valkey, inside

LOUDLY = "Alpha speaks as loudly as anybody can."
NORMALLY = "Beta speaks as most of them do, and nobody minds."
SOFTLY = "Beta and gamma speak so softly that nobody hears them."
CHAIN = """
[providers.loud]
kind = "scripted"
attempts = 1
gain = 2
loudness = "unknown"
fault = "unavailable"
when = "Beta"
[providers.normal]
kind = "scripted"
attempts = 1
gain = -12
loudness = "unknown"
fault = "unavailable"
when = "gamma"
[providers.soft]
kind = "scripted"
gain = -24
loudness = "unknown"
[voices.default]
chain = [
  { provider = "loud", voice = "low" },
  { provider = "normal", voice = "low" },
  { provider = "soft", voice = "low" },
]
"""
UNKNOWN = """
[providers.new]
kind = "scripted"
attempts = 1
gain = -15
loudness = "unknown"
[voices.default]
chain = [{ provider = "new", voice = "low" }]
"""
TEXTS = [f"Nobody has heard this voice before, not {number} times." for number in range(ENOUGH)]
DELAYED = "Whoever speaks like this is heard while he still does."


@pytest.fixture
async def chain(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Three voices of very different loudness behind one another."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, CHAIN) as running:
        yield running


@pytest.fixture
async def unknown(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """A voice of which nobody knows how loud it is."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, UNKNOWN) as running:
        yield running


async def spoken(house: Inside, text: str, fmt: str = "wav", **body: object) -> np.ndarray:
    """What a player plays, at 24 kHz in steps of 16 bits."""
    answer = await house.post(input=text, response_format=fmt, **body)
    assert answer.status_code == 200, answer.text
    with av.open(io.BytesIO(answer.content)) as opened:
        rate = opened.streams.audio[0].rate
        sound = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])
    exact = sound.astype(np.float64) * (1 if sound.dtype == np.int16 else 32_768)
    return exact if rate == 24_000 else soxr.resample(exact, rate, 24_000, "VHQ")


def loudness(sound: np.ndarray) -> float:
    """In LUFS."""
    measured = measure(np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16))
    assert measured
    return measured.loudness


def natural(text: str) -> float:
    """How loud the scripted voice speaks by itself, in LUFS."""
    return loudness(np.frombuffer(tones.tone_pcm(text, "low"), "<i2"))


async def streams(house: Inside, text: str = DELAYED) -> bool:
    """Whether sound leaves while the provider has not come to the end of it."""
    provider = house.scripted["new"]
    provider.between.clear()
    heard = asyncio.Event()
    asking = asyncio.create_task(hear(house, text, heard))
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await heard.wait()
    done = heard.is_set()
    provider.between.set()
    await asking
    return done


async def hear(house: Inside, text: str, heard: asyncio.Event) -> None:
    """All of an answer; `heard` is set by its first bytes."""
    body = {"input": text, "response_format": "pcm"}
    async with house.client.stream("POST", "/v1/audio/speech", json=body) as answer:
        async for _ in answer.aiter_bytes():
            heard.set()


def candidate(provider: str = UNKNOWN, loudness: float | None = -19.0, **fields: str) -> Candidate:
    """What a planner makes of a sentence."""
    settings = parse(provider, {})
    providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
    planner = Planner(providers, settings.chunking, {}, 1_000, loudness)
    voice = Voices(settings.voices).find("default")
    text = fields.pop("text", DELAYED)
    request = SpeechRequest(text, voice, output(FORMATS["mp3"]), **fields)  # type: ignore[arg-type]
    return planner.plan(request).chunks[0].candidates[0]


@pytest.mark.parametrize("fmt", ["wav", "mp3", "opus"])
async def test_a_listener_does_not_hear_who_speaks_by_how_loud_it_is(chain: Inside, fmt: str):
    """A provider 26 dB softer than the one before is not understood, or the next one startles."""
    for text, provider in ((LOUDLY, "loud"), (NORMALLY, "normal"), (SOFTLY, "soft")):
        sound = await spoken(chain, text, fmt)
        assert chain.scripted[provider].calls[-1].utterance.text == text
        assert chain.scripted[provider].calls[-1].state == "done"
        assert loudness(sound) == pytest.approx(-19, abs=0.5)
        curve = soxr.resample(sound / 32_768, 24_000, 96_000, "VHQ")
        assert 20 * math.log10(np.abs(curve).max()) < -1


async def test_a_voice_is_learned_and_then_streams(unknown: Inside):
    """Each first sentence of a voice that nobody knows would have to be waited for, for ever."""
    assert not await streams(unknown)
    for text in TEXTS[:-1]:
        assert loudness(await spoken(unknown, text)) == pytest.approx(-19, abs=0.5)
    assert await streams(unknown, TEXTS[-1])


async def test_a_new_voice_streams_after_two_seconds(unknown: Inside):
    """Five sentences of each new voice would be silent until the vendor has come to their ends."""
    provider = unknown.scripted["new"]
    provider.script = replace(provider.script, piece_bytes=2 * 24_000 * 2 + 24_000)
    provider.between.clear()
    text = " and ".join([DELAYED.removesuffix(".")] * 2) + "."
    heard = asyncio.Event()
    asking = asyncio.create_task(hear(unknown, text, heard))
    await heard.wait()  # the second piece is not sent yet
    provider.between.set()
    await asking
    assert loudness(await spoken(unknown, text)) == pytest.approx(-19, abs=0.5)


async def test_a_learned_voice_keeps_its_dynamics(unknown: Inside):
    """A whisper would be as loud as a shout."""
    for text in TEXTS:
        await spoken(unknown, text)
    mean = 10 * math.log10(sum(10 ** (natural(text) / 10) for text in TEXTS) / ENOUGH)
    said = [
        f"{word} is said in another pitch than the others are." for word in ("One", "Two", "Three", "Four")
    ]
    levels = [natural(text) for text in said]
    assert max(levels) - min(levels) > 0.5
    for text, level in zip(said, levels, strict=True):
        assert loudness(await spoken(unknown, text)) == pytest.approx(-19 + level - mean, abs=0.3)


async def test_another_replica_need_not_learn(
    unknown: Inside, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Replicas would each speak as loud as they have learned by themselves, and each let somebody wait."""
    for text in TEXTS:
        await spoken(unknown, text)
    async with inside(monkeypatch, valkey.url, UNKNOWN) as other:
        assert await streams(other)


async def test_instructions_make_another_voice(unknown: Inside):
    """Whoever has it whisper would have it shout for all others, 15 dB too loud."""
    for text in TEXTS:
        await spoken(unknown, text, instructions="Whisper.")
    assert not await streams(unknown)


async def test_a_known_voice_told_how_to_speak_is_not_known(house: Inside):
    """A whisper by instructions is softer than the voice is known to be."""
    sound = await spoken(house, SOFTLY, instructions="Whisper.")
    assert loudness(sound) == pytest.approx(-19, abs=0.5)


async def test_off_leaves_the_sound_as_it_comes(valkey: Valkey, monkeypatch: pytest.MonkeyPatch):
    """Who levels elsewhere would have it done twice."""
    valkey.command("FLUSHALL")
    off = f'[sound]\nloudness = "off"\n{UNKNOWN}'
    async with inside(monkeypatch, valkey.url, off) as running:
        sound = await spoken(running, DELAYED)
    came = np.frombuffer(tones.amplified(tones.tone_pcm(DELAYED, "low"), -15), "<i2")
    inner = came[1_000:-1_000]
    at = next(at for at in range(len(sound)) if (sound[at : at + 300] == inner[:300]).all())
    assert (sound[at : at + len(inner)] == inner).all()


def test_configured_loudness_makes_other_clips():
    """Clips of the old loudness would be joined to those of the new one."""
    digests = {candidate(loudness=loudness).digest for loudness in (None, -19.0, -23.0)}
    digests.add(candidate(UNKNOWN.replace('"unknown"', '"known"')).digest)
    assert len(digests) == 4


@pytest.mark.parametrize("wrong", ['"loud"', "-50", "-3", "true", "[]"])
def test_a_loudness_that_is_none_is_refused(wrong: str):
    """A slip in the file would make every clip inaudible."""
    with pytest.raises(BadConfiguration, match=r"sound\.loudness"):
        parse(f"[sound]\nloudness = {wrong}", {})


@pytest.mark.parametrize(
    ("said", "target"),
    [("", -19), ("loudness = -23", -23), ('loudness = "-16"', -16), ('loudness = "off"', None)],
)
def test_loudness_is_configured(said: str, target: float | None):
    """The file would say one thing, and listeners hear another."""
    assert parse(f"[sound]\n{said}", {}).sound.loudness == target


class Counting(Cache):
    """A cache in memory that counts what is asked of it."""

    def __init__(self) -> None:
        inner = open_cache(memory_bytes=2**20)
        super().__init__(inner._memory, inner._flights)
        self.asked: list[str] = []
        self.kept: list[Entry] = []

    async def get_many(self, digests: list[str]) -> list[Entry | None]:
        """As ever."""
        self.asked += digests
        found = await super().get_many(digests)
        await asyncio.sleep(0)  # as an answer that comes over a wire: meanwhile others get on, and store
        return found

    async def put(self, digest: str, entry: Entry) -> None:
        """As ever."""
        self.kept.append(entry)
        await super().put(digest, entry)


async def test_what_is_learned_is_the_mean_of_the_first_clips():
    """The same text would be as loud as whatever was spoken last."""
    cache = Counting()
    levels = Levels(cache, ttl=60)
    asking = candidate()
    for softer in range(3 * ENOUGH):
        await levels.learn(asking, Measured(-20.0 - softer, 2.0))
    (kept,) = cache.kept
    expected = 10 * math.log10(sum(10 ** (-softer / 10) for softer in range(ENOUGH)) / ENOUGH) - 20
    assert msgspec.json.decode(kept.meta, type=Level).loudness == pytest.approx(expected)
    assert kept.ttl == 60
    assert await levels.leveling(asking) == Leveling(-19, pytest.approx(expected))  # type: ignore[arg-type]


async def test_clips_that_end_at_once_agree():
    """Two answers to one question would differ by which of them had ended first."""
    cache = Counting()
    levels = Levels(cache, ttl=60)
    asking = candidate()
    await asyncio.gather(*(levels.learn(asking, Measured(-20.0 - softer, 2.0)) for softer in range(40)))
    leveling = await levels.leveling(asking)
    assert leveling
    assert {msgspec.json.decode(entry.meta, type=Level).loudness for entry in cache.kept} == {leveling.voice}


async def test_what_another_replica_has_learned_counts():
    """One voice would have two loudnesses, by who answers."""
    cache = Counting()
    mine, others = Levels(cache, ttl=60), Levels(cache, ttl=60)
    asking = candidate()
    for _ in range(ENOUGH - 1):
        await mine.learn(asking, Measured(-30.0, 2.0))
    for _ in range(ENOUGH):
        await others.learn(asking, Measured(-20.0, 2.0))
    await mine.learn(asking, Measured(-30.0, 2.0))
    assert await mine.leveling(asking) == await others.leveling(asking) == Leveling(-19, pytest.approx(-20))  # type: ignore[arg-type]


@pytest.mark.parametrize("measured", [None, Measured(-20, 0.9), Measured(-55, 5)])
async def test_nothing_is_learned_from_next_to_nothing(measured: Measured | None):
    """A cough would decide how loud a voice is for a month."""
    levels = Levels(Counting(), ttl=60)
    asking = candidate()
    for _ in range(2 * ENOUGH):
        await levels.learn(asking, measured)
    assert await levels.leveling(asking) == Leveling(-19)


async def test_nothing_is_learned_from_markup():
    """A text that asks to be spoken softly would make the voice loud for all others."""
    levels = Levels(Counting(), ttl=60)
    marked = UNKNOWN.replace("attempts = 1", 'attempts = 1\nssml = "prosody"')
    text = f'<speak><prosody volume="soft">{DELAYED}</prosody></speak>'
    asking = candidate(marked, text=text, input_type="ssml")
    assert asking.utterance.ssml
    for _ in range(2 * ENOUGH):
        await levels.learn(asking, Measured(-40, 2))
    assert await levels.leveling(asking) == Leveling(-19)


async def test_a_voice_that_is_known_costs_no_look_up():
    """Each clip that is made would wait for Redis first."""
    cache = Counting()
    levels = Levels(cache, ttl=60)
    told = candidate(UNKNOWN.replace('"unknown"', '"known"'))
    assert await levels.leveling(told) == Leveling(-19, tones.LOUDNESS - 15)
    assert await levels.leveling(candidate(loudness=None)) is None
    assert not cache.asked
    asking = candidate()
    for _ in range(ENOUGH):
        await levels.learn(asking, Measured(-20, 2))
    cache.asked.clear()
    await levels.leveling(asking)
    assert not cache.asked


async def test_a_follower_looks_once_in_a_while():
    """Each listener of a clip that another replica makes would cost Redis a question of his own."""
    now = [1_000.0]
    cache = Counting()
    levels = Levels(cache, ttl=60, now=lambda: now[0])
    for _ in range(10):
        levels.look_ahead(candidate())
        await asyncio.sleep(0)
    assert len(cache.asked) == 1
    now[0] += LOOK_AGAIN
    levels.look_ahead(candidate())
    # Who makes it after all waits for the look that is under way, and asks no second time.
    assert await levels.leveling(candidate()) == Leveling(-19)
    assert len(cache.asked) == 2
    await levels.aclose()


async def test_nobody_looks_for_what_is_known():
    """Redis would be asked all day for what every process knows."""
    cache = Counting()
    levels = Levels(cache, ttl=60)
    levels.look_ahead(candidate(UNKNOWN.replace('"unknown"', '"known"')))
    levels.look_ahead(candidate(loudness=None))
    for _ in range(ENOUGH):
        await levels.learn(candidate(), Measured(-20, 2))
    cache.asked.clear()
    levels.look_ahead(candidate())
    await levels.aclose()
    assert not cache.asked


async def test_a_look_is_over_when_the_levels_are_closed(monkeypatch: pytest.MonkeyPatch):
    """The service would end with a task that nobody owns."""
    cache = Counting()
    began = asyncio.Event()

    async def hanging(_: list[str]) -> list[Entry | None]:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(cache, "get_many", hanging)
    levels = Levels(cache, ttl=60)
    levels.look_ahead(candidate())
    await began.wait()
    await levels.aclose()
    await levels.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "level"]


@pytest.mark.parametrize("clips", [1, ENOUGH])
async def test_voices_in_mind_are_bounded(monkeypatch: pytest.MonkeyPatch, clips: int):
    """Clients make voices by their instructions, and would fill the memory with them."""
    monkeypatch.setattr(app.speech.levels, "REMEMBERED", 10)
    levels = Levels(open_cache(memory_bytes=0), ttl=60)
    asking = candidate()
    for number in range(50):
        told = replace(asking, utterance=replace(asking.utterance, instructions=f"Number {number}."))
        for _ in range(clips):
            await levels.learn(told, Measured(-20, 2))
    assert len(levels._known) + len(levels._heard) == 10


async def test_what_was_learned_ends_with_its_entry():
    """A voice that was odd once would stay so until every replica is restarted."""
    now = [1_000.0]
    levels = Levels(open_cache(memory_bytes=0), ttl=60, now=lambda: now[0])
    for _ in range(ENOUGH):
        await levels.learn(candidate(), Measured(-10.0, 2.0))
    first = await levels.leveling(candidate())
    now[0] += 61
    later = await levels.leveling(candidate())
    assert first is not None
    assert later is not None
    assert (first.voice, later.voice) == (pytest.approx(-10.0), None)


async def test_an_entry_that_cannot_be_read_costs_no_clip():
    """A voice would be silent for as long as another version's entry lives."""
    cache = Counting()
    levels = Levels(cache, ttl=60)
    await levels.leveling(candidate())
    await cache.put(cache.asked[0], new_entry(b"{}", b"", made_at=time.time(), ttl=60))
    found = await levels.leveling(candidate())
    assert found is not None
    assert found.voice is None

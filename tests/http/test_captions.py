"""Captions over HTTP, held against what is heard."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from providers import tones
from providers.scripted import Script
from tests.http.hearing import DELAY, LOUD, Heard, heard
from tests.http.servers import VOICES, Inside, Valkey, inside, until
from tests.speech import reading

SENTENCES = ["It comes back to you whole.", "Then it comes again.", "Nobody planned an echo, so why two?"]
TEXT = f"{SENTENCES[0]} {SENTENCES[1]}\n\n{SENTENCES[2]}"
LONGER = f"{TEXT} Ask it once more."
TELLING = VOICES.replace(
    '[providers.first]\nkind = "scripted"',
    '[providers.first]\nkind = "scripted"\nchunking = "group"\ntimings = "words"\nseconds_per_character = 0.16',
)
MEDIA = {
    "vtt": "text/vtt; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "json": "application/json; charset=utf-8",
}


@pytest.fixture
async def telling(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """Refrain with an empty cache, whose first provider says when each word is spoken."""
    valkey.command("FLUSHALL")
    async with inside(monkeypatch, valkey.url, TELLING + PRONUNCIATION) as running:
        yield running


PRONUNCIATION = '[pronunciation.any]\nnginx = "engine x"\n'


async def captions(house: Inside, made: httpx.Response, form: str) -> httpx.Response:
    """Of the speech that an answer had in it."""
    return await house.client.get(f"{made.headers['content-location']}/captions.{form}")


async def cues(house: Inside, made: httpx.Response) -> list[reading.Shown]:
    """As JSON has them, which all forms are made from."""
    answer = await captions(house, made, "json")
    assert answer.status_code == 200, answer.text
    return reading.document(answer.text)[1]


async def alignment(house: Inside, made: httpx.Response) -> dict[str, list[Any]]:
    """Of the speech that an answer had in it, in ElevenLabs' form."""
    answer = await house.client.get(f"{made.headers['content-location']}/alignment.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA["json"])
    told: dict[str, list[Any]] = answer.json()
    times = {"character_start_times_seconds", "character_end_times_seconds"}
    assert told.keys() == {"characters"} | times
    assert all(type(time) is float for name in times for time in told[name])
    return told


def onsets(said: Heard) -> list[float]:
    """The seconds at which sound begins behind at least 20 ms of none."""
    loud = np.flatnonzero(np.abs(said.sound) > LOUD)
    apart = np.flatnonzero(np.diff(loud) > said.rate * 0.02)
    return [float(loud[0]) / said.rate, *(loud[apart + 1] / said.rate)]


@pytest.mark.parametrize("form", MEDIA)
async def test_every_form_says_the_same(house: Inside, form: str):
    """A player that takes only one of the forms would show another text, or at other times."""
    made = await house.post(input=TEXT)
    answer = await captions(house, made, form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA[form])
    assert answer.headers["content-length"] == str(len(answer.content))
    if form == "json":
        seconds, shown = reading.document(answer.text)
        assert seconds == pytest.approx(heard("mp3", made.content).seconds, abs=0.001)
    else:
        shown = {"vtt": reading.vtt, "srt": reading.srt}[form](answer.text)
    assert [cue.text for cue in shown] == SENTENCES
    reading.assert_in_order(shown, round(heard("mp3", made.content).seconds * 1_000))
    assert [(cue.start, cue.end) for cue in shown] == [
        (cue.start, cue.end) for cue in await cues(house, made)
    ]


@pytest.mark.parametrize("fmt", ["mp3", "opus", "aac", "wav"])
async def test_sentences_are_shown_when_they_are_heard(house: Inside, fmt: str):
    """A viewer reads ahead of the voice, or behind it."""
    made = await house.post(input=TEXT, response_format=fmt)
    said = heard(fmt, made.content)
    begins = [begin - DELAY.get(fmt, 0) / 24_000 for begin in onsets(said)]
    shown = await cues(house, made)
    assert len(begins) == len(shown) == len(SENTENCES)
    for cue, begin, sentence in zip(shown, begins, SENTENCES, strict=True):
        assert abs(cue.start / 1_000 - begin) < 0.02
        at = begin + DELAY.get(fmt, 0) / 24_000
        assert abs(said.stretch(at, at + 0.5).pitch - tones.tone(sentence, "low")[0]) < 6


@pytest.mark.parametrize(
    ("fmt", "speed"),
    [
        *((fmt, 1.0) for fmt in ("mp3", "opus", "aac", "wav")),
        *((fmt, speed) for fmt in ("mp3", "wav") for speed in (0.5, 2.0)),
        # The pace is the sound's before it is encoded.
        *(
            pytest.param(fmt, speed, marks=pytest.mark.soak)
            for fmt in ("opus", "aac")
            for speed in (0.5, 2.0)
        ),
    ],
)
async def test_words_are_shown_when_they_are_heard(telling: Inside, fmt: str, speed: float):
    """Words would be marked before or behind the voice: at other speeds, in other formats, in long clips."""
    made = await telling.post(input=LONGER, response_format=fmt, speed=speed)
    assert telling.calls == 3  # clips, for four sentences
    said = heard(fmt, made.content)
    begins = [begin - DELAY.get(fmt, 0) / 24_000 for begin in onsets(said)]
    shown = await cues(telling, made)
    words = [word for cue in shown for word in cue.words]
    assert [text for _, text in words] == LONGER.split()
    assert len(begins) == len(words)
    for (start, text), begin in zip(words, begins, strict=True):
        assert abs(start / 1_000 - begin) < 0.02, f"{text}: {start} ms instead of {begin * 1_000}"
    assert [cue.start for cue in shown] == [cue.words[0][0] for cue in shown]
    for at, text in zip(onsets(said), LONGER.split(), strict=True):
        if len(text) > 3:
            assert abs(said.stretch(at, at + 0.1).pitch - tones.tone(text, "low")[0]) < 15


@pytest.mark.parametrize("speed", [0.4, 3.0])
async def test_words_at_a_pace_that_the_provider_cannot_do(telling: Inside, speed: float):
    """Captions would run away from a voice whose pace is changed here; the change itself is loose by 28 ms."""
    made = await telling.post(input=LONGER, response_format="wav", speed=speed)
    begins = np.array(onsets(heard("wav", made.content)))
    words = [word for cue in await cues(telling, made) for word in cue.words]
    assert len(words) == len(LONGER.split())
    assert max(np.abs(begins - start / 1_000).min() for start, _ in words) < 0.03


@pytest.mark.parametrize("fmt", ["mp3", "opus", "wav"])
async def test_characters_are_told_when_they_are_heard(telling: Inside, fmt: str):
    """A client of ElevenLabs that marks what is said would mark other letters than are heard."""
    made = await telling.post(input=LONGER, response_format=fmt)
    told = await alignment(telling, made)
    assert "".join(told["characters"]) == LONGER.replace("\n\n", " ")
    starts, ends = told["character_start_times_seconds"], told["character_end_times_seconds"]
    assert len(starts) == len(ends) == len(told["characters"])
    said = heard(fmt, made.content)
    begins = [begin - DELAY.get(fmt, 0) / 24_000 for begin in onsets(said)]
    first = [0, *(at + 1 for at, character in enumerate(told["characters"]) if character == " ")]
    assert len(begins) == len(first) == len(LONGER.split())
    for at, begin in zip(first, begins, strict=True):
        assert abs(starts[at] - begin) < 0.02
    for at, word in zip(first, LONGER.split(), strict=True):
        end = ends[at + len(word) - 1]
        late = DELAY.get(fmt, 0) / 24_000
        assert said.stretch(starts[at] + late, end + late).audible > 0.8 * (end - starts[at]) - 0.03
    assert ends[-1] <= said.seconds
    shown = [word for cue in await cues(telling, made) for word in cue.words]
    assert [round(starts[at] * 1_000) for at in first] == [start for start, _ in shown]


async def test_an_alignment_of_what_is_said_otherwise(telling: Inside):
    """Letters of a pronunciation would be marked that stand nowhere in the client's text."""
    made = await telling.post(input="Use nginx for this page.")
    assert "".join((await alignment(telling, made))["characters"]) == "Use nginx for this page."


async def test_words_have_their_times_in_webvtt(telling: Inside):
    """Players that mark each word as it is spoken would mark none."""
    made = await telling.post(input=TEXT)
    shown = reading.vtt((await captions(telling, made, "vtt")).text)
    for cue, same in zip(shown, await cues(telling, made), strict=True):
        assert [(start, text.strip()) for start, text in cue.words] == same.words[1:]


async def test_captions_are_the_same_on_a_hit_and_on_another_replica(
    telling: Inside, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Who hears what was made for somebody else would have captions without words."""
    made = await telling.post(input=TEXT)
    first = await captions(telling, made, "vtt")
    await telling.post(input=TEXT)
    assert (await captions(telling, made, "vtt")).content == first.content
    async with inside(monkeypatch, valkey.url, TELLING + PRONUNCIATION) as other:
        assert (await captions(other, made, "vtt")).content == first.content
        assert other.calls == 0


async def test_a_text_of_known_sentences_has_captions_too(telling: Inside):
    """Whoever puts together what others have said would have none: nothing of it was made for him."""
    for sentence in SENTENCES[:2]:
        await telling.post(input=sentence, voice="backed")
    hit = await telling.post(input="\n\n".join(SENTENCES[:2]), voice="backed")
    assert hit.headers["cache-status"].startswith("refrain; hit")
    assert [cue.text for cue in await cues(telling, hit)] == SENTENCES[:2]


async def test_a_stand_in_without_timings(telling: Inside):
    """A voice that fails over would have no captions, or words at the times of the voice that failed."""
    telling.scripted["first"].script = Script(
        fault="unavailable", when="echo", timings="words", seconds_per_character=0.16
    )
    made = await telling.post(input=TEXT, voice="backed")
    assert made.status_code == 200
    last = (await cues(telling, made))[-1]
    assert (last.text, last.words) == (SENTENCES[-1], [])
    assert len((await cues(telling, made))[0].words) == 6


async def test_names_are_shown_as_written(telling: Inside):
    """The viewer would read how a name is pronounced; or see nothing marked in sentences with a name."""
    made = await telling.post(input="Use nginx for this page.")
    assert telling.scripted["first"].calls[0].utterance.text == "Use engine x for this page."
    (cue,) = await cues(telling, made)
    assert [text for _, text in cue.words] == ["Use", "nginx", "for", "this", "page."]
    begins = onsets(heard("mp3", made.content))
    del begins[2]  # the x
    for (start, _), begin in zip(cue.words, begins, strict=True):
        assert abs(start / 1_000 - begin + DELAY["mp3"] / 24_000) < 0.02
    plain = await telling.post(input="Use engine x for this page.")
    assert telling.calls == 1
    assert plain.content == made.content
    assert (await cues(telling, plain))[0].text == "Use engine x for this page."
    assert (await cues(telling, made))[0].text == "Use nginx for this page."


async def test_markup_in_a_text_is_text(house: Inside):
    """A page that shows captions would run what somebody wrote."""
    text = 'Say "<b>&amp;</b> --> 00:00:09.000" & <00:00:01.000> twice.'
    made = await house.post(input=text)
    (cue,) = reading.vtt((await captions(house, made, "vtt")).text)
    assert cue.text == text
    assert cue.words == []
    assert (await cues(house, made))[0].text == text


@pytest.mark.parametrize("what", ["captions.vtt", "alignment.json"])
async def test_a_name_for_the_bytes(house: Inside, what: str):
    """A browser would load captions again at every seek, or keep those of another sound."""
    made = await house.post(input=TEXT)
    path = f"{made.headers['content-location']}/{what}"
    answer = await house.client.get(path)
    replay = await house.client.get(made.headers["content-location"])
    assert "immutable" in answer.headers["cache-control"]
    left = [int(one.headers["cache-control"].split("max-age=")[1].split(",")[0]) for one in (answer, replay)]
    assert abs(left[0] - left[1]) <= 1
    same = await house.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert (await house.client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await captions(house, made, "srt")).headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize("what", [*(f"captions.{form}" for form in MEDIA), "alignment.json"])
async def test_head_says_all_but_the_captions(house: Inside, what: str):
    """A link checker would call them broken."""
    made = await house.post(input=TEXT)
    answer = await house.client.get(f"{made.headers['content-location']}/{what}")
    head = await house.client.head(f"{made.headers['content-location']}/{what}")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-length"):
        assert head.headers[name] == answer.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/speech/{'0' * 40}/captions.vtt",
        "/v1/speech/x/captions.srt",
        f"/v1/speech/{'0' * 40}/alignment.json",
        "/v1/speech/x/alignment.json",
        f"/v1/speech/{'0' * 40}.mp3/captions.json",
    ],
)
async def test_where_nothing_is_there_are_no_captions(house: Inside, path: str):
    """A page could not tell an old address from a broken server."""
    answer = await house.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_another_form_is_not_found(house: Inside):
    """A player would be told that WebVTT is TTML."""
    made = await house.post(input=TEXT)
    assert (await captions(house, made, "ttml")).status_code == 404
    assert (await house.client.get(f"{made.headers['content-location']}/alignment.vtt")).status_code == 404


async def test_while_it_is_made_there_are_none(house: Inside):
    """A player would keep the captions of half a speech."""
    first = house.scripted["first"]
    digest = (await house.client.post("/v1/speech/plan", json={"input": TEXT})).json()["digest"]
    first.between.clear()
    asking = asyncio.create_task(house.post(input=TEXT))
    await until(lambda: bool(first.calls))
    early = await house.client.get(f"/v1/speech/{digest}/captions.vtt")
    assert (early.status_code, early.json()["code"]) == (404, "not_found")
    assert "not yet" in early.json()["detail"]
    first.between.set()
    assert (await captions(house, await asking, "vtt")).status_code == 200


async def test_a_clip_that_is_gone_takes_the_captions_with_it(
    house: Inside, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Captions would go on for sound that nobody can have any more."""
    made = await house.post(input=TEXT)
    digests = [
        line["digest"]
        for line in (await house.client.post("/v1/speech/plan", json={"input": TEXT})).json()["chunks"]
    ]
    keys = valkey.command("KEYS", f"*{digests[1]}*").decode().split("\r\n")
    (key,) = [key for key in keys if digests[1] in key]
    assert valkey.command("DEL", key) == b":1\r\n"
    async with inside(monkeypatch, valkey.url) as other:  # with nothing in its memory
        gone = await captions(other, made, "vtt")
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
